"""A model that several threads may use: its turns, its pace, and what becomes of it when its runtime fails."""

from __future__ import annotations

import threading
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
        self._change = threading.Condition()
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
                with self._change:
                    self._began_ns = None
                    self._change.notify_all()

    def approach(self, ahead_ns: int, latest_ns: int = 1_000_000_000) -> None:
        """Wait until the run under way, if there is one, is about to end: ``ahead_ns`` before that.

        Who takes the newest frame then, and prepares it meanwhile, has it ready just when the model is free: the frame
        is as young as without overlap, and the model never waits.
        """
        limit = self._clock() + latest_ns
        with self._change:
            while (began := self._began_ns) is not None:
                now = self._clock()
                until = min(began + round(self._run_ns) - ahead_ns, limit)
                if now >= until:
                    return
                self._change.wait((until - now) / 1e9)
