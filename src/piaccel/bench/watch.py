"""Measuring a device that has a camera of its own: nothing can be fed to it, but its frames can be watched."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from piaccel.backends import CameraSession
from piaccel.bench.scenarios import Limits, Samples
from piaccel.errors import InferenceError

WARM_UP = 10
"""Frames that are not counted: a camera's exposure and gain settle first."""


@dataclass(frozen=True)
class Watched:
    """What was seen: each latency is the age of a frame, from its exposure, when its result was there."""

    samples: Samples
    first_ns: int
    """Until the first result, the upload of the network included."""
    warmup_ns: list[int]
    note: str


def watch(session: CameraSession, limits: Limits, clock: Callable[[], int] = time.monotonic_ns) -> Watched:
    """Watch the camera for as long as ``limits`` ask. Raises what ``CameraSession.shots`` raises.

    Where a frame does not tell when it was exposed (SensorTimestamp is CLOCK_MONOTONIC on a Raspberry Pi), a latency
    is the time since the result before.
    """
    shots = session.shots()
    begun = clock()
    ages: list[int] = []
    gaps: list[int] = []
    timings: dict[str, list[float]] = {}
    first = started = before = 0
    unanswered = 0
    for shot in shots:
        now = clock()
        if shot.outputs is None:
            unanswered += bool(started)
            continue
        first = first or now
        ages.append(now - shot.frame.exposed_ns if shot.frame.exposed_ns is not None else -1)
        gaps.append(now - (before or begun))
        before = now
        if len(ages) == WARM_UP:
            started = now
        if not started or len(ages) == WARM_UP:
            continue
        for name, value in shot.timing_ms.items():
            timings.setdefault(name, []).append(value)
        counted = len(ages) - WARM_UP
        enough = now - started >= limits.min_duration_ns and counted >= limits.min_queries
        if enough or now - started >= limits.max_duration_ns:
            break
    if len(ages) <= WARM_UP:
        raise InferenceError("the camera ended before it could be measured")
    known = min(ages) >= 0
    latencies = ages if known else gaps
    told = ["age of a frame when its result is there" if known else "time from one result to the next"]
    if unanswered:
        told.append(f"{unanswered} of {len(ages) - WARM_UP + unanswered} frames came without a result")
    told += [f"{name.removesuffix('_ms')} {statistics.median(values):.1f} ms" for name, values in timings.items()]
    samples = Samples(latencies[WARM_UP:], started, before - started)
    return Watched(samples, first - begun, latencies[:WARM_UP], "; ".join(told))
