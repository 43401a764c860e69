"""What can be wrong with a Coral: port, library, rules, and on PCIe the kernel, its driver and its settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from piaccel.device.doctor import diagnose
from piaccel.testing.fake_board import FakeBoard
from tests.device.examined import expect, mentioned, trouble


def test_a_stick_that_is_set_up_raises_no_alarm(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi4", os="trixie", accelerators=["coral-usb"])
    assert trouble(board.root) == []


def test_a_stick_in_a_usb_2_port_is_a_warning(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi4")
    board.plug("coral-usb", speed="480")
    assert "blue port" in expect(board.root, "warning", "USB 2 speed").fix


def test_a_board_without_usb_3_is_not_blamed_for_it(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi3b+", os="trixie")
    board.plug("coral-usb", speed="480")
    assert trouble(board.root) == []
    assert [each.severity for each in mentioned(board.root, "the fastest that this board has")] == ["note"]


def test_a_stick_before_its_firmware_is_explained(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi4")
    board.plug("coral-usb", id="1a6e:089a")
    assert trouble(board.root) == []
    (found,) = mentioned(board.root, "waits for its firmware")
    assert found.command == "docker run --device /dev/bus/usb"


@pytest.mark.parametrize("system", ["bookworm", "trixie"])
def test_a_missing_library_gets_the_build_for_this_release(tmp_path: Path, system: str) -> None:
    board = FakeBoard(tmp_path, "pi4", os=system)  # type: ignore[arg-type]
    board.plug("coral-usb", library=None)
    found = expect(board.root, "problem", "libedgetpu is not installed")
    assert f".{system}_arm64.deb" in found.command


def test_googles_library_of_2021_with_a_new_runtime_is_a_problem(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi4")
    board.plug("coral-usb", library="16.0")
    assert trouble(board.root) == []
    board.install("tflite-runtime", "2.11.0")
    assert not mentioned(board.root, "2021")
    board.install("ai-edge-litert", "2.3.0")
    found = expect(board.root, "problem", "libedgetpu 16.0 is Google's build of 2021")
    assert "segmentation fault" in found.why
    assert "feranick/libedgetpu" in found.command


def test_a_library_that_nobody_packaged_needs_libusb(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi4", accelerators=["coral-usb"])
    board.install_deb("libedgetpu1-std", None)
    assert trouble(board.root) == []
    (board.root / "usr/lib/aarch64-linux-gnu/libusb-1.0.so.0").unlink()
    assert expect(board.root, "problem", "needs libusb").command == "sudo apt install libusb-1.0-0"


def test_a_user_outside_plugdev_gets_the_command(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi4")
    board.plug("coral-usb", permitted=False)
    found = expect(board.root, "problem", "this user may not open the Coral (/dev/bus/usb/002/002, group plugdev)")
    assert found.command == 'sudo usermod -aG plugdev "$USER"'


def test_without_udev_rules_both_ids_get_one(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi4", accelerators=["coral-usb"])
    (board.root / "usr/lib/udev/rules.d/60-libedgetpu1-std.rules").unlink()
    found = expect(board.root, "problem", "only root may open the Coral")
    assert "1a6e" in found.command
    assert "9302" in found.command


# On PCIe.


def test_a_coral_on_pcie_that_is_set_up_raises_no_alarm(tmp_path: Path) -> None:
    assert trouble(FakeBoard(tmp_path, "pi5", accelerators=["coral-pcie"]).root) == []


def test_its_driver_needs_the_kernel_with_4k_pages(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5", accelerators=["coral-pcie"])
    board.boot("rpi-2712")
    assert "kernel=kernel8.img" in expect(board.root, "problem", "16 KiB pages").command


def test_its_interrupts_need_an_overlay_and_its_link_no_sleep(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5", accelerators=["coral-pcie"])
    board.write("boot/firmware/config.txt", "camera_auto_detect=1\ndtoverlay=pciex1-compat-pi5\n")
    assert "dtoverlay=pciex1-compat-pi5,no-mip" in expect(board.root, "warning", "gets no interrupts").command
    board.write("boot/firmware/config.txt", "camera_auto_detect=1\ndtoverlay=pineboards-hat-ai\n")
    board.write("proc/cmdline", "console=tty1\n")
    assert "pcie_aspm=off" in expect(board.root, "warning", "pcie_aspm is not off").command


def test_a_driver_that_is_missing_gets_the_maintained_one(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5")
    board.plug("coral-pcie", driver=None)
    assert "feranick/gasket-driver" in expect(board.root, "problem", "its driver apex is not installed").command


def test_a_user_outside_the_group_apex_gets_the_command(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5")
    board.plug("coral-pcie", permitted=False)
    found = expect(board.root, "problem", "this user may not open the Coral (/dev/apex_0, group apex)")
    assert found.command.endswith('sudo groupadd -f apex && sudo usermod -aG apex "$USER"')
    assert "udev" not in found.command
    (board.root / "usr/lib/udev/rules.d/60-gasket-dkms.rules").unlink()
    assert "65-apex.rules" in expect(board.root, "problem", "group root").command


def test_a_driver_built_for_another_kernel_only_has_to_be_built_again(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5", accelerators=["coral-pcie"])
    for module in ("apex", "gasket"):
        (board.root / f"sys/module/{module}/version").unlink()
        (board.root / f"sys/module/{module}").rmdir()
    board.write("proc/sys/kernel/osrelease", "6.12.99+rpt-rpi-v8\n")
    found = expect(
        board.root, "problem", "apex is not built for the running kernel 6.12.99+rpt-rpi-v8, but for 6.12.47"
    )
    assert "linux-headers-rpi-v8" in found.command
    assert not diagnose(board.root).healthy
