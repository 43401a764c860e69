"""A model that several threads may use: its turns, its pace, and what becomes of it when its runtime fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from piaccel.models import Model
from piaccel.pipeline.gate import Gate

_WEIGHT = 0.2
"""Of the newest run in the running mean of how long a run takes."""


class Engine:
    """One loaded model. ``turn`` is needed for its session; preparing and decoding go on outside."""

    def __init__(self, model: Model, gate: Gate, units: int = 1, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self.model = model
        self._gate = gate
        self._units = units
        self._clock = clock
        self._own = Gate(1, clock)
        self.when_free: list[Callable[[], None]] = []
        """Called after each turn."""
        self._began_ns: int | None = None
        self._run_ns = 0.0

    @contextmanager
    def turn(self, who: str) -> Iterator[None]:
        """Hold the model and its share of the device."""
        with self._own.turn(who), self._gate.turn(who, self._units):
            self._began_ns = begin = self._clock()
            try:
                yield
            finally:
                taken = self._clock() - begin
                self._run_ns += (taken - self._run_ns) * (_WEIGHT if self._run_ns else 1.0)
                self._began_ns = None
                for wake in self.when_free:
                    wake()

    def remaining_ns(self, now_ns: int) -> int:
        """How long the run under way will take still, going by those before; 0 when none is."""
        began = self._began_ns
        return 0 if began is None else max(0, began + round(self._run_ns) - now_ns)
