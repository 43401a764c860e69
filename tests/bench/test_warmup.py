"""Warming up ends when the network is steady."""

from __future__ import annotations

from piaccel.bench import warmup
from tests.bench.conftest import VirtualClock

MS = 1_000_000


def test_a_network_that_becomes_faster_is_run_until_it_stays_the_same() -> None:
    clock = VirtualClock()
    latencies = warmup.warm_up(
        clock.work, [300 * MS - 12 * MS * i for i in range(20)] + [60 * MS] * 500, 60_000 * MS, clock
    )
    assert len(latencies) >= 25
    assert latencies[-5:] == [60 * MS] * 5


def test_a_steady_network_is_still_given_time_for_the_clock_to_rise() -> None:
    clock = VirtualClock()
    assert sum(warmup.warm_up(clock.work, [MS], 60_000 * MS, clock)) >= warmup.MIN_NS


def test_a_network_that_never_settles_is_cut_off() -> None:
    clock = VirtualClock()
    durations = [MS * 2**i for i in range(40)]
    latencies = warmup.warm_up(clock.work, durations, 2000 * MS, clock)
    assert sum(latencies[:-1]) < 2000 * MS <= sum(latencies)


def test_a_slow_network_is_run_for_two_windows_at_least() -> None:
    clock = VirtualClock()
    assert len(warmup.warm_up(clock.work, [5000 * MS], 1000 * MS, clock)) == 2 * warmup.WINDOW


def test_the_cost_of_the_clock_is_what_a_pair_of_readings_shows() -> None:
    assert warmup.timer_cost_ns(VirtualClock(tick_ns=40)) == 40
