"""The four scenarios on a clock that only moves when told."""

from __future__ import annotations

import math
import threading
from concurrent.futures import Future

import pytest

from piaccel.bench import scenarios
from piaccel.bench.scenarios import Attempt, Limits, Samples
from tests.bench.conftest import VirtualClock

MS = 1_000_000


def test_a_run_goes_on_until_the_minimum_duration_when_queries_are_fast() -> None:
    clock = VirtualClock()
    samples = scenarios.back_to_back(clock.work, [MS], Limits(500 * MS, min_queries=64), MS, clock)
    assert samples.latency_ns == [MS] * 500
    assert samples.duration_ns == 500 * MS


def test_a_run_goes_on_until_the_minimum_of_queries_when_they_are_slow() -> None:
    clock = VirtualClock()
    samples = scenarios.back_to_back(clock.work, [100 * MS], Limits(500 * MS, min_queries=64), 100 * MS, clock)
    assert len(samples.latency_ns) == 64


def test_a_run_ends_at_the_maximum_duration_whatever_is_missing() -> None:
    clock = VirtualClock()
    limits = Limits(500 * MS, min_queries=64, max_duration_ns=2000 * MS)
    samples = scenarios.back_to_back(clock.work, [300 * MS], limits, 300 * MS, clock)
    assert len(samples.latency_ns) == 7


def test_a_run_ends_when_the_room_for_samples_is_full() -> None:
    clock = VirtualClock()
    samples = scenarios.back_to_back(clock.work, [MS], Limits(500 * MS, min_queries=10), 100 * MS, clock)
    assert len(samples.latency_ns) == 10 + 2 * 5


def test_inputs_are_taken_in_turn() -> None:
    clock = VirtualClock()
    samples = scenarios.back_to_back(clock.work, [MS, 3 * MS], Limits(0, min_queries=4), MS, clock)
    assert samples.latency_ns == [MS, 3 * MS, MS, 3 * MS]


def test_time_between_queries_is_not_in_the_samples() -> None:
    clock = VirtualClock(tick_ns=10)
    samples = scenarios.back_to_back(clock.work, [MS], Limits(0, min_queries=5), MS, clock)
    assert samples.latency_ns == [MS + 10] * 5
    assert samples.duration_ns == 5 * (MS + 20)


def test_offline_keeps_every_session_busy_and_counts_all_their_samples() -> None:
    seen: set[int] = set()
    both = threading.Barrier(2, timeout=30)

    def run(_: object) -> None:
        if threading.get_ident() not in seen:
            seen.add(threading.get_ident())
            both.wait()  # passes only if two threads run at the same time

    samples = scenarios.offline([run, run], [None], Limits(0, min_queries=20), MS)
    assert len(seen) == 2
    assert len(samples.latency_ns) == 20
    assert samples.duration_ns > 0


def test_an_error_in_one_of_the_offline_sessions_is_raised() -> None:
    def fails(_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        scenarios.offline([lambda _: None, fails], [None], Limits(0, min_queries=4), MS)


class Pipeline:
    """A session that answers ``stages`` steps after a run was handed in, one answer a step: they overlap."""

    def __init__(self, clock: VirtualClock, stages: int) -> None:
        self.clock = clock
        self.stages = stages
        self.free_at = clock.now_ns
        self.flying = self.most = 0

    def submit(self, step_ns: int) -> Future[None]:
        self.flying += 1
        self.most = max(self.most, self.flying)
        self.free_at = ready = max(self.free_at + step_ns, self.clock.now_ns + self.stages * step_ns)
        answer: Future[None] = Future()

        def result(timeout: float | None = None) -> None:
            self.clock.now_ns = max(self.clock.now_ns, ready)
            self.flying -= 1

        answer.result = result  # type: ignore[method-assign]
        return answer


@pytest.mark.parametrize(("depth", "per_step"), [(1, 1 / 3), (3, 1)])
def test_runs_in_flight_overlap(depth: int, per_step: float) -> None:
    clock = VirtualClock()
    pipeline = Pipeline(clock, stages=3)
    samples = scenarios.in_flight(pipeline.submit, [MS], depth, Limits(600 * MS, min_queries=64), MS, clock)
    assert pipeline.most == depth
    assert pipeline.flying == 0  # the last ones were waited for
    assert len(samples.latency_ns) / (samples.duration_ns / MS) == pytest.approx(per_step, rel=0.02)
    assert set(samples.latency_ns[depth:]) == {3 * MS}  # the first ones found the pipeline empty


def test_runs_in_flight_go_on_until_the_minimum_of_queries() -> None:
    clock = VirtualClock()
    samples = scenarios.in_flight(Pipeline(clock, 2).submit, [MS], 2, Limits(0, min_queries=7), MS, clock)
    assert len(samples.latency_ns) == 7


def test_runs_in_flight_end_at_the_maximum_duration() -> None:
    clock = VirtualClock()
    limits = Limits(500 * MS, min_queries=64, max_duration_ns=100 * MS)
    samples = scenarios.in_flight(Pipeline(clock, 1).submit, [50 * MS], 2, limits, MS, clock)
    assert len(samples.latency_ns) < 5


def test_a_run_that_fails_in_flight_ends_the_measurement() -> None:
    def submit(_: object) -> Future[None]:
        failed: Future[None] = Future()
        failed.set_exception(ZeroDivisionError())
        return failed

    with pytest.raises(ZeroDivisionError):
        scenarios.in_flight(submit, [None], 4, Limits(0, min_queries=9), MS)


def serve(clock: VirtualClock, service_ns: int, rate: float, bound_ns: int, **limits: int) -> Attempt:
    wanted = Limits(min_duration_ns=limits.get("duration", 10_000 * MS), min_queries=limits.get("queries", 100))
    return scenarios.serve(clock.work, [service_ns], rate, bound_ns, wanted, 7, clock, clock.sleep)


def test_arrivals_are_a_poisson_process_of_the_rate_asked_for() -> None:
    clock = VirtualClock(tick_ns=20_000)
    attempt = serve(clock, 0, 100.0, 1000 * MS, duration=20_000 * MS)
    count, duration_s = len(attempt.samples.latency_ns), attempt.samples.duration_ns / 1e9
    assert count == 2000
    assert count / duration_s == pytest.approx(100, rel=0.05)
    pauses = [second * 1e3 for second in clock.slept_s]
    mean = sum(pauses) / len(pauses)
    deviation = (sum((pause - mean) ** 2 for pause in pauses) / len(pauses)) ** 0.5
    assert deviation == pytest.approx(mean, rel=0.1)  # exponential gaps: as wide as they are long


def test_the_same_seed_gives_the_same_arrivals() -> None:
    first, second = (serve(VirtualClock(tick_ns=20_000), MS, 50.0, 1000 * MS) for _ in range(2))
    assert first.samples.latency_ns == second.samples.latency_ns


def test_waiting_in_the_queue_counts_from_the_moment_a_query_was_due() -> None:
    """One stall of a second must make every query late that came meanwhile, not one."""
    clock = VirtualClock(tick_ns=20_000)
    calls = iter(range(10_000))

    def stalls_once(_: object) -> None:
        clock.work(1000 * MS if next(calls) == 10 else MS // 10)

    limits = Limits(10_000 * MS, min_queries=100)
    attempt = scenarios.serve(stalls_once, [None], 100.0, 5000 * MS, limits, 7, clock, clock.sleep)
    late = [latency for latency in attempt.samples.latency_ns if latency > 100 * MS]
    assert 70 < len(late) < 130
    assert max(late) >= 1000 * MS


def test_an_overload_is_given_up_when_too_many_queries_are_late() -> None:
    clock = VirtualClock(tick_ns=20_000)
    attempt = serve(clock, 20 * MS, 100.0, 30 * MS)
    assert not attempt.met
    assert len(attempt.samples.latency_ns) < 200


def test_a_load_that_is_light_enough_meets_the_bound() -> None:
    assert serve(VirtualClock(tick_ns=20_000), 10 * MS, 5.0, 50 * MS).met


@pytest.mark.parametrize("highest", [0.9, 12.0, 63.0, 97.0])
def test_the_search_finds_the_highest_rate_within_its_precision(highest: float) -> None:
    def attempt(rate: float) -> Attempt:
        return Attempt(rate, rate <= highest, Samples([], 0, 0))

    best, tried = scenarios.find_rate(attempt, 10 * MS)
    if highest < 5:
        assert best is None
    else:
        assert best is not None
        assert highest - 5 <= best.rate_per_s <= highest
    assert len(tried) <= 6


def test_the_rate_found_for_a_constant_service_time_is_what_queueing_theory_says() -> None:
    """M/D/1 with a service time of 10 ms: the load at which 1 % wait longer than 30 ms (Erlang 1909) is 0.464."""

    def waits_longer(time: float, load: float) -> float:
        terms = (
            (-load * (time - j)) ** j / math.factorial(j) * math.exp(load * (time - j)) for j in range(int(time) + 1)
        )
        return 1 - (1 - load) * sum(terms)

    assert waits_longer(3, 0.464) == pytest.approx(0.01, rel=0.02)

    def attempt(rate: float) -> Attempt:
        return serve(VirtualClock(tick_ns=20_000), 10 * MS, rate, 40 * MS, duration=200_000 * MS)

    best, _ = scenarios.find_rate(attempt, 10 * MS)
    assert best is not None
    assert best.rate_per_s == pytest.approx(46.4, abs=5)
