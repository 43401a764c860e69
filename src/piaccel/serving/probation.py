"""The time after a swap in which a version may still be taken back."""

from __future__ import annotations

import time
from collections.abc import Callable

from piaccel.serving.settings import ModelSettings

_FAULTS = ("internal", "crash", "unavailable")
"""Failures that are the version's: a client's wrong input or impatience is not."""
_FEWEST = 20
"""Latencies and shares say something from so many on."""
_FEWEST_COMPARED = 10


class Probation:
    """Judges one version by what it does for clients. ``verdict`` is None while it goes on, "" when it passed, else why
    it failed.
    """

    def __init__(
        self,
        settings: ModelSettings,
        *,
        before_p95_ms: float | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._before_p95_ms = before_p95_ms
        self._clock = clock
        self._begun = clock()
        self.requests = 0
        self.faults = 0
        self.compared = 0
        self.agreed = 0
        self._latencies: list[float] = []

    @property
    def left(self) -> int:
        """Requests until it has passed."""
        return max(0, self._settings.probation_requests - self.requests)

    @property
    def left_s(self) -> float:
        """Seconds until it has passed."""
        return max(0.0, self._settings.probation_s - (self._clock() - self._begun))

    @property
    def agreement(self) -> float | None:
        return self.agreed / self.compared if self.compared else None

    def saw(self, failed: str, latency_ms: float) -> None:
        """Count a request: the kind of its failure, "" for none."""
        if failed and failed not in _FAULTS:
            return
        self.requests += 1
        if failed:
            self.faults += 1
        else:
            self._latencies.append(latency_ms)

    def compare(self, agrees: bool) -> None:
        """Count an answer that both versions gave."""
        self.compared += 1
        self.agreed += agrees

    @property
    def verdict(self) -> str | None:
        settings = self._settings
        allowed = settings.probation_errors * max(self.requests, min(_FEWEST, settings.probation_requests))
        if self.faults > max(allowed, 0.5):
            return f"{self.faults} of {self.requests} requests failed on probation"
        agreement = self.agreement
        if agreement is not None and self.compared >= _FEWEST_COMPARED and agreement < settings.agreement:
            asked = f"{settings.agreement:.0%} asked"
            return f"agrees in {agreement:.0%} of {self.compared} answers with the version before, {asked}"
        if slow := self._slow():
            return slow
        return "" if not self.left or not self.left_s else None

    def _slow(self) -> str:
        if self._before_p95_ms is None or len(self._latencies) < _FEWEST:
            return ""
        p95 = sorted(self._latencies)[int(0.95 * len(self._latencies))]
        bound = self._before_p95_ms * self._settings.probation_slower
        return f"p95 {p95:.0f} ms on probation, at most {bound:.0f} ms allowed" if p95 > bound else ""
