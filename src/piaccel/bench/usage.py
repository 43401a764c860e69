"""What this process uses of the machine, and what others use at the same time (proc(5))."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


@dataclass(frozen=True)
class Usage:
    """CPU time so far, in ns; subtract two to learn of the time between them."""

    at_ns: int
    own_ns: int
    """Of this process, all its threads."""
    parent_ns: int
    """Of the process that started us and of its other children that have ended: it reads the sensors meanwhile."""
    busy_ns: int | None
    """Of the whole machine, time stolen by a hypervisor included; None where the kernel does not tell."""

    @classmethod
    def now(cls, proc: Path = _PROC) -> Usage:
        return cls(
            at_ns=time.perf_counter_ns(),
            own_ns=time.process_time_ns(),
            parent_ns=_parent_ns(proc),
            busy_ns=_busy_ns(proc),
        )

    def other_load(self, before: Usage) -> float | None:
        """Cores that other processes kept busy since ``before``."""
        if self.busy_ns is None or before.busy_ns is None or self.at_ns <= before.at_ns:
            return None
        busy = self.busy_ns - before.busy_ns
        ours = self.own_ns - before.own_ns + self.parent_ns - before.parent_ns
        return max(0.0, (busy - ours) / (self.at_ns - before.at_ns))


def rss_peak_bytes(proc: Path = _PROC) -> int | None:
    """Return the largest resident set of this process so far.

    Not getrusage's ``ru_maxrss``: a child inherits that from the process that started it (Linux, ``exec_mmap``).
    """
    try:
        lines = (proc / "self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)


def _busy_ns(proc: Path) -> int | None:
    """user, nice, system, irq, softirq and steal; guest time is contained in user."""
    try:
        fields = (proc / "stat").read_text().split("\n", 1)[0].split()[1:]
    except OSError:
        return None
    user, nice, system, _idle, _iowait, irq, softirq, steal = (int(field) for field in fields[:8])
    return (user + nice + system + irq + softirq + steal) * _TICK_NS


def _parent_ns(proc: Path) -> int:
    try:
        text = (proc / str(os.getppid()) / "stat").read_text()
    except OSError:  # another user's, or gone: then its time counts as others'
        return 0
    fields = text.rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) * _TICK_NS  # utime, stime, cutime, cstime
