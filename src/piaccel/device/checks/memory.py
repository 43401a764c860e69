"""Memory, swap, and what the kernel was told about both."""

from __future__ import annotations

from collections.abc import Iterator

from piaccel.device.findings import Finding, Subject

_LITTLE_BYTES = 128 << 20
_SMALL_BOARD_BYTES = 1 << 30
_ZRAM = {
    "bookworm": "sudo apt install zram-tools && sudo systemctl disable --now dphys-swapfile",
    "trixie": "printf '[Main]\\nMechanism=zram\\n' | sudo tee /etc/rpi/swap.conf.d/zram.conf",
}


def available(subject: Subject) -> Iterator[Finding]:
    """Little memory left."""
    left = subject.readings["memory_available_bytes"]
    if left is not None and left < _LITTLE_BYTES:
        yield Finding(
            "memory",
            "warning",
            f"only {left / 2**20:.0f} MiB of memory are available",
            "Loading a model will push something into swap or be killed.",
            "End what you do not need; the largest are:",
            "ps -eo rss,comm --sort=-rss | head",
        )


def swap(subject: Subject) -> Iterator[Finding]:
    """A small board that swaps to its SD card."""
    ram = subject.board.ram_bytes
    lines = (subject.tree.text("proc/swaps") or "").splitlines()[1:]
    files = [line.split()[0] for line in lines if line.split()[1:2] == ["file"]]
    if ram is not None and ram <= _SMALL_BOARD_BYTES and files and _root_on_card(subject):
        yield Finding(
            "memory",
            "warning",
            f"{ram >> 20} MiB of memory, and swap lies on the SD card ({files[0]})",
            "A model that is swapped out answers many times slower, and the card wears out.",
            "Swap into compressed memory (zram) instead, then reboot.",
            _ZRAM.get(subject.board.os_codename or "", ""),
        )


def _root_on_card(subject: Subject) -> bool:
    mounts = [line.split() for line in (subject.tree.text("proc/mounts") or "").splitlines()]
    return any(fields[1:2] == ["/"] and fields[0].startswith("/dev/mmcblk") for fields in mounts)


def pressure(subject: Subject) -> Iterator[Finding]:
    """Pressure stall figures that the kernel has but does not show."""
    if subject.board.is_pi and subject.tree.data("proc/pressure/memory") is None:
        yield Finding(
            "memory",
            "note",
            "pressure figures (PSI) are off",
            "A service cannot see memory running short before the kernel kills it. Raspberry Pi's kernel has PSI "
            "built in and switched off.",
            "For a service, switch it on, then reboot.",
            f"sudo sed -i '1 s/$/ psi=1/' {subject.boot}/cmdline.txt",
        )


def cgroup(subject: Subject) -> Iterator[Finding]:
    """Memory limits that do not bind."""
    words = (subject.tree.text("proc/cmdline") or "").split()
    if "cgroup_disable=memory" in words and "cgroup_enable=memory" not in words:
        yield Finding(
            "memory",
            "note",
            "memory limits of systemd and containers do not bind (cgroup_disable=memory)",
            "MemoryMax= and docker --memory are ignored without a word.",
            "For a service, switch them on, then reboot.",
            f"sudo sed -i '1 s/$/ cgroup_enable=memory/' {subject.boot}/cmdline.txt",
        )
