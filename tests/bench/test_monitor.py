"""Reading sensors while something else runs."""

from __future__ import annotations

from piaccel.bench.monitor import Monitor
from tests.bench.conftest import VirtualClock


class Ramp:
    """A sensor that warms up by a degree with each reading, from ``first`` on."""

    unit = "°C"

    def __init__(self, name: str, first: float | None) -> None:
        self.name = name
        self.next = first

    def read(self) -> float | None:
        value = self.next
        self.next = None if value is None else value + 1
        return value


def run(monitor: Monitor) -> None:
    monitor.run()


def sampled(*sensors: Ramp, readings: int = 8) -> Monitor:
    """Sample 4 times a second on a virtual clock."""
    clock = VirtualClock()
    left = iter(range(readings - 1))

    def wait(seconds: float) -> bool:
        clock.sleep(seconds)
        return next(left, None) is None

    monitor = Monitor(sensors, clock=clock, wait=wait)
    monitor.run()
    return monitor


def test_series_hold_what_was_read_in_a_span_and_the_reading_before_it() -> None:
    series = sampled(Ramp("temperature_c", 40.0)).between(600_000_000, 1_300_000_000)
    assert [(each.name, each.unit) for each in series] == [("temperature_c", "°C")]
    assert series[0].at_ns == [500_000_000, 750_000_000, 1_000_000_000, 1_250_000_000]
    assert series[0].values == [43.0, 44.0, 45.0, 46.0]


def test_a_sensor_that_is_not_there_has_no_series() -> None:
    monitor = sampled(Ramp("fan_rpm", None), Ramp("temperature_c", 40.0))
    assert [each.name for each in monitor.between(0, 10**12)] == ["temperature_c"]


def test_a_sensor_that_fails_later_leaves_none_in_its_series() -> None:
    class Fails(Ramp):
        def read(self) -> float | None:
            value = super().read()
            return None if value == 43 else value

    assert sampled(Fails("temperature_c", 40.0)).between(0, 10**12)[0].values[:4] == [41.0, 42.0, None, 44.0]


def test_without_sensors_nothing_runs() -> None:
    with Monitor([]) as monitor:
        assert monitor.between(0, 10**12) == []


def test_the_thread_samples_until_it_is_stopped() -> None:
    sensor = Ramp("temperature_c", 40.0)
    with Monitor([sensor], period_s=0.001) as monitor:
        while len(monitor.between(0, 10**12)[0].values) < 3:
            pass
    seen = monitor.between(0, 10**12)
    assert monitor.between(0, 10**12) == seen
    assert seen[0].values[:2] == [41.0, 42.0]
