"""Reads the board's sensors while something is measured, from the parent process so that the child is left alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Protocol

from piaccel.bench import Series

PERIOD_S = 0.25


class Sensor(Protocol):
    """What the device layer's sensors are."""

    @property
    def name(self) -> str: ...

    @property
    def unit(self) -> str: ...

    def read(self) -> float | None: ...


class Monitor:
    """Samples sensors every ``period_s`` in a thread of its own, from ``start`` (or ``with``) to ``stop``.

    A sensor that reads None at first is taken as not there and not asked again.
    """

    def __init__(
        self,
        sensors: Iterable[Sensor],
        *,
        period_s: float = PERIOD_S,
        clock: Callable[[], int] = time.perf_counter_ns,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        self._sensors = [sensor for sensor in sensors if sensor.read() is not None]
        self._period_s = period_s
        self._clock = clock
        self._stopped = threading.Event()
        self._wait = wait or self._stopped.wait
        self._readings: list[tuple[int, list[float | None]]] = []
        self._thread: threading.Thread | None = None
        self.started_ns = clock()

    def start(self) -> None:
        if self._sensors:
            self._thread = threading.Thread(target=self.run, name="piaccel-monitor", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread. Idempotent."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def run(self) -> None:
        """Sample until stopped; ``wait`` sleeps and says whether to stop."""
        while True:
            at = self._clock() - self.started_ns
            self._readings.append((at, [sensor.read() for sensor in self._sensors]))
            if self._wait(self._period_s):
                return

    def between(self, start_ns: int, end_ns: int) -> list[Series]:
        """Return what was read from ``start_ns`` to ``end_ns`` (both since the monitor's start), a Series each sensor.

        The reading before ``start_ns`` belongs to it: it shows the state that the part began in.
        """
        readings = list(self._readings)
        first = max((index for index, (at, _) in enumerate(readings) if at <= start_ns), default=0)
        chosen = [reading for reading in readings[first:] if reading[0] <= end_ns]
        return [
            Series(sensor.name, sensor.unit, [at for at, _ in chosen], [values[column] for _, values in chosen])
            for column, sensor in enumerate(self._sensors)
        ]

    def __enter__(self) -> Monitor:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
