"""Board, operating system, page size, CPU."""

from __future__ import annotations

import os
from collections.abc import Iterator

from piaccel.device.findings import Finding, Subject

_GOVERNOR = "echo performance | sudo tee /sys/devices/system/cpu/cpufreq/policy*/scaling_governor"
# The oldest glibc each runtime's aarch64 wheel runs on, from its manylinux tag.
_WHEELS_NEED = {"LiteRT": (2, 27), "ONNX Runtime, OpenCV and ncnn": (2, 28), "OpenVINO": (2, 35)}


def board(subject: Subject) -> Iterator[Finding]:
    """Which machine it is."""
    it = subject.board
    name = it.model or "not a Raspberry Pi"
    code = f" ({it.revision})" if it.revision else ""
    ram = f", {it.ram_bytes / 2**30:.3g} GiB" if it.ram_bytes else ""
    soc = f", {it.soc}" if it.soc else ""
    yield Finding("board", "ok", f"{name}{code}{soc}{ram}")


def operating_system(subject: Subject) -> Iterator[Finding]:
    """The operating system; a 32-bit one and one too old for the wheels."""
    it = subject.board
    parts = [it.os_name, f"kernel {it.kernel}" if it.kernel else None, it.architecture]
    yield Finding("OS", "ok", ", ".join(part for part in parts if part) or "unknown")
    if it.process_bits == 32:
        yield Finding(
            "OS",
            "problem",
            "the programs are 32-bit" + (" (below a 64-bit kernel)" if it.architecture == "aarch64" else ""),
            "No runtime has wheels for 32-bit ARM, and its int8 kernels are slower.",
            'Install "Raspberry Pi OS (64-bit)" with Raspberry Pi Imager: https://www.raspberrypi.com/software/',
        )
    version = _glibc(subject)
    late = [name for name, needed in _WHEELS_NEED.items() if version and version < needed]
    if version and late:
        yield Finding(
            "OS",
            "problem" if len(late) == len(_WHEELS_NEED) else "warning",
            f"glibc {version[0]}.{version[1]} is too old for the wheels of {', '.join(late)}",
            "pip then finds no wheel, or takes a release from years ago without saying so.",
            "Move to Raspberry Pi OS Bookworm (glibc 2.36) or Trixie (2.41).",
        )


def _glibc(subject: Subject) -> tuple[int, int] | None:
    if subject.tree.live:
        name = os.confstr("CS_GNU_LIBC_VERSION") if "CS_GNU_LIBC_VERSION" in os.confstr_names else None
        text = name.removeprefix("glibc ") if name else None
    else:
        text = subject.debs.upstream("libc6")
    numbers = (text or "").split(".")
    return (int(numbers[0]), int(numbers[1])) if len(numbers) >= 2 else None


def page_size(subject: Subject) -> Iterator[Finding]:
    """The page size; what 16 KiB pages mean."""
    size = subject.board.page_size
    yield Finding("page size", "ok", f"{size // 1024} KiB" if size else "unknown")
    if size == 16384:
        yield Finding(
            "page size",
            "note",
            "16 KiB pages: all runtimes here work with them, some old binaries and the Coral PCIe driver do not",
            'Those fail with "ELF load command address/offset not page-aligned".',
            "Only if you need one of them, boot the 4 KiB kernel (then reboot).",
            f"printf '\\n[all]\\nkernel=kernel8.img\\n' | sudo tee -a {subject.boot}/config.txt",
        )


def cpu(subject: Subject) -> Iterator[Finding]:
    """The CPU, and a /proc/cpuinfo that is not the CPU's own."""
    it = subject.board
    name = f"{it.cores or '?'} x {it.cpu or 'unknown CPU'}"
    clock = f", at most {it.max_freq_hz / 1e6:.0f} MHz" if it.max_freq_hz else ""
    features = "" if it.dotprod is None else f", int8 dot product: {_yes(it.dotprod)}, float16: {_yes(it.fp16)}"
    yield Finding("CPU", "ok", name + clock + features)
    if it.architecture == "aarch64" and it.cpu_part is None and subject.tree.text("proc/cpuinfo"):
        yield Finding(
            "CPU",
            "problem",
            "/proc/cpuinfo is not that of an ARM CPU, although the programs are arm64",
            "ONNX Runtime dies with a segmentation fault when it is imported: it reads the CPU from that file. "
            "Typical of an arm64 container on an x86 machine.",
            "Mount an ARM cpuinfo over it.",
            "docker run --volume ./cpuinfo-of-a-pi:/proc/cpuinfo:ro IMAGE",
        )


def governor(subject: Subject) -> Iterator[Finding]:
    """A governor that changes the clock while one measures."""
    name = subject.board.governor
    if name is None:
        return
    if name == "powersave":
        yield Finding(
            "CPU",
            "warning",
            "the governor powersave holds the CPU at its lowest clock",
            "Inference runs at a fraction of the board's speed.",
            "Let the clock rise (until the next boot).",
            _GOVERNOR,
        )
    elif name != "performance":
        yield Finding(
            "CPU",
            "note",
            f"the governor is {name}: for benchmarks choose performance",
            "The clock rises only after the work began, so short measurements are too long and unsteady.",
            "Until the next boot:",
            _GOVERNOR,
        )


def _yes(value: bool | None) -> str:
    return "unknown" if value is None else "yes" if value else "no"
