"""Cameras that are seen, an IMX500 that is not set up, and the memory of their buffers."""

from __future__ import annotations

import shutil
from pathlib import Path

from piaccel.device import doctor
from piaccel.device.cameras import find
from piaccel.device.checks import cameras as checks
from piaccel.device.doctor import diagnose
from piaccel.device.tree import Tree
from piaccel.testing.captures import Kind
from piaccel.testing.fake_board import FakeBoard
from tests.device.examined import expect, mentioned, trouble


def test_sensors_and_usb_cameras_are_seen_and_other_video_nodes_are_not(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5")
    board.write("sys/class/video4linux/v4l-subdev0/name", "csi2\n")
    board.write("sys/class/video4linux/v4l-subdev1/name", "imx708_wide\n")
    board.write("sys/class/video4linux/v4l-subdev2/name", "dw9807 10-000c\n")
    board.write("sys/class/video4linux/video0/name", "rp1-cfe-csi2_ch0\n")
    for number in (8, 9):  # one camera has a node for pictures and one for their metadata
        board.write(f"sys/class/video4linux/video{number}/name", "HD Pro Webcam C920\n")
        (board.root / "sys/devices/usb3/3-1/3-1:1.0").mkdir(parents=True, exist_ok=True)
        link = board.root / f"sys/class/video4linux/video{number}/device"
        link.symlink_to("../../../devices/usb3/3-1/3-1:1.0")
    assert [(each.name, each.bus) for each in find(Tree(board.root))] == [
        ("imx708_wide", "CSI"),
        ("HD Pro Webcam C920", "USB"),
    ]
    assert diagnose(board.root).to_dict()["cameras"][0] == {"name": "imx708_wide", "bus": "CSI"}
    assert mentioned(board.root, "imx708_wide (CSI), HD Pro Webcam C920 (USB)")


def test_a_detection_that_is_off_is_a_note(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5")
    board.write("boot/firmware/config.txt", "dtoverlay=imx219\n")
    assert not mentioned(board.root, "detection of cameras")
    board.write("boot/firmware/config.txt", "arm_64bit=1\n")
    (found,) = mentioned(board.root, "detection of cameras on the ribbon connectors is off")
    assert "camera_auto_detect=1" in found.command


def test_a_user_outside_the_group_video_cannot_open_a_camera(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5", accelerators=["imx500"])
    board.leave("video")
    found = expect(board.root, "problem", "this user may not open the camera (/dev/v4l-subdev2, group video)")
    assert found.command == 'sudo usermod -aG video "$USER"'


def test_an_imx500_that_is_set_up_raises_no_alarm(tmp_path: Path) -> None:
    assert trouble(FakeBoard(tmp_path, "zero2w", os="trixie", accelerators=["imx500"]).root) == []


def test_an_imx500_without_firmware_gets_the_package(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5")
    board.plug("imx500", firmware=None, driver=None)
    assert "imx500-all" in expect(board.root, "problem", "lacks its firmware (imx500_loader.fpk").command


def test_an_imx500_that_its_driver_did_not_start_is_a_problem(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5")
    board.plug("imx500", driver=None)
    found = expect(board.root, "problem", "announced on I2C (10-001a)")
    assert "Requested camera dev-node not found" in found.why


def test_an_imx500_without_picamera2_or_networks(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5", accelerators=["imx500"])
    shutil.rmtree(board.root / "usr/share/imx500-models")
    assert trouble(board.root) == []
    assert mentioned(board.root, "no networks for the IMX500")[0].command == "sudo apt install imx500-models"
    shutil.rmtree(next(board.root.glob("usr/lib/python3/dist-packages/picamera2-*")))
    assert "python3-picamera2" in expect(board.root, "problem", "does not see picamera2").command


def little_cma(board: FakeBoard) -> None:
    board.write("proc/meminfo", "MemTotal: 900000 kB\nMemAvailable: 600000 kB\nCmaTotal: 262144 kB\nCmaFree: 9216 kB\n")


def test_little_contiguous_memory_is_a_warning_with_the_line_that_reserves_more(tmp_path: Path) -> None:
    sizes: dict[Kind, str] = {"pi4": "cma-512", "pi3b+": "cma-256"}
    for kind, size in sizes.items():
        board = FakeBoard(tmp_path / kind, kind, os="trixie")
        little_cma(board)
        found = expect(board.root, "warning", "only 9 of 256 MiB of contiguous memory (CMA) are free")
        assert size in found.command


def test_a_pi_5_gains_nothing_by_more_contiguous_memory(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5")
    little_cma(board)
    assert expect(board.root, "warning", "contiguous memory").command == ""
    board = FakeBoard(tmp_path / "set", "pi5")
    board.write("boot/firmware/config.txt", "camera_auto_detect=1\ndtoverlay=vc4-kms-v3d,cma-512\n")
    assert [each.severity for each in mentioned(board.root, "gains nothing on this board")] == ["note"]


def test_a_virtual_environment_that_hides_picamera2_is_named(tmp_path: Path) -> None:
    subject = doctor._look(FakeBoard(tmp_path, "pi5", accelerators=["imx500"]).root, [])
    subject.packages._found.clear()  # what a Python of its own sees of the system's packages
    (found,) = checks.imx500(subject)
    assert (found.severity, found.command) == ("warning", "/usr/bin/python3 -m venv --system-site-packages .venv")
