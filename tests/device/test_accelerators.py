"""Accelerators are found by their bus before any driver, whatever else is there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import get_args

import pytest

from piaccel.device.accelerators import find
from piaccel.device.doctor import diagnose
from piaccel.device.holders import holders
from piaccel.device.tree import Tree
from piaccel.testing.fake_accelerators import Plugged, hold
from piaccel.testing.fake_board import FakeBoard
from tests.device.examined import expect, mentioned, trouble


@pytest.mark.parametrize("name", get_args(Plugged))
def test_each_is_found_and_shown(tmp_path: Path, name: Plugged) -> None:
    system = "trixie" if name == "hailo10h" else "bookworm"
    report = diagnose(FakeBoard(tmp_path, "pi5", os=system, accelerators=[name]).root)  # type: ignore[arg-type]
    assert [each.kind.name for each in report.accelerators] == [name.replace("8l", "8")]
    document = report.to_dict()["accelerators"][0]
    assert document["title"] == report.accelerators[0].kind.title
    assert any(document["title"] in fact.what for fact in report.of("ok"))


def test_a_board_without_any_has_none(tmp_path: Path) -> None:
    assert find(Tree(FakeBoard(tmp_path, "pi5").root)) == ()


def test_other_devices_on_the_buses_are_none(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5")
    board.write("sys/bus/usb/devices/1-1/idVendor", "1d6b\n")
    board.write("sys/bus/usb/devices/1-1/idProduct", "0002\n")
    board.write("sys/bus/pci/devices/0002:01:00.0/vendor", "0x1de4\n")
    board.write("sys/bus/pci/devices/0002:01:00.0/device", "0x0001\n")
    board.write("sys/bus/i2c/devices/4-001a/name", "imx5000\n")
    assert find(Tree(board.root)) == ()


def test_several_are_found_side_by_side(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5", accelerators=["hailo8l", "coral-usb", "imx500"])
    assert [each.kind.name for each in find(Tree(board.root))] == ["coral-usb", "hailo8", "imx500"]
    assert trouble(board.root) == []


def test_a_device_is_described_with_its_driver_its_node_and_its_link(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5", accelerators=["coral-pcie"])
    (coral,) = find(Tree(board.root))
    assert (coral.address, coral.driver, coral.node) == ("0001:01:00.0", "apex", "/dev/apex_0")
    assert (coral.speed, coral.temperature_c) == ("5.0 GT/s PCIe", 47.8)


@pytest.mark.parametrize("number", ["03e7:2485", "03e7:f63b"])
def test_a_neural_compute_stick_is_unsupported_and_what_to_use_instead_is_said(tmp_path: Path, number: str) -> None:
    board = FakeBoard(tmp_path, "pi4")
    board.plug("ncs2", id=number)
    found = expect(board.root, "warning", "Neural Compute Stick 2: unsupported")
    assert "OpenVINO 2022.3" in found.what
    assert "Hailo" in found.fix
    assert diagnose(board.root).healthy


@pytest.mark.parametrize(("name", "words"), [("deepx", "dx-engine"), ("memryx", ".dfp"), ("axelera", "Voyager")])
def test_what_others_drive_is_a_note(tmp_path: Path, name: Plugged, words: str) -> None:
    board = FakeBoard(tmp_path, "pi5", accelerators=[name])
    assert trouble(board.root) == []
    assert [each.severity for each in mentioned(board.root, words)] == ["note"]


def test_a_hailo_at_generation_2_gets_the_line_for_generation_3(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5")
    board.plug("hailo8l", speed="5.0 GT/s PCIe")
    found = expect(board.root, "warning", "the PCIe link runs at 5.0 GT/s PCIe")
    assert "dtparam=pciex1_gen=3" in found.command
    board.write("boot/firmware/config.txt", "camera_auto_detect=1\ndtparam=pciex1,pciex1_gen=3\n")
    assert "asks for it already" in expect(board.root, "warning", "5.0 GT/s").fix


def test_a_link_below_what_every_pi_5_does_is_a_bad_cable(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5")
    board.plug("hailo8", speed="2.5 GT/s PCIe")
    assert "ribbon cable" in expect(board.root, "warning", "runs at 2.5 GT/s PCIe only").fix


def test_an_edge_tpu_at_its_first_limit_is_a_problem(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5", accelerators=["coral-pcie"])
    board.write("sys/class/apex/apex_0/temp", "86250\n")
    assert "apex_driver.c" in expect(board.root, "problem", "86.2 °C").why


@pytest.mark.parametrize(
    ("name", "node", "words"),
    [
        ("hailo8l", "/dev/hailo0", "HAILO_OUT_OF_PHYSICAL_DEVICES(74)"),
        ("hailo10h", "/dev/hailo0", "shares it"),
        ("coral-usb", "/dev/bus/usb/002/002", "Failed to load delegate"),
        ("imx500", "/dev/v4l-subdev2", "one program at a time"),
    ],
)
def test_a_device_in_use_names_the_program(tmp_path: Path, name: Plugged, node: str, words: str) -> None:
    board = FakeBoard(tmp_path, "pi5", os="trixie" if name == "hailo10h" else "bookworm", accelerators=[name])
    assert not mentioned(board.root, "in use by")
    hold(board, node, "frigate.detecto")
    (found,) = mentioned(board.root, "is in use by frigate.detecto (process 812)")
    assert (found.severity, words in found.why) == ("note", True)
    assert trouble(board.root) == []


def test_a_file_that_is_really_open_has_a_holder_unless_it_is_this_process(tmp_path: Path) -> None:
    file = tmp_path / "node"
    file.touch()
    (tmp_path / "proc").symlink_to("/proc")
    with file.open():
        assert os.getpid() in [each.pid for each in holders(Tree(tmp_path), str(file))]
        assert holders(Tree("/"), str(file)) == ()


def test_an_old_openvino_may_still_drive_a_neural_compute_stick(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi4", accelerators=["ncs2"])
    board.install("openvino", "2022.3.2")
    assert trouble(board.root) == []
    assert mentioned(board.root, "only openvino 2022.3.2 built with its MYRIAD plug-in")
