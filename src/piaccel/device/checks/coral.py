"""Coral Edge TPU on USB: the port, the library, who may open it (facts: libedgetpu, google-coral/edgetpu issues)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from piaccel.device import permissions
from piaccel.device.accelerators import CORAL_PCIE, CORAL_USB, Accelerator
from piaccel.device.findings import Finding, Subject
from piaccel.device.packages import Package

_SECTION = "device"
_FOLDERS = (
    "lib/aarch64-linux-gnu",
    "usr/lib/aarch64-linux-gnu",
    "usr/lib",
    "usr/local/lib",
    "usr/lib/x86_64-linux-gnu",
)
_DEBS = ("libedgetpu1-std", "libedgetpu1-max")
_RELEASES = "https://github.com/feranick/libedgetpu/releases/download"
_RULES = (
    'SUBSYSTEM=="usb",ATTRS{idVendor}=="1a6e",ATTRS{idProduct}=="089a",GROUP="plugdev"\\n'
    'SUBSYSTEM=="usb",ATTRS{idVendor}=="18d1",ATTRS{idProduct}=="9302",GROUP="plugdev"\\n'
)
_WITH_USB_3 = ("BCM2711", "BCM2712")
_BEFORE_FIRMWARE = "1a6e:089a"


def usb_port(subject: Subject) -> Iterator[Finding]:
    """A stick in a USB 2 port."""
    coral = subject.accelerator(CORAL_USB)
    if coral is None or coral.speed not in ("480", "12"):
        return
    could = subject.board.soc is None or subject.board.soc in _WITH_USB_3
    yield Finding(
        _SECTION,
        "warning" if could else "note",
        "the Coral runs at USB 2 speed (480 Mbit/s)" + ("" if could else ", the fastest that this board has"),
        "Every answer takes at least twice as long: MobileNet 9.0 ms instead of 4.2, SSD MobileNet 57.7 instead of "
        "15.1 (Coral's benchmarks, Pi 3B+ and Pi 4).",
        "Move it to a blue port, with the cable it came with: many cables have no USB 3 wires." if could else "",
    )


def library(subject: Subject) -> Iterator[Finding]:
    """No libedgetpu, or Google's of 2021 with a newer TensorFlow Lite."""
    coral = _coral(subject)
    if coral is None:
        return
    deb = subject.debs.first(*_DEBS)
    version = subject.debs.get(deb) if deb else None
    if version is None and not _has(subject, "libedgetpu.so.1"):
        yield Finding(
            _SECTION,
            "problem",
            f"{coral.kind.title}: its library libedgetpu is not installed",
            'Loading fails with "libedgetpu.so.1: cannot open shared object file"; Raspberry Pi OS has no package.',
            "Install a build for this system.",
            _install(subject),
        )
        return
    runtime = _runtime(subject)
    if version is not None and "tf" not in version.lower() and runtime is not None:
        yield Finding(
            _SECTION,
            "problem",
            f"libedgetpu {version} is Google's build of 2021, which does not go with {runtime}",
            "With TensorFlow Lite 2.12 and later it ends the process with a segmentation fault at the first inference "
            "(google-coral/edgetpu#812).",
            "Replace it by a build for a newer TensorFlow Lite.",
            _install(subject),
        )
    if deb is None and not _has(subject, "libusb-1.0.so.0"):
        yield Finding(
            _SECTION,
            "problem",
            "libedgetpu needs libusb, which is not installed",
            'Loading it fails with "libusb-1.0.so.0: cannot open shared object file".',
            "Install it.",
            "sudo apt install libusb-1.0-0",
        )


def usb_permission(subject: Subject) -> Iterator[Finding]:
    """A stick that this user may not open."""
    coral = subject.accelerator(CORAL_USB)
    if coral is None or coral.node is None:
        return
    vendor = coral.id.partition(":")[0]
    held = permissions.rights(subject.tree, coral.node.lstrip("/"), f'{{idVendor}}=="{vendor}"')
    if held.may_open is not False:
        return
    why = 'The library then says only "Failed to load delegate", and that no device was found.'
    if held.ruled:
        yield Finding(
            _SECTION,
            "problem",
            f"this user may not open the Coral ({coral.node}, group {held.group or 'root'})",
            why,
            "Join the group, log out and in again.",
            f'sudo usermod -aG {held.group or "plugdev"} "$USER"',
        )
    else:
        yield Finding(
            _SECTION,
            "problem",
            f"only root may open the Coral ({coral.node}): no udev rule gives it to a group",
            why + " It has two ids, one before its firmware is loaded and one after; both need a rule.",
            "Add the rules, join the group, log out and in again, and plug the Coral in anew.",
            f"printf '{_RULES}' | sudo tee /etc/udev/rules.d/60-coral.rules\n"
            'sudo udevadm control --reload-rules && sudo usermod -aG plugdev "$USER"',
        )


def firmware(subject: Subject) -> Iterator[Finding]:
    """A stick nobody has used since it was plugged in."""
    coral = subject.accelerator(CORAL_USB)
    if coral is not None and coral.id == _BEFORE_FIRMWARE:
        yield Finding(
            _SECTION,
            "note",
            "the Coral waits for its firmware: the first start takes seconds, and it comes back as 18d1:9302",
            "In a container pass the whole bus, because it comes back under another number.",
            "For a container:",
            "docker run --device /dev/bus/usb",
        )


def _coral(subject: Subject) -> Accelerator | None:
    return subject.accelerator(CORAL_USB, CORAL_PCIE)


def _has(subject: Subject, name: str) -> bool:
    return any(subject.tree.exists(f"{folder}/{name}") for folder in _FOLDERS)


def _runtime(subject: Subject) -> str | None:
    """The TensorFlow Lite of 2.12 or later that would load the library."""
    for name in ("ai-edge-litert", "tflite-runtime"):
        package = subject.packages.get(name)
        if package and (name == "ai-edge-litert" or _number(package) >= (2, 12)):
            return f"{name} {package.version}"
    return None


def _number(package: Package) -> tuple[int, int]:
    found = re.match(r"(\d{1,6})\.(\d{1,6})", package.version)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _install(subject: Subject) -> str:
    """The command for this release; the builds' names: feranick/libedgetpu, releases."""
    system = "trixie" if subject.board.os_codename == "trixie" else "bookworm"
    file = f"libedgetpu1-std_16.0tf2.19.1-1.{system}_arm64.deb"
    return f"wget {_RELEASES}/16.0TF2.19.1-1/{file}\nsudo apt install ./{file}"
