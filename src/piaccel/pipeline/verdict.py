"""Whether the numbers of a run may be believed, and whether it went as it should."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from piaccel.bench import Verdict
from piaccel.bench.verdict import HOT_C
from piaccel.device.throttle import Throttled
from piaccel.pipeline.snapshot import Snapshot

MIN_RESULTS = 64
"""Fewer results make no 95th percentile (as ``piaccel.bench.scenarios.MIN_QUERIES``)."""
LATE_SHARE = 0.01
"""More late results than this share are a reason."""


class Conditions:
    """What the board's sensors showed during a run."""

    def __init__(self) -> None:
        self._first_bits: int | None = None
        self._bits = 0
        self._under_voltage = False
        self.hottest_c: float | None = None
        self.slowest_hz: float | None = None
        self.fastest_hz: float | None = None
        self._watts: list[float] = [0.0, 0.0]

    def add(self, readings: Mapping[str, float | None]) -> None:
        bits = readings.get("throttled")
        if bits is not None:
            if self._first_bits is None:
                self._first_bits = int(bits)
            self._bits |= int(bits)
        self._under_voltage |= bool(readings.get("under_voltage"))
        watts = readings.get("power_w")
        if watts is not None:
            self._watts = [self._watts[0] + watts, self._watts[1] + 1]
        temperature, clock = readings.get("temperature_c"), readings.get("clock_hz")
        if temperature is not None:
            self.hottest_c = temperature if self.hottest_c is None else max(self.hottest_c, temperature)
        if clock is not None:
            self.slowest_hz = clock if self.slowest_hz is None else min(self.slowest_hz, clock)
            self.fastest_hz = clock if self.fastest_hz is None else max(self.fastest_hz, clock)

    @property
    def mean_w(self) -> float | None:
        """The mean of what the power source said; None without one."""
        total, count = self._watts
        return total / count if count else None

    def reasons(self) -> Iterator[str]:
        seen = list(Throttled(self._bits & 0xF).now)
        if self._first_bits is not None:
            fresh = Throttled(self._bits).new_since(Throttled(self._first_bits))
            seen += [word for word in fresh.since_boot if word not in seen]
        if self._under_voltage and "under-voltage" not in seen:
            seen.append("under-voltage")
        yield from seen
        if self.hottest_c is not None and self.hottest_c >= HOT_C:
            yield f"hot: {self.hottest_c:.0f} °C, throttles from {HOT_C:.0f} °C"


def judge(snapshot: Snapshot, conditions: Conditions) -> Verdict:
    """Every reason, the physical ones first."""
    reasons = list(conditions.reasons())
    for camera in snapshot.cameras:
        if camera.state == "broken" or camera.reconnects:
            times = f"{camera.reconnects} times" if camera.reconnects != 1 else "once"
            reasons.append(f"{camera.name}: {camera.error}" if camera.error else f"{camera.name}: lost {times}")
        if camera.restamped:
            reasons.append(f"{camera.name}: {camera.restamped} frames had an impossible time")
    for stream in snapshot.streams:
        if stream.failed:
            reasons.append(f"{stream.name}: the model failed on {stream.failed} frames")
        results = stream.age.count - stream.held
        if results < MIN_RESULTS:
            reasons.append(f"{stream.name}: too few results: {max(results, 0)}, {MIN_RESULTS} wanted")
        if stream.deadline_ms is not None and stream.late > LATE_SHARE * max(stream.age.count, 1):
            reasons.append(
                f"{stream.name}: {stream.late} of {stream.age.count} results later than {stream.deadline_ms:g} ms"
            )
        if stream.backend != stream.wanted_backend:
            reasons.append(f"{stream.name}: {stream.backend or 'nobody'} answers in place of {stream.wanted_backend}")
    for sink in snapshot.sinks:
        if given_up := sum(sink.given_up.values()):
            reasons.append(f"{sink.name}: {given_up} events given up")
    if snapshot.steps:
        reasons.append(f"the heat ladder stepped {len(snapshot.steps)} times")
    return Verdict(not reasons, tuple(reasons))
