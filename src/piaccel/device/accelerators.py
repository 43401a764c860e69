"""The accelerators on PCI, USB and the camera connector, as the buses themselves know them before any driver does.

Ids: libedgetpu's udev rules and gasket's ``apex_driver.c``, hailort-drivers ``pcie_common.h``, Intel's NCS udev rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from piaccel.device.tree import Tree

Bus = Literal["usb", "pci", "camera"]


@dataclass(frozen=True)
class Kind:
    """One product: how it is called, which backend drives it and which kernel module, None where there is none."""

    name: str
    title: str
    backend: str | None = None
    module: str | None = None


CORAL_USB = Kind("coral-usb", "Coral USB Accelerator", "edgetpu")
CORAL_PCIE = Kind("coral-pcie", "Coral PCIe Accelerator", "edgetpu", "apex")
HAILO_8 = Kind("hailo8", "Hailo-8 or Hailo-8L", "hailo", "hailo_pci")
HAILO_10H = Kind("hailo10h", "Hailo-10H", "hailo", "hailo1x_pci")
HAILO_15L = Kind("hailo15l", "Hailo-15L", None, "hailo1x_pci")
HAILO_12L = Kind("hailo12l", "Hailo-12L", None, "hailo1x_pci")
IMX500 = Kind("imx500", "IMX500 AI Camera", "imx500", "imx500")
NCS2 = Kind("ncs2", "Intel Neural Compute Stick 2")
NCS = Kind("ncs", "Intel Movidius Neural Compute Stick")
DEEPX = Kind("deepx", "DeepX DX-M1")
AXELERA = Kind("axelera", "Axelera Metis")
AXERA = Kind("axera", "AXERA AX650 or AX8850")
MEMRYX = Kind("memryx", "MemryX MX3")

_KINDS: dict[tuple[Bus, str], Kind] = {
    ("usb", "1a6e:089a"): CORAL_USB,
    ("usb", "18d1:9302"): CORAL_USB,
    ("usb", "03e7:2485"): NCS2,
    ("usb", "03e7:f63b"): NCS2,
    ("usb", "03e7:2150"): NCS,
    ("pci", "1ac1:089a"): CORAL_PCIE,
    ("pci", "1e60:2864"): HAILO_8,
    ("pci", "1e60:45c4"): HAILO_10H,
    ("pci", "1e60:43a2"): HAILO_15L,
    ("pci", "1e60:26a2"): HAILO_12L,
    ("pci", "1ff4:0000"): DEEPX,
    ("pci", "1f9d:1100"): AXELERA,
    ("pci", "1f9d:11aa"): AXELERA,
    ("pci", "1f4b:0650"): AXERA,
}
_BY_DRIVER = {"memx_pcie_ai_chip": MEMRYX}
"""Those whose ids no source of ours states."""
_NODES = {"apex": "dev/apex_*", "hailo_pci": "dev/hailo[0-9]*", "hailo1x_pci": "dev/h1x-*"}

BACKENDS = frozenset(kind.backend for kind in (*_KINDS.values(), IMX500) if kind.backend)
"""The backends that need a device of their own."""


@dataclass(frozen=True)
class Accelerator:
    """One device, as found; what its bus does not tell is None."""

    kind: Kind
    bus: Bus
    id: str
    """Vendor and product in hexadecimal; '' for a camera."""
    address: str
    """Its place on the bus, such as ``0001:01:00.0``, ``2-1`` or ``10-001a``."""
    driver: str | None = None
    """The kernel driver that has taken it."""
    node: str | None = None
    """The device file that programs open."""
    speed: str | None = None
    """Of the link, as sysfs says it: ``8.0 GT/s PCIe``, or Mbit/s of USB."""
    max_speed: str | None = None
    """What the device could do; of PCIe only."""
    temperature_c: float | None = None

    @property
    def family(self) -> str:
        """The maker's name in small letters."""
        return self.kind.title.split()[0].partition("-")[0].lower()

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        fields = {**asdict(self), "kind": self.kind.name}
        return {**fields, "title": self.kind.title, "backend": self.kind.backend}


def find(tree: Tree) -> tuple[Accelerator, ...]:
    """All that are known here, by bus and address."""
    return (*_on_usb(tree), *_on_pci(tree), *_on_camera_connector(tree))


def _on_usb(tree: Tree) -> Iterator[Accelerator]:
    for path in tree.glob("sys/bus/usb/devices/*/idVendor"):
        device = path.parent
        number = f"{tree.text(path)}:{tree.text(device / 'idProduct')}"
        kind = _KINDS.get(("usb", number))
        if kind is not None:
            yield Accelerator(
                kind, "usb", number, device.name, None, _usb_node(tree, device), tree.text(device / "speed")
            )


def _usb_node(tree: Tree, device: Path) -> str | None:
    bus, number = tree.number(device / "busnum"), tree.number(device / "devnum")
    return None if bus is None or number is None else f"/dev/bus/usb/{bus:03}/{number:03}"


def _on_pci(tree: Tree) -> Iterator[Accelerator]:
    for path in tree.glob("sys/bus/pci/devices/*/vendor"):
        device = path.parent
        number = f"{_hex(tree, path)}:{_hex(tree, device / 'device')}"
        driver = _driver(device)
        kind = _KINDS.get(("pci", number)) or _BY_DRIVER.get(driver or "")
        if kind is not None:
            yield Accelerator(
                kind,
                "pci",
                number,
                device.name,
                driver,
                _node(tree, kind),
                tree.text(device / "current_link_speed"),
                tree.text(device / "max_link_speed"),
                _temperature(tree, kind),
            )


def _hex(tree: Tree, path: Path) -> str:
    return (tree.text(path) or "").removeprefix("0x").lower()


def _driver(device: Path) -> str | None:
    try:
        return (device / "driver").readlink().name
    except OSError:
        return None


def _node(tree: Tree, kind: Kind) -> str | None:
    pattern = _NODES.get(kind.module or "")
    patterns = [pattern] if pattern else []
    if kind.module == "hailo1x_pci":  # its nodes were named after the older chip's before driver 5.3
        patterns.append(_NODES["hailo_pci"])
    found = [path for each in patterns for path in tree.glob(each)]
    return "/" + str(found[0].relative_to(tree.root)) if found else None


def _temperature(tree: Tree, kind: Kind) -> float | None:
    """The Edge TPU's own thermometer (gasket, ``apex_driver.c``); the others tell theirs only to their libraries."""
    files = tree.glob("sys/class/apex/apex_*/temp") if kind is CORAL_PCIE else []
    thousandths = tree.number(files[0]) if files else None
    return None if thousandths is None else thousandths / 1000


def _on_camera_connector(tree: Tree) -> Iterator[Accelerator]:
    """The device tree announces the sensor on I2C; a v4l-subdev appears once the driver has started it."""
    started = [
        path.parent.name for path in tree.glob("sys/class/video4linux/v4l-subdev*/name") if _is_imx500(tree, path)
    ]
    for path in tree.glob("sys/bus/i2c/devices/*/name"):
        if _is_imx500(tree, path):
            node = f"/dev/{started.pop(0)}" if started else None
            yield Accelerator(IMX500, "camera", "", path.parent.name, "imx500" if node else None, node)
    for name in started:
        yield Accelerator(IMX500, "camera", "", name, "imx500", f"/dev/{name}")


def _is_imx500(tree: Tree, path: Path) -> bool:
    return re.match(r"imx500\b", tree.text(path) or "") is not None
