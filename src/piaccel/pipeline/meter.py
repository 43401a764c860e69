"""Counts what a stream does, cheaply, for every frame."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

from piaccel.pipeline.histogram import Histogram
from piaccel.pipeline.snapshot import Spread
from piaccel.sinks import Event

RECENT_S = 5.0
_KEPT = 1024


class Meter:
    """Distributions and counters of one stream's results."""

    def __init__(self, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._histograms = {"age": Histogram(), "gap": Histogram()}
        self._recent: deque[tuple[int, int]] = deque(maxlen=_KEPT)
        self._last_ns: int | None = None
        self.published = self.held = self.late = self.missing = 0
        self._window = (0, 0)

    def add(self, event: Event) -> None:
        """Count a published event. Held results and parts without one have no age of their own."""
        with self._lock:
            self.published += 1
            self.held += event.held
            if event.result is None:
                self.missing += event.part is not None
                return
            self.late += event.late
            self._window = (self._window[0] + event.late, self._window[1] + 1)
            if self._last_ns is not None:
                self._histograms["gap"].add(event.published_ns - self._last_ns)
            self._last_ns = event.published_ns
            age = event.age_ns
            if age is not None:
                self._histograms["age"].add(age)
                self._recent.append((event.published_ns, age))
            if event.held:
                return
            for name, taken in event.stages_ns.items():
                if name not in self._histograms:
                    self._histograms[name] = Histogram()
                self._histograms[name].add(taken)

    def late_share(self) -> float | None:
        """The share of results since the last call that missed the deadline; None without results."""
        with self._lock:
            late, all_of_them = self._window
            self._window = (0, 0)
        return late / all_of_them if all_of_them else None

    def rate(self) -> float | None:
        """Results a second over the last ``RECENT_S``; None before the second result."""
        with self._lock:
            recent = self._newest()
        if len(recent) < 2:
            return None
        span = max(at for at, _ in recent) - min(at for at, _ in recent)
        return (len(recent) - 1) / span * 1e9 if span else None

    def spread(self, name: str) -> Spread:
        with self._lock:
            histogram = self._histograms.get(name)
            return spread_of(histogram) if histogram is not None else spread_of(Histogram())

    def recent(self) -> Spread:
        """Ages over the last ``RECENT_S``."""
        with self._lock:
            ages = [age for _, age in self._newest()]
        return _exact(ages)

    def stages(self) -> list[str]:
        with self._lock:
            return [name for name in self._histograms if name not in ("age", "gap")]

    def histograms(self) -> dict[str, Histogram]:
        """The live histograms by name: age, gap, and each stage. They go on counting while they are read."""
        with self._lock:
            return dict(self._histograms)

    def _newest(self) -> list[tuple[int, int]]:
        since = self._clock() - round(RECENT_S * 1e9)
        return [each for each in self._recent if each[0] >= since]


def spread_of(histogram: Histogram) -> Spread:
    return Spread(
        count=histogram.count,
        p50_ms=_ms(histogram.percentile_ns(50)),
        p95_ms=_ms(histogram.percentile_ns(95)),
        p99_ms=_ms(histogram.percentile_ns(99)),
        max_ms=_ms(histogram.max_ns),
        mean_ms=_ms(histogram.mean_ns),
        sd_ms=_ms(histogram.sd_ns),
    )


def _exact(durations_ns: Iterable[int]) -> Spread:
    histogram = Histogram()
    for duration in durations_ns:
        histogram.add(duration)
    return spread_of(histogram)


def _ms(value_ns: float | None) -> float | None:
    return None if value_ns is None else value_ns / 1e6
