"""Turns readings and answers into rows as they come, so that hours of them take no memory."""

from __future__ import annotations

import threading
from array import array
from collections import Counter
from collections.abc import Callable, Iterable
from statistics import fmean
from typing import Protocol

from piaccel.bench.statistics import percentile
from piaccel.device.power import POWER
from piaccel.soak import Row, Stage

OTHER = "other errors"
_MOST_KINDS = 20


class Sensor(Protocol):
    """What the device layer's sensors are."""

    @property
    def name(self) -> str: ...

    @property
    def read(self) -> Callable[[], float | None]: ...


class Recorder:
    """Safe for threads: the load's and that of the sensors. A row ends with the first reading after ``row_s``."""

    def __init__(
        self,
        sensors: Iterable[Sensor],
        now_ns: Callable[[], int],
        row_s: float,
        *,
        rss_bytes: Callable[[], int | None] = lambda: None,
        tell: Callable[[Row], None] = lambda row: None,
    ) -> None:
        self._sensors = list(sensors)
        self._now_ns = now_ns
        self._row_s = row_s
        self._rss_bytes = rss_bytes
        self._tell = tell
        self._lock = threading.Lock()
        self._zero_ns = self._begin_ns = now_ns()
        self._stage: Stage = "idle"
        self.rows: list[Row] = []
        self.errors: Counter[str] = Counter()
        self.latest: dict[str, float | None] = {}
        self._clear()

    def enter(self, stage: Stage) -> None:
        """End the row, with a reading to its name, and begin the next in another stage."""
        self.sample()
        with self._lock:
            self._close()
            self._stage = stage

    def sample(self) -> None:
        """Read every sensor once."""
        read = {sensor.name: sensor.read() for sensor in self._sensors}
        with self._lock:
            self.latest = read
            for name, value in read.items():
                if value is not None:
                    self._readings.setdefault(name, []).append(value)
            if self._now_ns() - self._begin_ns >= self._row_s * 1e9:
                self._close()

    def answer(self, latency_ns: int) -> None:
        with self._lock:
            self._latency_ns.append(latency_ns)

    def error(self, text: str) -> None:
        with self._lock:
            self._failed += 1
            self.errors[text if text in self.errors or len(self.errors) < _MOST_KINDS else OTHER] += 1

    def _clear(self) -> None:
        self._readings: dict[str, list[float]] = {}
        self._latency_ns = array("q")
        self._failed = 0

    def _close(self) -> None:
        now_ns = self._now_ns()
        if now_ns > self._begin_ns and (self._readings or self._latency_ns or self._failed):
            row = self._row(now_ns)
            self.rows.append(row)
            self._tell(row)
        self._begin_ns = now_ns
        self._clear()

    def _row(self, now_ns: int) -> Row:
        read, latency_ns = self._readings, self._latency_ns
        heat = read.get("temperature_c")
        bits = [int(value) for value in read.get("throttled", ())]
        low = read.get("under_voltage")
        some = len(latency_ns) > 0
        return Row(
            at_s=(self._begin_ns - self._zero_ns) / 1e9,
            seconds=(now_ns - self._begin_ns) / 1e9,
            stage=self._stage,
            temperature_c=fmean(heat) if heat else None,
            hottest_c=max(heat) if heat else None,
            clock_hz=min(read["clock_hz"]) if read.get("clock_hz") else None,
            throttled=_together(bits) if bits else None,
            under_voltage=any(low) if low else None,
            fan_rpm=fmean(read["fan_rpm"]) if read.get("fan_rpm") else None,
            power_w=fmean(read[POWER]) if read.get(POWER) else None,
            answers=len(latency_ns),
            errors=self._failed,
            p50_ms=percentile(latency_ns, 50) / 1e6 if some else None,
            p95_ms=percentile(latency_ns, 95) / 1e6 if some else None,
            p99_ms=percentile(latency_ns, 99) / 1e6 if some else None,
            max_ms=max(latency_ns) / 1e6 if some else None,
            rss_bytes=self._rss_bytes(),
            memory_available_bytes=read["memory_available_bytes"][-1] if read.get("memory_available_bytes") else None,
        )


def _together(bits: list[int]) -> int:
    together = 0
    for each in bits:
        together |= each
    return together
