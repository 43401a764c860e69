"""piaccel's own cost, measured against the bare runtimes and their own tools. Run with ``make benchmarks``.

Each file is one question and defines ``measure() -> list[Row]``. Whatever is compared runs interleaved in one process
or one sitting, and only ratios and differences within it are claimed: the machine may be noisy.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

SHARED = Path(__file__).parents[1] / ".." / "shared"
DEMO = Path(__file__).parents[1] / "demo"


@dataclass(frozen=True)
class Row:
    """One answer. ``met`` is None where there is no bar, or where it could not be measured here."""

    question: str
    value: str
    bar: str = ""
    met: bool | None = None


def interleave(calls: Sequence[Callable[[], object]], rounds: int, block: int) -> list[list[int]]:
    """Time every call ``rounds`` x ``block`` times in nanoseconds, in blocks that take turns and change their order."""
    times: list[list[int]] = [[] for _ in calls]
    clock = time.perf_counter_ns
    for turn in range(rounds):
        for at in range(len(calls)):
            index = (at + turn) % len(calls)
            call, sink = calls[index], times[index]
            call()
            for _ in range(block):
                start = clock()
                call()
                sink.append(clock() - start)
    return times


def medians(times: Sequence[Sequence[int]]) -> list[float]:
    return [statistics.median(each) for each in times]
