"""The firmware's configuration file, ``config.txt``."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from piaccel.device import bootconfig
from piaccel.device.findings import Finding, Subject

_USUAL_GPU_MIB = 76


def missing(subject: Subject) -> Iterator[Finding]:
    """No configuration file where the system keeps it."""
    found = [name for name in ("boot/firmware/config.txt", "boot/config.txt") if subject.tree.exists(name)]
    if subject.board.is_pi and not found and subject.tree.exists("boot"):
        yield Finding(
            "OS",
            "warning",
            "there is no /boot/firmware/config.txt",
            "The boot partition is not mounted: settings and kernel updates do not reach the firmware.",
            "Mount it.",
            "sudo mount /boot/firmware",
        )


def stale(subject: Subject) -> Iterator[Finding]:
    """Settings in the file that nothing reads since Bookworm."""
    if os.path.islink(subject.tree.path("boot/config.txt")) or not subject.tree.exists("boot/firmware/config.txt"):
        return
    lines = bootconfig.lines(subject.tree.text("boot/config.txt"))
    settings = [line for line in lines if bootconfig.is_setting(line)]
    if settings:
        yield Finding(
            "OS",
            "warning",
            f"/boot/config.txt has settings ({settings[0]}) that nothing reads",
            "Since Bookworm the file is /boot/firmware/config.txt; many instructions still name the old one.",
            "Move what you need, then remove the old file.",
            "diff /boot/config.txt /boot/firmware/config.txt",
        )


def gpu_memory(subject: Subject) -> Iterator[Finding]:
    """``gpu_mem`` for the CPU's work: harmful, or without effect."""
    for key, value in subject.settings:
        if key != "gpu_mem" and not re.fullmatch(r"gpu_mem_(256|512|1024)", key):
            continue
        pi5 = subject.board.soc == "BCM2712"
        if not pi5 and (not re.fullmatch(r"\d{1,9}", value) or int(value) <= _USUAL_GPU_MIB):
            continue
        yield Finding(
            "memory",
            "note" if pi5 else "warning",
            f"{key}={value} in config.txt " + ("has no effect on this board" if pi5 else "takes memory from the CPU"),
            "It is a legacy option: neither the camera nor inference gains from it, and a large value can harm "
            "(RP docs, memory.adoc).",
            "Comment it out, then reboot.",
            f"sudo sed -i 's/^{key}\\b/#&/' {subject.boot}/config.txt",
        )
