"""What one version did: counts, durations and a distribution of the last minutes."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable

from piaccel.pipeline.histogram import Histogram

WINDOW_S = 60.0
_RATE_S = 10.0


class Meter:
    """Counts of one version. Used from the service's event loop only."""

    def __init__(self, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock = clock
        self.succeeded = 0
        self.failed: Counter[str] = Counter()
        self.runs = 0
        self.queue_ns = self.input_ns = self.infer_ns = self.output_ns = self.total_ns = self.failed_ns = 0
        self.last_request_at: float | None = None
        self.all = Histogram()
        """Since the version was loaded, as ``waits`` (for a runner) and ``runs_alone`` (the network's part)."""
        self.waits = Histogram()
        self.runs_alone = Histogram()
        self._recent = Histogram()
        self._before = Histogram()
        self._turned_ns = clock()
        self._ends: deque[int] = deque(maxlen=4096)

    def success(
        self, total_ns: int, *, queue_ns: int = 0, input_ns: int = 0, infer_ns: int = 0, output_ns: int = 0
    ) -> None:
        """Count an answer."""
        self._turn()
        self.succeeded += 1
        self.runs += 1
        self.queue_ns += queue_ns
        self.input_ns += input_ns
        self.infer_ns += infer_ns
        self.output_ns += output_ns
        self.total_ns += total_ns
        self.all.add(total_ns)
        self.waits.add(queue_ns)
        self.runs_alone.add(infer_ns)
        self._recent.add(total_ns)
        self._ends.append(self._clock())
        self.last_request_at = time.time()

    def failure(self, kind: str, total_ns: int) -> None:
        """Count a request that was not answered."""
        self.failed[kind] += 1
        self.failed_ns += total_ns
        self.last_request_at = time.time()

    @property
    def histograms(self) -> dict[str, Histogram]:
        """The distributions of the answered requests by name, for metrics."""
        return {"total": self.all, "queue": self.waits, "infer": self.runs_alone}

    def percentile_ms(self, percent: float) -> float | None:
        """Of the last one or two minutes; None without an answer in them."""
        self._turn()
        chosen = (
            self._recent if self._recent.count >= self._before.count / 4 or not self._before.count else self._before
        )
        value = chosen.percentile_ns(percent)
        return None if value is None else value / 1e6

    @property
    def rate(self) -> float | None:
        """Answers a second over the last ten seconds; None before the first."""
        if not self._ends:
            return None
        since = self._clock() - round(_RATE_S * 1e9)
        return sum(end > since for end in self._ends) / _RATE_S

    def _turn(self) -> None:
        now = self._clock()
        windows = (now - self._turned_ns) / (WINDOW_S * 1e9)
        if windows >= 1:
            self._before = self._recent if windows < 2 else Histogram()
            self._recent = Histogram()
            self._turned_ns = now
