"""Cameras: which are seen, what an IMX500 lacks, and the memory that their buffers come from."""

from __future__ import annotations

import re
from collections.abc import Iterator

from piaccel.device import permissions
from piaccel.device.accelerators import IMX500
from piaccel.device.findings import Finding, Subject

_SECTION = "camera"
_FIRMWARE = ("imx500_loader.fpk", "imx500_firmware.fpk")
_LITTLE_CMA_KB = 16 << 10


def present(subject: Subject) -> Iterator[Finding]:
    """Which cameras the kernel has, and a detection that is switched off."""
    if not subject.board.is_pi and not subject.cameras:
        return
    names = ", ".join(f"{camera.name} ({camera.bus})" for camera in subject.cameras)
    yield Finding(_SECTION, "ok", names or "none seen")
    looks = dict(subject.settings).get("camera_auto_detect") == "1"
    named = any(key == "dtoverlay" and re.match(r"(imx|ov)\d", value) for key, value in subject.settings)
    if subject.board.is_pi and subject.settings and not subject.cameras and not looks and not named:
        yield Finding(
            _SECTION,
            "note",
            "the detection of cameras on the ribbon connectors is off",
            "The firmware then announces none to the kernel.",
            "If one is connected, switch it on, then reboot.",
            subject.append("camera_auto_detect=1"),
        )


def permission(subject: Subject) -> Iterator[Finding]:
    """Cameras that this user may not open."""
    nodes = subject.tree.glob("dev/v4l-subdev*") or subject.tree.glob("dev/video*")
    if not subject.cameras or not nodes:
        return
    held = permissions.rights(subject.tree, str(nodes[0].relative_to(subject.tree.root)), 'SUBSYSTEM=="video4linux"')
    if held.may_open is False and held.ruled:
        yield Finding(
            _SECTION,
            "problem",
            f"this user may not open the camera (/dev/{nodes[0].name}, group {held.group or 'root'})",
            "libcamera then finds no camera, without a word why.",
            "Join the group, log out and in again.",
            f'sudo usermod -aG {held.group or "video"} "$USER"',
        )


def imx500(subject: Subject) -> Iterator[Finding]:
    """An IMX500 without its firmware, its driver, or the software that talks to it."""
    sensor = subject.accelerator(IMX500)
    if sensor is None:
        return
    folders = ("lib/firmware", "usr/lib/firmware")
    missing = [name for name in _FIRMWARE if not any(subject.tree.exists(f"{top}/{name}") for top in folders)]
    if missing:
        yield Finding(
            _SECTION,
            "problem",
            f"the IMX500 lacks its firmware ({', '.join(missing)})",
            "Without it the sensor gives no picture and runs no network.",
            "Install it, then reboot.",
            "sudo apt install imx500-all && sudo reboot",
        )
    elif sensor.node is None:
        yield Finding(
            _SECTION,
            "problem",
            f"the IMX500 is announced on I2C ({sensor.address}), but its driver did not start it",
            'picamera2 then says "IMX500: Requested camera dev-node not found".',
            "Power off, seat the ribbon cable again; the kernel's log tells more.",
            "sudo dmesg | grep -i imx500 | tail",
        )
    if not subject.packages.get("picamera2"):
        apt = subject.packages.apt.get("picamera2")
        yield Finding(
            _SECTION,
            "warning" if apt else "problem",
            "this Python does not see picamera2, which an IMX500 is reached through",
            "libcamera exists as a package of Debian only, for the system's Python.",
            "Make the virtual environment with the system's packages." if apt else "Install it.",
            "/usr/bin/python3 -m venv --system-site-packages .venv"
            if apt
            else "sudo apt install python3-picamera2 --no-install-recommends",
        )
    elif not subject.tree.glob("usr/share/imx500-models/*.rpk"):
        yield Finding(
            _SECTION,
            "note",
            "no networks for the IMX500 are installed",
            "A network's first upload to the sensor takes minutes.",
            "Raspberry Pi's own ones come with:",
            "sudo apt install imx500-models",
        )


def contiguous_memory(subject: Subject) -> Iterator[Finding]:
    """Little of the memory that camera buffers need in one piece (CMA)."""
    meminfo = dict(re.findall(r"(?m)^(Cma\w+): +(\d{1,12}) kB", subject.tree.text("proc/meminfo") or ""))
    if not meminfo.get("CmaTotal") or not meminfo.get("CmaFree"):
        return
    total, free = int(meminfo["CmaTotal"]), int(meminfo["CmaFree"])
    if total and free < _LITTLE_CMA_KB:
        pi5 = subject.board.soc == "BCM2712"
        small = (subject.board.ram_bytes or 0) <= 1 << 30
        command = (
            ""
            if pi5
            else f"sudo sed -i 's/^dtoverlay=vc4-kms-v3d.*/dtoverlay=vc4-kms-v3d,cma-{256 if small else 512}/' "
            f"{subject.boot}/config.txt"
        )
        yield Finding(
            "memory",
            "warning",
            f"only {free / 1024:.0f} of {total / 1024:.0f} MiB of contiguous memory (CMA) are free",
            'Camera and Hailo buffers come from there; the next one fails with "Cannot allocate memory".',
            "End programs that hold cameras or an accelerator; some leak it (a reboot gives it back)."
            if pi5
            else "End programs that hold cameras, ask for fewer buffers, or reserve more, then reboot.",
            command,
        )
    asked = any(key == "dtoverlay" and re.search(r"\bcma-", value) for key, value in subject.settings)
    if asked and subject.board.soc == "BCM2712":
        yield Finding(
            "memory",
            "note",
            "a CMA size is set in config.txt, which gains nothing on this board",
            "Camera and codec take system memory through the IOMMU on a Raspberry Pi 5 (raspberrypi/linux#6361).",
            "Take the parameter out.",
            f"sudo sed -i 's/,cma-[0-9a-z]*//' {subject.boot}/config.txt",
        )
