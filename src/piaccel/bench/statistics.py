"""What a measurement's samples say, and what they do not.

Samples inside one process are not independent (caches, the allocator, heat and the clock change slowly), and where the
process happened to lie in memory shifts all of them at once. A confidence interval over pooled samples is therefore far
too narrow. The unit here is the repeat, a fresh process: an interval for a mean is Student's t over the repeats' means,
and two measurements are compared with Welch's t over the logarithms of the repeats' medians, so that their difference
is a ratio (Kalibera and Jones, "Rigorous Benchmarking in Reasonable Time", ISMM 2013: repetition at the highest level
decides the interval, and a comparison is an effect size with an interval). A bootstrap over three to five repeats would
be too sure of itself: resampling so few values misses the tails that Student's t has.

Percentiles are MLPerf LoadGen's: the sorted sample at index ``n * percent // 100`` (loadgen/results.cc), so each is a
latency that occurred. From 100 samples or fewer, p99 is the slowest one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from piaccel.bench import STAGES, Measurement, Repeat, Scenario

LEVEL = 0.95
"""Confidence of every interval; 1 - LEVEL is how often equal measurements may be called different."""

BATCHES = 10
"""Into how many stretches the samples of a lone repeat are cut: means of long stretches are nearly independent."""

COMPARED: dict[Scenario, str] = {
    "single-stream": "medians",
    "multi-stream": "medians",
    "offline": "times per sample",
    "server": "times between queries",
    "camera": "ages",
}

Samples = Sequence[int] | Sequence[float] | NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A 95 % confidence interval and how it was found."""

    low: float
    high: float
    method: str


@dataclass(frozen=True)
class Distribution:
    """Numbers derived from every sample of all repeats; times in ms."""

    count: int
    mean_ms: float
    """Mean of the repeats' means: each process counts once, however many samples it had time for."""
    mean_interval_ms: Interval | None
    """None from a single repeat of fewer than ``2 * BATCHES`` samples."""
    min_ms: float
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    cv: float
    """Coefficient of variation: standard deviation of all samples over their mean (0.05 is 5 %)."""


@dataclass(frozen=True)
class Summary:
    """All that is derived from one measurement. Times in ms, shares as fractions; None where nothing was measured."""

    repeats: int
    latency: Distribution
    """Inference alone, a query at a time."""
    fps: float
    """Samples per second of the measured part's wall time; a server's includes the time it waits for queries."""
    stages: dict[str, Distribution]
    """With a picture or a camera: those of ``STAGES`` that were measured."""
    end_to_end: Distribution | None
    """With a picture: the sum of the stages, frame by frame."""
    end_to_end_fps: float | None
    """None for a camera, whose stages overlap: its rate is ``fps``."""
    load_ms: float
    """Median over the repeats, as are ``first_ms``, ``cpu_cores`` and ``other_load``."""
    first_ms: float
    warmup_count: int
    """Warm-up inferences of all repeats together."""
    spread: float
    """Slowest repeat's median over the fastest one's, minus 1: how much a fresh process alone changes."""
    drift: float
    """Largest change inside a repeat: median of its last third over that of its first third, minus 1, with its sign."""
    cpu_cores: float | None
    """CPU time over wall time: how many cores were kept busy."""
    rss_peak_bytes: int | None
    """Largest of the repeats."""
    other_load: float | None


@dataclass(frozen=True)
class Difference:
    """How long a new measurement took, beside an old one."""

    old_ms: float
    """Geometric mean over the repeats of what ``COMPARED`` names."""
    new_ms: float
    interval: Interval | None
    """Of the ratio. None where one side has a single repeat: how much processes differ is then unknown."""

    @property
    def ratio(self) -> float:
        """New over old: 1.10 is 10 % slower."""
        return self.new_ms / self.old_ms

    @property
    def significant(self) -> bool:
        """Whether the interval excludes 1."""
        return self.interval is not None and not self.interval.low <= 1.0 <= self.interval.high


def percentile(samples: Samples, percent: int) -> float:
    """Return the sample at index ``n * percent // 100`` in ascending order. Raises ValueError for no samples."""
    if not len(samples):
        raise ValueError("a percentile of no samples")
    rank = min(len(samples) * percent // 100, len(samples) - 1)
    return float(np.partition(np.asarray(samples), rank)[rank])


def summary(measurement: Measurement) -> Summary | None:
    """Derive all numbers of a measurement; None where it has no samples (it could not be measured)."""
    repeats = [repeat for repeat in measurement.repeats if repeat.latency_ns]
    if not repeats:
        return None
    latency = _distribution([repeat.latency_ns for repeat in repeats])
    end_to_end = _end_to_end(repeats)
    medians = _medians(repeats)
    return Summary(
        repeats=len(repeats),
        latency=latency,
        fps=_fps(measurement, repeats),
        stages={
            stage: _distribution([repeat.stages_ns[stage] for repeat in repeats if repeat.stages_ns.get(stage)])
            for stage in STAGES
            if any(repeat.stages_ns.get(stage) for repeat in repeats)
        },
        end_to_end=end_to_end,
        end_to_end_fps=1e3 / end_to_end.mean_ms if end_to_end and measurement.scenario != "camera" else None,
        load_ms=float(np.median([repeat.load_ns for repeat in repeats])) / 1e6,
        first_ms=float(np.median([repeat.first_ns for repeat in repeats])) / 1e6,
        warmup_count=sum(len(repeat.warmup_ns) for repeat in repeats),
        spread=float(medians.max() / medians.min()) - 1,
        drift=max((_drift(repeat.latency_ns) for repeat in repeats), key=abs),
        cpu_cores=_median_of_known([r.cpu_ns / r.duration_ns if r.cpu_ns and r.duration_ns else None for r in repeats]),
        rss_peak_bytes=max((r.rss_peak_bytes for r in repeats if r.rss_peak_bytes is not None), default=None),
        other_load=_median_of_known([repeat.other_load for repeat in repeats]),
    )


def difference(old: Measurement, new: Measurement) -> Difference | None:
    """Compare two measurements of one scenario; None where one has no samples, or no rate met its latency bound.

    Welch's t (unequal variances, Welch-Satterthwaite degrees of freedom) on the logarithms of the repeats' medians;
    offline, of their wall times per sample; as a server, of the times between queries at the highest rate that was met.
    """
    before, after = np.log(_levels(old)), np.log(_levels(new))
    if not len(before) or not len(after):
        return None
    old_ms, new_ms = (math.exp(float(logs.mean())) / 1e6 for logs in (before, after))
    if len(before) < 2 or len(after) < 2:
        return Difference(old_ms, new_ms, None)
    errors = [float(logs.var(ddof=1)) / len(logs) for logs in (before, after)]
    error = sum(errors)
    margin = 0.0
    if error > 0:
        freedom = error**2 / (errors[0] ** 2 / (len(before) - 1) + errors[1] ** 2 / (len(after) - 1))
        margin = t_quantile(freedom) * math.sqrt(error)
    method = f"Welch's t on log {COMPARED[new.scenario]} of {len(before)} and {len(after)} repeats"
    ratio = new_ms / old_ms
    return Difference(old_ms, new_ms, Interval(ratio * math.exp(-margin), ratio * math.exp(margin), method))


@cache
def t_quantile(freedom: float) -> float:
    """Return t with ``P(-t < T < t) = LEVEL`` for Student's distribution with ``freedom`` degrees of freedom, >= 1.

    With ``t = sqrt(freedom) tan(angle)`` the density becomes ``cos(angle) ** (freedom - 1)``, which Gauss-Legendre
    integrates to better than 1e-9; the quantile is found by bisection.
    """
    constant = 2 * math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi)
    nodes, weights = _gauss_legendre()

    def within(t: float) -> float:
        half = math.atan(t / math.sqrt(freedom)) / 2
        return constant * half * float(weights @ np.cos(half * (nodes + 1)) ** (freedom - 1))

    low, high = 1.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if within(middle) < LEVEL else (low, middle)
    return high


@cache
def _gauss_legendre() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    nodes, weights = np.polynomial.legendre.leggauss(64)
    return nodes, weights


def _distribution(runs: list[list[int]]) -> Distribution:
    """Summarise the samples (ns) of one or more repeats."""
    pooled = np.concatenate([np.asarray(run, dtype=np.float64) for run in runs]) / 1e6
    return Distribution(
        count=len(pooled),
        mean_ms=float(np.mean([np.mean(run) for run in runs])) / 1e6,
        mean_interval_ms=_mean_interval(runs),
        min_ms=float(pooled.min()),
        p50_ms=percentile(pooled, 50),
        p90_ms=percentile(pooled, 90),
        p95_ms=percentile(pooled, 95),
        p99_ms=percentile(pooled, 99),
        max_ms=float(pooled.max()),
        cv=float(pooled.std() / pooled.mean()),
    )


def _mean_interval(runs: list[list[int]]) -> Interval | None:
    """Student's t over the repeats' means, or over the batch means of a lone repeat."""
    parts, method = runs, f"Student's t over {len(runs)} repeats"
    if len(runs) == 1:
        if len(runs[0]) < 2 * BATCHES:
            return None
        edges = np.linspace(0, len(runs[0]), BATCHES + 1).astype(int)
        parts = [runs[0][start:stop] for start, stop in pairwise(edges)]
        method = f"Student's t over {BATCHES} batches of one repeat: how much processes differ is not in it"
    means = np.array([np.mean(part) for part in parts]) / 1e6
    margin = t_quantile(len(means) - 1) * float(means.std(ddof=1)) / math.sqrt(len(means))
    return Interval(float(means.mean()) - margin, float(means.mean()) + margin, method)


def _medians(repeats: list[Repeat]) -> NDArray[np.float64]:
    """Return the median latency (ns) of each repeat that has samples."""
    return np.array([np.median(repeat.latency_ns) for repeat in repeats if repeat.latency_ns])


def _levels(measurement: Measurement) -> NDArray[np.float64]:
    """Return what the repeats are compared by (ns): see ``difference``. Empty where one of them has no such number."""
    repeats = [repeat for repeat in measurement.repeats if repeat.latency_ns]
    if measurement.scenario == "offline":
        size = measurement.samples_per_query
        return np.array([repeat.duration_ns / (len(repeat.latency_ns) * size) for repeat in repeats])
    if measurement.scenario == "server":
        rates = [repeat.server.get("rate_per_s") if repeat.server else None for repeat in repeats]
        return 1e9 / np.array(rates) if all(rates) else np.array([])
    return _medians(repeats)


def _fps(measurement: Measurement, repeats: list[Repeat]) -> float:
    samples = measurement.samples_per_query * sum(len(repeat.latency_ns) for repeat in repeats)
    return samples / (sum(repeat.duration_ns for repeat in repeats) / 1e9)


def _end_to_end(repeats: list[Repeat]) -> Distribution | None:
    runs = [
        np.sum([repeat.stages_ns[stage] for stage in STAGES if repeat.stages_ns.get(stage)], axis=0).tolist()
        for repeat in repeats
        if any(repeat.stages_ns.values())
    ]
    return _distribution(runs) if runs else None


def _drift(latency_ns: list[int]) -> float:
    third = max(len(latency_ns) // 3, 1)
    return float(np.median(latency_ns[-third:]) / np.median(latency_ns[:third])) - 1


def _median_of_known(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None
