"""What the system tells of a Hailo accelerator without HailoRT: chip, driver, device nodes, packages.

Source: hailort-drivers (PCI ids, MODULE_VERSION, node names), Raspberry Pi documentation, AI HATs.
"""

from __future__ import annotations

import os
from pathlib import Path

VENDOR = "0x1e60"
CHIPS = {"0x2864": "Hailo-8 or 8L", "0x45c4": "Hailo-10H"}
MODULES = ("hailo_pci", "hailo1x_pci")
BOARDS = {
    "HAILO8": "AI HAT+ 26 TOPS",
    "HAILO8L": "AI Kit or AI HAT+ 13 TOPS",
    "HAILO10H": "AI HAT+ 2",
}
SEATING = "check that lspci shows a device 1e60; if not, power off and seat the HAT and its ribbon cable anew"
WHICH_HEF = "Hailo-8 runs HEFs for HAILO8 and HAILO8L; Hailo-8L only for HAILO8L; Hailo-10H for HAILO10H, 15H and 15M"
FOR_8, FOR_10H = "sudo apt install dkms hailo-all", "sudo apt install dkms hailo-h10-all"


def root() -> Path:
    """Where the system is read from: / or what PIACCEL_ROOT names."""
    return Path(os.environ.get("PIACCEL_ROOT", "/"))


def chip(root: Path) -> str | None:
    """What is on PCI, such as "Hailo-8 or 8L" (one id for both); None where nothing of Hailo's is seen."""
    for device in sorted(root.glob("sys/bus/pci/devices/*")):
        if _line(device / "vendor") == VENDOR:
            number = _line(device / "device") or ""
            return CHIPS.get(number, f"Hailo {number}")
    return None


def driver(root: Path) -> str | None:
    """The version of the kernel module that is loaded; None when none is."""
    for module in MODULES:
        if version := _line(root / "sys/module" / module / "version"):
            return version
    return None


def nodes(root: Path) -> list[Path]:
    """The device files: /dev/hailo0, from driver 5.3 on /dev/h1x-0."""
    return sorted([*root.glob("dev/hailo*"), *root.glob("dev/h1x-*")])


def forbidden(root: Path) -> Path | None:
    """A device file that this user may not open."""
    return next((node for node in nodes(root) if not os.access(node, os.R_OK | os.W_OK)), None)


def rule(node: Path) -> str:
    """The udev rule that opens the node to the group video; driver 5.3 comes with none."""
    subsystem = "hailo1x" if node.name.startswith("h1x") else "hailo_chardev"
    return f'SUBSYSTEM=="{subsystem}", MODE="0660", GROUP="video"'


def package(root: Path, version: str | None = None) -> str:
    """The package of apt that fits: by the chip, else by the HailoRT that is installed."""
    seen = chip(root)
    if seen == "Hailo-10H" or (seen is None and version is not None and version.startswith("5.")):
        return "hailo-h10-all"
    return "hailo-all"


def install(root: Path) -> str:
    """The exact command for the chip that is seen; both where none is."""
    seen = chip(root)
    if seen is None:
        return f"{FOR_8} (Hailo-8, 8L) or {FOR_10H} (Hailo-10H)"
    return FOR_10H if seen == "Hailo-10H" else FOR_8


def update(package: str) -> str:
    """Bring driver, library and binding to one version; the driver is built anew and loaded by a reboot."""
    return f"sudo apt update && sudo apt full-upgrade && sudo apt install --reinstall dkms {package} && sudo reboot"


def replace(package: str) -> str:
    """The two families of packages conflict: one goes, the other comes."""
    other = "hailo-all" if package == "hailo-h10-all" else "hailo-h10-all"
    return f"sudo apt remove {other} && sudo apt install dkms {package} && sudo reboot"


def system_only(root: Path) -> bool:
    """Whether the binding is there for the system's Python, though this one does not see it."""
    return (root / "usr/lib/python3/dist-packages/hailo_platform").is_dir()


def _line(file: Path) -> str | None:
    try:
        return file.read_text(encoding="ascii", errors="replace").strip() or None
    except OSError:
        return None
