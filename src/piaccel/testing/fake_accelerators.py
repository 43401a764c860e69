"""The files of accelerators on a fake board: what their buses, drivers, packages and udev rules leave on a real one.

Names, ids and layouts: hailo-ai/hailort-drivers, google/gasket-driver, libedgetpu's package, RP docs ai.adoc. Of the
permissions a rule of udev tells, as on a board that was copied: nodes here are plain files of whoever runs the tests.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from piaccel.testing.fake_board import FakeBoard

Plugged = Literal[
    "coral-usb", "coral-pcie", "hailo8", "hailo8l", "hailo10h", "imx500", "ncs2", "ncs", "deepx", "memryx", "axelera"
]

_LIBRARIES = "usr/lib/aarch64-linux-gnu"
_GENERATION_3 = "8.0 GT/s PCIe"


@dataclass(frozen=True)
class Setup:
    """How an accelerator is installed. None leaves the part out; what an accelerator does not have is not looked at."""

    id: str
    driver: str | None = None
    """The version of the kernel module, loaded and built for the running kernel."""
    library: str | None = None
    firmware: str | None = None
    binding: str | None = None
    speed: str = _GENERATION_3
    """Of the link as sysfs says it."""
    permitted: bool = True
    """Whether the user may open the node."""


_HAILO_4 = Setup("1e60:2864", driver="4.23.0", library="4.23.0", firmware="4.23.0", binding="4.23.0")
_CORAL_LIBRARY = "16.0tf2.19.1-1.bookworm"
HEALTHY: dict[Plugged, Setup] = {
    "coral-usb": Setup("18d1:9302", library=_CORAL_LIBRARY, speed="5000"),
    "coral-pcie": Setup("1ac1:089a", driver="1.0", library=_CORAL_LIBRARY, speed="5.0 GT/s PCIe"),
    "hailo8": _HAILO_4,
    "hailo8l": _HAILO_4,
    "hailo10h": Setup("1e60:45c4", driver="5.1.1", library="5.1.1", binding="5.1.1"),
    "imx500": Setup("", driver="imx500", firmware="1"),
    "ncs2": Setup("03e7:2485", speed="480"),
    "ncs": Setup("03e7:2150", speed="480"),
    "deepx": Setup("1ff4:0000"),
    "memryx": Setup("1fe9:0100", driver="memx_pcie_ai_chip"),
    "axelera": Setup("1f9d:1100"),
}


def plug(board: FakeBoard, name: Plugged, **changes: Any) -> None:
    """Write the files of ``name``, set up as HEALTHY says but for ``changes``."""
    setup = replace(HEALTHY[name], **changes)
    if name in ("coral-usb", "ncs2", "ncs"):
        _on_usb(board, setup)
    elif name != "imx500":
        _on_pci(board, setup)
    if name.startswith("coral"):
        _coral_library(board, setup)
    if name == "coral-pcie":
        _gasket(board, setup)
    elif name.startswith("hailo"):
        _hailo(board, setup, "hailo_pci" if setup.id == _HAILO_4.id else "hailo1x_pci")
    elif name == "imx500":
        _imx500(board, setup)
    elif name == "memryx" and setup.driver:
        _bind(board, setup.driver)


def hold(board: FakeBoard, node: str, name: str, pid: int = 812) -> None:
    """Let a process have the device file ``node`` open."""
    board.write(f"proc/{pid}/comm", f"{name}\n")
    (board.root / f"proc/{pid}/fd").mkdir()
    (board.root / f"proc/{pid}/fd/7").symlink_to(node)


def load(board: FakeBoard, module: str, version: str) -> None:
    """Let the kernel have loaded a module that DKMS built for it."""
    board.write(f"sys/module/{module}/version", f"{version}\n")
    board.write(f"usr/src/{module}-{version}/dkms.conf", f"PACKAGE_NAME={module}\nPACKAGE_VERSION={version}\n")
    listing = board.root / f"lib/modules/{board.kernel}/modules.dep"
    board.write(str(listing.relative_to(board.root)), f"{listing.read_text()}updates/dkms/{module}.ko.xz:\n")


def _on_usb(board: FakeBoard, setup: Setup) -> None:
    vendor, _, product = setup.id.partition(":")
    bus = "2" if setup.speed == "5000" else "1"
    texts = {"idVendor": vendor, "idProduct": product, "speed": setup.speed, "busnum": bus, "devnum": "2"}
    for key, text in {**texts, "bMaxPower": "896mA"}.items():
        board.write(f"sys/bus/usb/devices/{bus}-1/{key}", f"{text}\n")
    board.write(f"dev/bus/usb/00{bus}/002", "")


def _on_pci(board: FakeBoard, setup: Setup) -> None:
    vendor, _, product = setup.id.partition(":")
    most = "5.0 GT/s PCIe" if vendor == "1ac1" else _GENERATION_3
    texts = {"vendor": f"0x{vendor}", "device": f"0x{product}", "class": "0x0b4000"}
    links = {"current_link_speed": setup.speed, "max_link_speed": most, "current_link_width": "1"}
    place = f"sys/bus/pci/devices/0001:0{1 + len(_pci(board))}:00.0"
    for key, text in {**texts, **links}.items():
        board.write(f"{place}/{key}", f"{text}\n")


def _pci(board: FakeBoard) -> list[Path]:
    return sorted(board.root.glob("sys/bus/pci/devices/*"))


def _bind(board: FakeBoard, driver: str) -> None:
    """Let the driver take the device that was plugged in last."""
    (board.root / "sys/bus/pci/drivers" / driver).mkdir(parents=True, exist_ok=True)
    (_pci(board)[-1] / "driver").symlink_to(f"../../drivers/{driver}")


def _coral_library(board: FakeBoard, setup: Setup) -> None:
    board.write(f"{_LIBRARIES}/libusb-1.0.so.0", "")
    if setup.library:
        board.install_deb("libedgetpu1-std", setup.library)
        board.write(f"{_LIBRARIES}/libedgetpu.so.1", "")
    if setup.id.startswith("1ac1"):
        return
    ids = (("1a6e", "089a"), ("18d1", "9302"))
    rule = 'SUBSYSTEM=="usb",ATTRS{{idVendor}}=="{}",ATTRS{{idProduct}}=="{}",GROUP="plugdev"\n'
    board.write("usr/lib/udev/rules.d/60-libedgetpu1-std.rules", "".join(rule.format(*each) for each in ids))
    if not setup.permitted:
        board.leave("plugdev")


def _gasket(board: FakeBoard, setup: Setup) -> None:
    """As on a Pi 5: 4 KiB pages, interrupts through the PCIe controller, a link that never sleeps."""
    board.boot("rpi-v8")
    config, cmdline = board.root / "boot/firmware/config.txt", board.root / "proc/cmdline"
    lines = "kernel=kernel8.img\ndtoverlay=pciex1-compat-pi5,no-mip\n"
    board.write("boot/firmware/config.txt", f"{config.read_text()}{lines}")
    board.write("proc/cmdline", f"{cmdline.read_text().rstrip()} pcie_aspm=off\n")
    if setup.driver is None:
        return
    board.install_deb("gasket-dkms", "1.0-18.4")
    load(board, "gasket", setup.driver)
    load(board, "apex", setup.driver)
    _bind(board, "apex")
    for key, value in {"temp": 47800, "trip_point0_temp": 85000, "trip_point1_temp": 90000}.items():
        board.write(f"sys/class/apex/apex_0/{key}", f"{value}\n")
    board.write("usr/lib/udev/rules.d/60-gasket-dkms.rules", 'SUBSYSTEM=="apex", MODE="0660", GROUP="apex"\n')
    board.write("dev/apex_0", "")
    if setup.permitted:
        board.join("apex")


def _hailo(board: FakeBoard, setup: Setup, module: str) -> None:
    new = module == "hailo1x_pci"
    if setup.driver:
        _hailo_driver(board, setup.driver, module, setup.permitted)
    if setup.library:
        board.install_deb("hailo-h10-all" if new else "hailo-all", setup.library)
        board.install_deb("h10-hailort" if new else "hailort", setup.library)
        board.write(f"usr/lib/libhailort.so.{setup.library}", "")
    if setup.firmware:
        numbers = (int(part) for part in setup.firmware.split("."))
        board.write_bytes("lib/firmware/hailo/hailo8_fw.bin", struct.pack("<6I", 0x1DD89DE0, 0, *numbers, 0))
    if setup.binding:
        board.install_deb("python3-h10-hailort" if new else "python3-hailort", f"{setup.binding}-1")
        board.install("hailort", setup.binding, apt=True)


def _hailo_driver(board: FakeBoard, version: str, module: str, permitted: bool) -> None:
    """Until 5.2 the node is /dev/hailo0 and a rule opens it to all; from 5.3 on it is /dev/h1x-0, without a rule."""
    new = module == "hailo1x_pci"
    old_package = "hailort-pcie-driver" if board.codename == "trixie" else "hailo-dkms"
    board.install_deb("h10-hailort-pcie-driver" if new else old_package, version)
    load(board, module, version)
    board.write(f"sys/module/{module}/parameters/force_desc_page_size", "4096\n")
    board.write(f"etc/modprobe.d/{module}.conf", f"options {module} force_desc_page_size=4096\n")
    _bind(board, "hailo1x" if new else "hailo")
    if version.startswith("5.") and not version.startswith(("5.0", "5.1", "5.2")):
        board.write("dev/h1x-0", "")
        return
    mode = "0666" if permitted else "0600"
    board.write("usr/lib/udev/rules.d/51-hailo-udev.rules", f'SUBSYSTEM=="hailo_chardev", MODE="{mode}"\n')
    board.write("sys/class/hailo_chardev/hailo0/board_location", "0001:01:00.0\n")
    board.write("dev/hailo0", "")


def _imx500(board: FakeBoard, setup: Setup) -> None:
    board.write("sys/bus/i2c/devices/10-001a/name", "imx500\n")
    if setup.driver:
        board.write("sys/class/video4linux/v4l-subdev2/name", "imx500 10-001a\n")
        board.write("dev/v4l-subdev2", "")
    if setup.firmware:
        for name in ("imx500_loader.fpk", "imx500_firmware.fpk"):
            board.write(f"lib/firmware/{name}", "")
        board.write("usr/share/imx500-models/imx500_network_mobilenet_v2.rpk", "")
