"""Energy: readings of power integrated over time, with what is not known of it."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

LONGEST_UNSEEN = 0.1
"""With more than this share of the time unseen there is no energy to speak of."""
_LATE = 2.5
"""Readings further apart than so many periods left something unseen."""


@dataclass(frozen=True)
class Reading:
    """One reading: the clock in the middle of it, and the power; None where it failed."""

    at_ns: int
    watts: float | None


@dataclass(frozen=True)
class Idle:
    """What the machine draws without the work."""

    watts: float
    sampling_w: float
    """The standard error of the mean; 0 for a number that was given."""
    seconds: float
    samples: int
    how: str


@dataclass(frozen=True)
class Energy:
    """What was used in ``seconds``. ``joules`` is None where too little was seen; ``reason`` says why."""

    joules: float | None
    seconds: float
    samples: int
    """Readings that gave a value."""
    missing: int
    """Readings that failed; what lies between their neighbours is interpolated, and is in ``unseen_s``."""
    unseen_s: float
    """Time without a reading nearby."""
    sampling_j: float
    """What reading at intervals leaves open: the standard error of the mean power, and half the range while unseen."""
    relative: float | None
    """The source's uncertainty as a share of the reading; None where nobody states it."""
    reason: str = ""

    @property
    def uncertainty_j(self) -> float | None:
        """Sampling and source together (root of the sum of squares); None where one of them is not known."""
        if self.joules is None or self.relative is None:
            return None
        return math.hypot(self.relative * self.joules, self.sampling_j)

    @property
    def mean_w(self) -> float | None:
        """The mean power."""
        return None if self.joules is None or self.seconds <= 0 else self.joules / self.seconds

    def above(self, idle: Idle) -> Energy:
        """What was used beyond the idle power. May be negative within its uncertainty.

        A source that is wrong by a share is so in both, and its share of the difference stays.
        """
        if self.joules is None:
            return self
        return replace(
            self,
            joules=self.joules - idle.watts * self.seconds,
            sampling_j=math.hypot(self.sampling_j, idle.sampling_w * self.seconds),
        )

    def to_dict(self) -> dict[str, object]:
        """Everything with JSON types."""
        return {**asdict(self), "uncertainty_j": self.uncertainty_j, "mean_w": self.mean_w}


def integrate(
    readings: Sequence[Reading],
    start_ns: int,
    end_ns: int,
    *,
    period_s: float,
    relative: float | None,
    reason: str = "",
) -> Energy:
    """Integrate from ``start_ns`` to ``end_ns`` by trapezoids; ``readings`` are in the order of time.

    Between two readings the power is a straight line, and so it is at both ends; before the first and after the last
    reading it is taken as theirs. What is longer than two and a half periods, or has a failure in it, is unseen.
    """
    seconds = (end_ns - start_ns) / 1e9
    good = [(each.at_ns, each.watts) for each in readings if each.watts is not None]
    failed = [each.at_ns for each in readings if each.watts is None]
    inside = [watts for at, watts in good if start_ns <= at <= end_ns]
    missing = sum(start_ns <= at <= end_ns for at in failed)
    empty = Energy(None, seconds, len(inside), missing, max(seconds, 0.0), 0.0, relative)
    if seconds <= 0:
        return replace(empty, reason="no time has passed")
    if not good:
        return replace(empty, reason=reason or "there is no reading")
    limit_ns = _LATE * period_s * 1e9
    first, last = good[0], good[-1]
    line = [(min(first[0], start_ns), first[1]), *good, (max(last[0], end_ns), last[1])]
    joules = unseen_s = 0.0
    for (from_ns, before), (to_ns, after) in itertools.pairwise(line):
        left, right = max(from_ns, start_ns), min(to_ns, end_ns)
        if right <= left:
            continue
        slope = (after - before) / (to_ns - from_ns)
        middle = before + slope * ((left + right) / 2 - from_ns)
        joules += middle * (right - left) / 1e9
        if to_ns - from_ns > limit_ns or any(from_ns < at <= to_ns for at in failed):
            unseen_s += (right - left) / 1e9
    seen = inside or [first[1], last[1]]
    spread = statistics.stdev(seen) if len(seen) > 1 else 0.0
    half_range = (max(seen) - min(seen)) / 2
    sampling_j = math.hypot(spread / math.sqrt(len(seen)) * seconds, half_range * unseen_s)
    energy = Energy(joules, seconds, len(inside), missing, unseen_s, sampling_j, relative, reason if missing else "")
    if unseen_s <= LONGEST_UNSEEN * seconds:
        return energy
    why = f"the power was not seen for {unseen_s:.1f} of {seconds:.1f} s" + (f": {reason}" if reason else "")
    return replace(energy, joules=None, reason=why)
