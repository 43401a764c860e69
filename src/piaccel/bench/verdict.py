"""Whether a measurement may be believed: a pure function of its data.

Where a threshold comes from:

* ``HOT_C`` 80: a Raspberry Pi lowers the ARM clock from 80 °C on and further at 85 °C (RP docs,
  frequency-management.adoc). The 3A+ and 3B+ slow down at 60 °C already; their firmware tells in the throttle flags.
* throttle flags: bits 0-3 of ``get_throttled`` at any reading, bits 16-19 where they appear during a repeat (RP docs,
  os.adoc).
* ``CLOCK_SHARE`` 0.95 of the highest clock seen, in ``CLOCK_PART`` of the readings: firmware lowers the clock in steps
  of at least 50 MHz, which is more than 2 %; a single low reading may be the governor at the edge of a repeat.
* ``TOLERANCE`` 10 %: the default of perf_analyzer's ``--stability-percentage``. Repeats whose medians differ by more
  are unstable, and so is a repeat whose last third differs by more from its first. Other load is too much when it takes
  more than this share of the machine: with all cores in use, so much other work costs about as much time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from piaccel.bench import Measurement, Repeat, Series, Verdict
from piaccel.bench.scenarios import MIN_QUERIES
from piaccel.bench.statistics import summary
from piaccel.device.throttle import Throttled

HOT_C = 80.0
CLOCK_SHARE = 0.95
CLOCK_PART = 0.1
TOLERANCE = 0.10


@dataclass(frozen=True)
class Expected:
    """What was asked for; what fell short of it is too short or too few."""

    repeats: int
    duration_ns: int
    cores: int
    min_queries: int = MIN_QUERIES


def judge(measurement: Measurement, expected: Expected) -> Verdict:
    """Say whether the measurement is valid, and if not, every reason, the physical ones first."""
    if measurement.error:
        return Verdict(False, ("not measured",))
    reasons = list(_reasons(measurement, expected))
    return Verdict(not reasons, tuple(reasons))


def _reasons(measurement: Measurement, expected: Expected) -> Iterator[str]:
    repeats = measurement.repeats
    yield from _throttling(repeats)
    hottest = max(_values(repeats, "temperature_c"), default=None)
    if hottest is not None and hottest >= HOT_C:
        yield f"hot: {hottest:.0f} °C, throttles from {HOT_C:.0f} °C"
    yield from _clock(list(_values(repeats, "clock_hz")))
    load = max((repeat.other_load for repeat in repeats if repeat.other_load is not None), default=0.0)
    if load > TOLERANCE * expected.cores:
        yield f"other load: {load:.1f} of {expected.cores} cores busy with other work"
    yield from _camera(measurement)
    yield from _too_little(measurement, expected)
    yield from _unstable(measurement)


def _throttling(repeats: Iterable[Repeat]) -> Iterator[str]:
    seen: list[str] = []
    for repeat in repeats:
        bits = [int(value) for value in _values([repeat], "throttled")]
        if not bits:
            continue
        for word in (*_now(bits), *Throttled(bits[-1]).new_since(Throttled(bits[0])).since_boot):
            if word not in seen:
                seen.append(word)
    if any(_values(repeats, "under_voltage")) and "under-voltage" not in seen:
        seen.append("under-voltage")
    yield from seen


def _now(bits: Iterable[int]) -> tuple[str, ...]:
    together = 0
    for each in bits:
        together |= each
    return Throttled(together).now


def _clock(clocks: list[float]) -> Iterator[str]:
    if not clocks:
        return
    low = [clock for clock in clocks if clock < CLOCK_SHARE * max(clocks)]
    if len(low) > CLOCK_PART * len(clocks):
        yield f"clock fell: {min(low) / 1e6:.0f} MHz, {max(clocks) / 1e6:.0f} MHz at best"


def _too_little(measurement: Measurement, expected: Expected) -> Iterator[str]:
    repeats = measurement.repeats
    if len(repeats) < expected.repeats:
        yield f"too few repeats: {len(repeats)} of {expected.repeats}"
    if any(repeat.duration_ns < expected.duration_ns for repeat in repeats) and measurement.scenario != "server":
        yield f"too short: less than {expected.duration_ns / 1e9:g} s a repeat"
    fewest = min((len(repeat.latency_ns) for repeat in repeats), default=0)
    if fewest < expected.min_queries and measurement.scenario != "server":
        yield f"too few queries: {fewest} in a repeat, {expected.min_queries} wanted"


def _camera(measurement: Measurement) -> Iterator[str]:
    """What went wrong with the source or the model while the ages were taken."""
    seen = [repeat.camera for repeat in measurement.repeats if repeat.camera is not None]
    for name, words in (
        ("reconnects", "source lost: {} times"),
        ("restamped", "impossible times: {} frames"),
        ("failed", "model failed: on {} frames"),
    ):
        if count := sum(each.get(name, 0) for each in seen):
            yield words.format(count)


def _unstable(measurement: Measurement) -> Iterator[str]:
    if measurement.scenario == "server":  # its latencies are waiting times; the rates are what must be steady
        rates = [repeat.server["rate_per_s"] for repeat in measurement.repeats if repeat.server]
        known = [rate for rate in rates if rate is not None]
        if known and (len(known) < len(rates) or max(known) > (1 + TOLERANCE) * min(known)):
            yield f"unstable: {min(known):.1f} to {max(known):.1f} queries per second"
        return
    if measurement.scenario == "camera":  # an age depends on where in the camera's period a run happens to end
        paces = [len(repeat.latency_ns) / repeat.duration_ns for repeat in measurement.repeats if repeat.duration_ns]
        if paces and max(paces) > (1 + TOLERANCE) * min(paces):
            yield f"unstable: {1e9 * min(paces):.1f} to {1e9 * max(paces):.1f} results per second"
        return
    numbers = summary(measurement)
    if numbers is None:
        return
    if numbers.spread > TOLERANCE:
        yield f"unstable: repeats differ by {numbers.spread:.0%}"
    elif abs(numbers.drift) > TOLERANCE:
        yield f"unstable: drifted by {numbers.drift:+.0%} within a repeat"


def _values(repeats: Iterable[Repeat], name: str) -> Iterator[float]:
    """The readings of a sensor during the measured parts, as far as there are any."""
    for repeat in repeats:
        for series in repeat.series:
            if series.name == name:
                yield from _known(series)


def _known(series: Series) -> Iterator[float]:
    return (value for value in series.values if value is not None)
