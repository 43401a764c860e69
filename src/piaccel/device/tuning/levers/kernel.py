"""The kernel: its page size, and two of its parts that Raspberry Pi OS switches off."""

from __future__ import annotations

from collections.abc import Iterator

from piaccel.device.accelerators import CORAL_PCIE
from piaccel.device.findings import Subject
from piaccel.device.tuning import boot_files
from piaccel.device.tuning.lever import Lever


def levers(subject: Subject) -> Iterator[Lever]:
    """Page size, pressure figures, memory limits."""
    if not subject.board.is_pi:
        return
    yield _page_size(subject)
    words = (subject.tree.text("proc/cmdline") or "").split()
    missing = boot_files.missing(subject, "cmdline.txt")
    # Without the file nothing tells whether they are off: the kernel of a desktop has them on.
    off = subject.tree.data("proc/pressure/memory") is None
    yield Lever(
        "psi",
        "pressure figures of the kernel (PSI)",
        "off" if off else "on",
        "on",
        "A service sees memory running short before the kernel ends it; they are built in and switched off.",
        "raspberrypi/linux, bcm2712_defconfig (CONFIG_PSI_DEFAULT_DISABLED)",
        needs_reboot=True,
        changes=(boot_files.words(subject, "psi=1"),) if off and not missing else (),
        refused=missing if off else "",
    )
    unbound = "cgroup_disable=memory" in words and "cgroup_enable=memory" not in words
    yield Lever(
        "cgroup-memory",
        "memory limits of services and containers",
        None if not words else "off" if unbound else "on",
        "on",
        "The firmware boots with cgroup_disable=memory: MemoryMax= of a service and docker --memory are ignored "
        "without a word.",
        "raspberrypi/linux, device tree (bootargs); systemd.resource-control(5)",
        risk="the kernel counts every page; no published figure of what that costs",
        needs_reboot=True,
        changes=(boot_files.words(subject, "cgroup_enable=memory"),) if unbound and not missing else (),
        refused=missing if unbound else "",
    )


def _page_size(subject: Subject) -> Lever:
    size = subject.board.page_size
    coral = subject.accelerator(CORAL_PCIE)
    refused = boot_files.missing(subject, "config.txt")
    if subject.board.soc != "BCM2712":
        refused = "this board's kernel has pages of 4 KiB always"
    return Lever(
        "page-size",
        "memory page size (16 KiB, or 4 KiB with kernel8.img)",
        f"{size // 1024} KiB" if size else None,
        "4 KiB" if coral and not refused else None,
        "The Coral PCIe driver works with pages of 4 KiB only."
        if coral
        else "All runtimes here work with 16 KiB; only some old programs do not (ELF load command address/offset not "
        "page-aligned). Nothing that is plugged in needs 4 KiB.",
        "RP docs, config_txt.adoc (kernel); raspberrypi/bookworm-feedback#107; raspberrypi/linux#6799",
        risk="the kernel is the one of the Raspberry Pi 4; what that costs is not published",
        needs_reboot=True,
        opt_in=coral is None,
        for_speed=True,
        changes=() if refused else (boot_files.setting(subject, "kernel=kernel8.img"),),
        refused=refused,
    )
