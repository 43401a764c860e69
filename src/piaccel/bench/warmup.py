"""Running a network until it is steady: caches filled, memory settled, the clock up from its idle frequency."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

WINDOW = 5
"""Inferences that are compared with as many before them."""
TOLERANCE = 0.05
"""The medians of two windows may differ by this share."""
MIN_NS = 300_000_000
"""The governors ``ondemand`` and ``schedutil`` need tens of milliseconds under load to reach the highest clock."""


def warm_up(
    run: Callable[[Any], object],
    inputs: Sequence[Any],
    max_ns: int,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> list[int]:
    """Run until the last ``WINDOW`` inferences take as long as the ``WINDOW`` before (medians within ``TOLERANCE``).

    At least two windows and ``MIN_NS``, at most ``max_ns`` after two windows. Returns every latency in ns; whether the
    network was steady afterwards is judged from the measured part itself.
    """
    latencies: list[int] = []
    started = clock()
    while True:
        chosen = inputs[len(latencies) % len(inputs)]
        begin = clock()
        run(chosen)
        end = clock()
        latencies.append(end - begin)
        if len(latencies) < 2 * WINDOW:
            continue
        if end - started >= max_ns or (end - started >= MIN_NS and steady(latencies)):
            return latencies


def steady(latencies: Sequence[int]) -> bool:
    """Say whether the last two windows have about the same median."""
    before = float(np.median(latencies[-2 * WINDOW : -WINDOW]))
    last = float(np.median(latencies[-WINDOW:]))
    return abs(last - before) <= TOLERANCE * before


def timer_cost_ns(clock: Callable[[], int] = time.perf_counter_ns) -> int:
    """Return what two clock reads with nothing between them show, the median of 1001: it is part of every sample."""
    pairs = [-clock() + clock() for _ in range(1001)]
    return int(np.median(pairs))
