"""What can be wrong with a Hailo: packages, driver, kernel, node, page size, and four versions that have to agree."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path
from typing import Any

import pytest

from piaccel.device import doctor, hailo_versions
from piaccel.device.checks import hailo_parts
from piaccel.device.debs import Debs
from piaccel.device.doctor import diagnose
from piaccel.device.modules import Modules
from piaccel.device.packages import Packages
from piaccel.device.tree import Tree
from piaccel.testing.fake_accelerators import Plugged, load
from piaccel.testing.fake_board import FakeBoard
from tests.device.examined import expect, mentioned, trouble


def hailo8l(folder: Path, **setup: Any) -> FakeBoard:
    board = FakeBoard(folder, "pi5")
    board.plug("hailo8l", **setup)
    return board


def unload(board: FakeBoard, module: str) -> None:
    shutil.rmtree(board.root / "sys/module" / module)
    for link in board.root.glob("sys/bus/pci/devices/*/driver"):
        link.unlink()
    for node in (*board.root.glob("dev/hailo*"), *board.root.glob("dev/h1x*")):
        node.unlink()


@pytest.mark.parametrize(("name", "system"), [("hailo8", "bookworm"), ("hailo8l", "bookworm"), ("hailo10h", "trixie")])
def test_one_that_is_set_up_raises_no_alarm(tmp_path: Path, name: Plugged, system: Any) -> None:
    board = FakeBoard(tmp_path, "pi5", os=system, accelerators=[name])
    assert trouble(board.root) == []
    (fact,) = mentioned(board.root, "HailoRT: driver")
    assert fact.severity == "ok"


def test_one_without_any_software_gets_the_packages_of_its_chip(tmp_path: Path) -> None:
    nothing = dict.fromkeys(("driver", "library", "firmware", "binding"))
    board = hailo8l(tmp_path / "8", **nothing)
    assert expect(board.root, "problem", "its driver hailo_pci is not installed").command == (
        "sudo apt install dkms hailo-all && sudo reboot"
    )
    newer = FakeBoard(tmp_path / "10", "pi5", os="trixie")
    newer.plug("hailo10h", **nothing)
    assert "hailo-h10-all" in expect(newer.root, "problem", "its driver hailo1x_pci is not installed").command


def test_a_hailo_10h_needs_trixie(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5", os="bookworm", accelerators=["hailo10h"])
    expect(board.root, "problem", "for Trixie only")


# The wrong family.


def test_both_families_installed_is_a_problem_and_the_wrong_one_is_removed(tmp_path: Path) -> None:
    board = hailo8l(tmp_path)
    board.install_deb("hailo-h10-all", "5.1.1")
    board.install_deb("h10-hailort", "5.1.1")
    found = expect(board.root, "problem", "two Hailo families is installed: hailo-all and hailo-h10-all")
    assert found.command == (
        "sudo apt remove hailo-h10-all h10-hailort && sudo apt install dkms hailo-all && sudo reboot"
    )


def test_only_the_wrong_family_is_a_problem(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5", os="trixie")
    board.plug("hailo10h", **dict.fromkeys(("driver", "library", "binding")))
    for name in ("hailo-all", "hailort", "hailort-pcie-driver", "python3-hailort"):
        board.install_deb(name, "4.23.0")
    found = expect(board.root, "problem", "Hailo-10H: the packages of another chip are installed (hailo-all")
    assert "only supported in versions 5.0.0 and above" in found.why
    assert "sudo apt install dkms hailo-h10-all" in found.command


def test_hailos_own_packages_of_version_5_are_the_newer_family(tmp_path: Path) -> None:
    board = hailo8l(tmp_path, driver=None, library=None, firmware=None, binding=None)
    board.install_deb("hailort", "5.3.0")
    expect(board.root, "problem", "the packages of another chip are installed (hailort)")


def test_the_driver_of_another_chip_is_named(tmp_path: Path) -> None:
    board = hailo8l(tmp_path)
    unload(board, "hailo_pci")
    load(board, "hailo1x_pci", "5.3.0")
    found = trouble(board.root)
    assert "hailo1x_pci 5.3.0 instead of hailo_pci (4.x)" in found[0].what
    assert found[0].command.startswith("sudo modprobe -r hailo1x_pci")


def test_the_older_driver_never_takes_a_hailo_10h(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5", os="trixie", accelerators=["hailo10h"])
    unload(board, "hailo1x_pci")
    load(board, "hailo_pci", "4.23.0")
    assert "hailo_pci 4.23.0 instead of hailo1x_pci (5.x)" in trouble(board.root)[0].what


def test_packages_without_a_chip_are_a_warning(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path / "5", "pi5")
    board.install_deb("hailo-all", "4.23.0")
    assert "dtparam=pciex1" in expect(board.root, "warning", "there is no Hailo on PCIe").command
    older = FakeBoard(tmp_path / "4", "pi4")
    older.install_deb("hailo-all", "4.23.0")
    assert "Raspberry Pi 5" in expect(older.root, "warning", "there is no Hailo on PCIe").why


# The driver.


def test_a_driver_not_built_for_this_kernel_is_built_by_dkms(tmp_path: Path) -> None:
    board = hailo8l(tmp_path)
    unload(board, "hailo_pci")
    board.write("proc/sys/kernel/osrelease", "6.12.99+rpt-rpi-2712\n")
    found = expect(board.root, "problem", "hailo_pci is not built for the running kernel 6.12.99+rpt-rpi-2712")
    assert "but for 6.12.47+rpt-rpi-2712" in found.what
    assert found.command == (
        "sudo apt install dkms linux-headers-rpi-2712\nsudo dkms autoinstall && sudo modprobe hailo_pci"
    )


def test_a_driver_that_is_built_and_not_loaded_is_loaded(tmp_path: Path) -> None:
    board = hailo8l(tmp_path)
    unload(board, "hailo_pci")
    assert expect(board.root, "problem", "built but not loaded").command.startswith("sudo modprobe hailo_pci")
    board.write("etc/modprobe.d/no-hailo.conf", "blacklist hailo_pci\n")
    assert "/etc/modprobe.d/no-hailo.conf" in expect(board.root, "problem", "forbids loading its driver").what


def test_a_device_that_its_driver_could_not_start_sends_to_the_kernels_log(tmp_path: Path) -> None:
    board = hailo8l(tmp_path)
    (board.root / "sys/bus/pci/devices/0001:01:00.0/driver").unlink()
    found = expect(board.root, "problem", "loaded but could not start the device")
    assert "Failed to enable MSI" in found.why
    assert "pciex1-compat-pi5,no-mip" in found.fix
    assert "dmesg" in found.command


def test_a_missing_node_is_passed_into_a_container(tmp_path: Path) -> None:
    board = hailo8l(tmp_path)
    (board.root / "dev/hailo0").unlink()
    assert "modprobe" in expect(board.root, "problem", "there is no /dev/hailo0").command
    board.write(".dockerenv", "")
    assert expect(board.root, "problem", "there is no /dev/hailo0").command == "docker run --device /dev/hailo0"


def test_driver_5_3_has_another_node_and_no_rule_for_it(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5", os="trixie")
    board.plug("hailo10h", driver="5.3.0", library="5.3.0", binding="5.3.0")
    found = expect(board.root, "problem", "this user may not open Hailo-10H (/dev/h1x-0)")
    assert 'SUBSYSTEM=="hailo1x", MODE="0660", GROUP="video"' in found.command
    board.write("etc/udev/rules.d/51-hailo.rules", 'SUBSYSTEM=="hailo1x", MODE="0660", GROUP="video"\n')
    assert trouble(board.root) == []
    (board.root / "dev/h1x-0").unlink()
    expect(board.root, "problem", "there is no /dev/h1x-0")


def test_a_node_for_root_only_is_a_problem(tmp_path: Path) -> None:
    assert "udev" in expect(hailo8l(tmp_path, permitted=False).root, "problem", "may not open Hailo-8").command


def test_16k_pages_that_the_driver_took_over_get_the_chips_own(tmp_path: Path) -> None:
    board = hailo8l(tmp_path)
    board.write("sys/module/hailo_pci/parameters/force_desc_page_size", "0\n")
    assert expect(board.root, "problem", "16 KiB for its own page size").command == "sudo reboot"
    (board.root / "etc/modprobe.d/hailo_pci.conf").unlink()
    found = expect(board.root, "problem", "16 KiB for its own page size")
    assert "options hailo_pci force_desc_page_size=4096" in found.command
    assert "max_desc_page_size given 16384" in found.why
    board.boot("rpi-v8")
    assert trouble(board.root) == []


# The versions.


def test_a_driver_and_a_library_that_differ_are_told_in_the_vendors_words(tmp_path: Path) -> None:
    board = hailo8l(tmp_path, library="4.22.0", binding="4.22.0", firmware="4.23.0")
    found = expect(board.root, "problem", "different versions: driver 4.23.0, library 4.22.0")
    assert "Driver version (4.23.0) is different from library version (4.22.0)" in found.why
    assert found.command.startswith("sudo apt update && sudo apt install --reinstall hailort hailo-dkms")


def test_a_driver_that_is_older_than_its_package_needs_a_reboot(tmp_path: Path) -> None:
    board = hailo8l(tmp_path)
    board.write("sys/module/hailo_pci/version", "4.20.0\n")
    assert expect(board.root, "problem", "driver 4.20.0, library 4.23.0").command == "sudo reboot"


def test_a_binding_from_pip_that_hides_the_right_one_is_taken_out(tmp_path: Path) -> None:
    board = hailo8l(tmp_path)
    board.install("hailort", "4.20.0")
    found = expect(board.root, "problem", "Python binding 4.20.0")
    assert "_pyhailort version (4.23.0) does not match pyhailort version (4.20.0)" in found.why
    assert found.command == "python3 -m pip uninstall hailort"


def test_a_firmware_of_another_version_is_read_from_its_own_file(tmp_path: Path) -> None:
    board = hailo8l(tmp_path, firmware="4.21.0")
    found = expect(board.root, "problem", "firmware 4.21.0")
    assert "HAILO_UNSUPPORTED_FW_VERSION" in found.why


def test_a_firmware_that_is_none_has_an_unknown_version(tmp_path: Path) -> None:
    board = hailo8l(tmp_path)
    board.write_bytes("lib/firmware/hailo/hailo8_fw.bin", struct.pack("<6I", 1, 0, 9, 9, 9, 0))
    assert trouble(board.root) == []
    (fact,) = mentioned(board.root, "HailoRT: driver")
    assert "firmware unknown" in fact.what


def test_a_missing_library_or_binding_is_a_problem(tmp_path: Path) -> None:
    assert "hailo-all" in expect(hailo8l(tmp_path / "1", library=None).root, "problem", "libhailort is not").command
    board = hailo8l(tmp_path / "2", binding=None)
    assert expect(board.root, "problem", "binding of HailoRT is not installed").command == (
        "sudo apt install python3-hailort"
    )


def test_a_library_that_no_package_brought_tells_its_version_by_its_name(tmp_path: Path) -> None:
    board = hailo8l(tmp_path, library=None)
    for version in ("4.9.0", "4.23.0"):
        board.write(f"usr/lib/libhailort.so.{version}", "")
    tree = Tree(board.root)
    assert hailo_versions.read(tree, Modules(tree, board.kernel), Debs(tree), Packages(tree)).library == "4.23.0"


def test_hailort_4_with_numpy_2_is_a_warning(tmp_path: Path) -> None:
    board = hailo8l(tmp_path / "bookworm")
    board.install("numpy", "2.4.6")
    board.install("simplejpeg", "1.9.0")
    found = expect(board.root, "warning", "NumPy 2.4.6 with the binding of HailoRT 4.23.0")
    assert found.command == "python3 -m pip install 'numpy<2'"
    trixie = FakeBoard(tmp_path / "trixie", "pi5", os="trixie", accelerators=["hailo8"])
    assert "one inference" in expect(trixie.root, "warning", "NumPy 2.2.4").fix
    assert diagnose(trixie.root).healthy


def test_a_virtual_environment_that_hides_the_systems_binding_is_named(tmp_path: Path) -> None:
    subject = doctor._look(hailo8l(tmp_path).root, [])
    subject.packages._found.clear()  # what a Python of its own sees of the system's packages
    (found,) = [each for each in hailo_parts.versions(subject) if each.severity != "ok"]
    assert (found.severity, found.command) == ("warning", "/usr/bin/python3 -m venv --system-site-packages .venv")
