"""Cores of its own for a real-time pipeline: a matter of purpose, because it costs throughput."""

from __future__ import annotations

import re
from collections.abc import Iterator

from piaccel.device.findings import Subject
from piaccel.device.tuning import boot_files
from piaccel.device.tuning.lever import Lever

_PARAMETERS = "kernel.org, admin-guide/kernel-parameters.txt"


def levers(subject: Subject) -> Iterator[Lever]:
    """Isolation of the last core, interrupts on the others, no clock tick on it."""
    cores = subject.board.cores
    if not subject.board.is_pi:
        return
    last = (cores or 1) - 1
    few = boot_files.missing(subject, "cmdline.txt") or ("" if last else "it has one core only")
    share = 100 // (cores or 1)
    yield _word(
        subject,
        "isolation",
        "a core that the scheduler leaves alone",
        f"isolcpus={last}",
        f"A process that is pinned to core {last} is not interrupted by others: steadier latency.",
        f"the runtimes lose {share} % of the throughput; nothing runs there unless it is pinned",
        few,
    )
    yield _word(
        subject,
        "irq-affinity",
        "the cores that answer interrupts",
        "irqaffinity=0" if last == 1 else f"irqaffinity=0-{last - 1}",
        f"Core {last} is not stopped by the camera's, the network's and the card's interrupts. Of use together with "
        "isolation.",
        "the other cores answer more of them",
        few,
    )
    built = _built(subject)
    yield _word(
        subject,
        "nohz-full",
        "a core without the clock tick",
        f"nohz_full={last}",
        "Without the tick a process that is alone on its core is never stopped.",
        "entering the kernel takes longer on that core",
        few if built else "this kernel is built without CONFIG_NO_HZ_FULL: the word is ignored",
    )


def _word(subject: Subject, name: str, what: str, word: str, why: str, risk: str, refused: str) -> Lever:
    key = word.partition("=")[0]
    running = (subject.tree.text("proc/cmdline") or "").split()
    return Lever(
        name,
        what,
        next((each for each in running if each.startswith(f"{key}=")), "not set") if running else None,
        None if refused else word,
        why,
        _PARAMETERS,
        risk=risk,
        needs_reboot=True,
        opt_in=True,
        changes=() if refused else (boot_files.words(subject, word),),
        refused=refused,
    )


def _built(subject: Subject) -> bool:
    """Whether the kernel's own configuration says so; Raspberry Pi's has no CONFIG_NO_HZ_FULL (bcm2712_defconfig)."""
    kernel = subject.board.kernel or ""
    text = subject.tree.text(f"boot/config-{kernel}") if re.fullmatch(r"[\w.+~-]{1,100}", kernel) else None
    return "CONFIG_NO_HZ_FULL=y" in (text or "").splitlines()
