from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from piaccel.bench import Measurement, Repeat
from piaccel.bench.statistics import LEVEL, difference, percentile, summary, t_quantile
from tests.bench import reports

TIMES = st.lists(st.integers(1, 10**12), min_size=1, max_size=300)


def _of(*runs: list[int], **fields: object) -> Measurement:
    """A measurement with these latencies, one list a repeat."""
    repeats = [Repeat(load_ns=1, first_ns=1, warmup_ns=[], latency_ns=run, duration_ns=sum(run) or 1) for run in runs]
    row = reports.measurement(np.random.default_rng(0), repeats=1, count=1)
    return replace(row, repeats=repeats, **fields)  # type: ignore[arg-type]


@given(TIMES, st.integers(0, 100))
def test_a_percentile_is_a_sample_that_occurred_and_at_least_that_share_lies_at_or_below_it(
    times: list[int], percent: int
) -> None:
    found = percentile(times, percent)
    assert found in times
    assert sum(time <= found for time in times) * 100 >= percent * len(times)


@given(TIMES)
def test_percentiles_rise_and_do_not_depend_on_the_order_of_samples(times: list[int]) -> None:
    values = [percentile(times, percent) for percent in (0, 50, 90, 95, 99, 100)]
    assert all(low <= high for low, high in pairwise(values))
    assert values == [percentile(times[::-1], percent) for percent in (0, 50, 90, 95, 99, 100)]
    assert (values[0], values[-1]) == (min(times), max(times))


def test_percentiles_are_those_of_mlperf_loadgen() -> None:
    times = list(range(1, 201))
    assert [percentile(times, percent) for percent in (50, 90, 95, 99)] == [101, 181, 191, 199]


def test_a_percentile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no samples"):
        percentile([], 50)


@pytest.mark.parametrize(
    ("freedom", "published"),
    [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (10, 2.2281), (30, 2.0423), (120, 1.9799), (1e6, 1.95996)],
)
def test_the_t_quantile_is_that_of_the_published_tables(freedom: float, published: float) -> None:
    assert t_quantile(freedom) == pytest.approx(published, abs=6e-5)


def test_a_slow_repeat_weighs_as_much_as_a_fast_one_in_the_mean() -> None:
    found = summary(_of([2_000_000] * 10, [4_000_000] * 5))
    assert found is not None
    assert found.latency.mean_ms == pytest.approx(3.0)
    assert found.latency.count == 15


def test_the_mean_interval_comes_from_the_repeats_and_holds_the_true_mean_at_the_stated_rate() -> None:
    rng = np.random.default_rng(5)
    held, widths = 0, []
    for _ in range(400):
        row = reports.measurement(rng, 10.0, repeats=5, count=60, process_noise=0.03)
        found = summary(row)
        assert found is not None
        assert found.latency.mean_interval_ms is not None
        interval = found.latency.mean_interval_ms
        true_mean = 10.0 * math.exp(0.03**2 / 2) * (math.exp(0.02**2 / 2) + 0.01 * 0.5)
        held += interval.low <= true_mean <= interval.high
        widths.append(interval.high - interval.low)
    assert 0.92 <= held / 400 <= 0.98
    assert np.median(widths) > 0.4  # ms: pooling the 300 samples as if independent would claim about 0.15


def test_an_interval_from_a_lone_repeat_says_what_it_lacks_and_respects_autocorrelation() -> None:
    rng = np.random.default_rng(6)
    held = 0
    for _ in range(300):
        run = reports.latencies(rng, 2000, 10.0, noise=0.05, rho=0.95)
        found = summary(_of(run))
        assert found is not None
        assert found.latency.mean_interval_ms is not None
        assert "one repeat" in found.latency.mean_interval_ms.method
        true_mean = 10.0 * (math.exp(0.05**2 / 2) + 0.01 * 0.5)
        held += found.latency.mean_interval_ms.low <= true_mean <= found.latency.mean_interval_ms.high
    assert held / 300 >= 0.91


def test_too_few_samples_of_a_lone_repeat_give_no_interval() -> None:
    found = summary(_of([5_000_000] * 19))
    assert found is not None
    assert found.latency.mean_interval_ms is None


def test_nothing_measured_has_no_summary() -> None:
    assert summary(_of()) is None
    assert summary(_of([])) is None


def test_frames_per_second_count_every_sample_of_a_query() -> None:
    single, multi = summary(_of([10_000_000] * 20)), summary(_of([10_000_000] * 20, samples_per_query=8))
    assert single is not None
    assert multi is not None
    assert single.fps == pytest.approx(100)
    assert multi.fps == pytest.approx(800)


def test_the_server_scenario_counts_idle_time_in_its_frames_per_second() -> None:
    row = _of([10_000_000] * 20, scenario="server")
    row = replace(row, repeats=[replace(row.repeats[0], duration_ns=1_000_000_000)])
    found = summary(row)
    assert found is not None
    assert found.fps == pytest.approx(20)


def test_offline_runs_are_compared_by_wall_time_per_sample_not_by_latency() -> None:
    def offline(wall_ns: int) -> Measurement:
        row = _of([10_000_000] * 20, [10_000_000] * 20, [10_000_000] * 20, scenario="offline", samples_per_query=2)
        return replace(row, repeats=[replace(run, duration_ns=wall_ns + at) for at, run in enumerate(row.repeats)])

    two_streams, four_streams = offline(100_000_000), offline(50_000_000)
    found, fast = difference(two_streams, four_streams), summary(four_streams)
    assert found is not None
    assert found.ratio == pytest.approx(0.5)
    assert found.significant
    assert fast is not None
    assert fast.fps == pytest.approx(800, rel=1e-6)


def test_servers_are_compared_by_the_highest_rates_that_were_met() -> None:
    def server(*rates: float | None) -> Measurement:
        row = _of(*[[10_000_000] * 20 for _ in rates], scenario="server")
        runs = zip(row.repeats, rates, strict=True)
        return replace(row, repeats=[replace(run, server={"rate_per_s": rate, "tried": []}) for run, rate in runs])

    found = difference(server(50.0, 51.0, 49.0), server(100.0, 101.0, 102.0))
    assert found is not None
    assert found.ratio == pytest.approx(0.495, abs=0.01)
    assert found.significant
    assert difference(server(50.0, 51.0), server(50.0, None)) is None


def test_stages_are_summed_frame_by_frame() -> None:
    row = _of([3_000_000] * 4)
    stages = {"decode": [1_000_000, 9_000_000], "inference": [9_000_000, 1_000_000]}
    found = summary(replace(row, repeats=[replace(row.repeats[0], stages_ns=stages)]))
    assert found is not None
    assert list(found.stages) == ["decode", "inference"]
    assert found.end_to_end is not None
    assert (found.end_to_end.min_ms, found.end_to_end.max_ms) == (10.0, 10.0)
    assert found.end_to_end_fps == pytest.approx(100)


def test_drift_is_the_change_inside_a_repeat_and_spread_the_one_between_them() -> None:
    found = summary(_of([10_000_000] * 30, [10_000_000] * 10 + [11_000_000] * 10 + [12_000_000] * 10))
    assert found is not None
    assert found.drift == pytest.approx(0.2)
    assert found.spread == pytest.approx(0.1)


def test_what_was_not_measured_is_none() -> None:
    found = summary(_of([5_000_000] * 30, [5_000_000] * 30))
    assert found is not None
    assert (found.end_to_end, found.cpu_cores, found.rss_peak_bytes, found.other_load) == (None, None, None, None)


def _differs(rng: np.random.Generator, factor: float, repeats: int, process_noise: float) -> bool:
    rows = [reports.measurement(rng, 10.0 * by, repeats, 60, process_noise) for by in (1.0, factor)]
    found = difference(*rows)
    assert found is not None
    return found.significant


@pytest.mark.parametrize("repeats", [2, 3, 5, 10])
@pytest.mark.parametrize("process_noise", [0.0, 0.03])
def test_equal_measurements_are_called_different_no_more_often_than_stated(repeats: int, process_noise: float) -> None:
    rng = np.random.default_rng(11 * repeats)
    wrong = sum(_differs(rng, 1.0, repeats, process_noise) for _ in range(1000))
    assert wrong / 1000 <= 1 - LEVEL + 0.02


def test_pooling_the_samples_would_call_equal_measurements_different() -> None:
    """What the test above guards against: Student's t on pooled samples, as if they were independent."""
    rng = np.random.default_rng(12)
    wrong = 0
    for _ in range(100):
        old, new = (np.concatenate([r.latency_ns for r in reports.measurement(rng).repeats]) for _ in range(2))
        wrong += abs(old.mean() - new.mean()) > 1.96 * math.sqrt(old.var() / len(old) + new.var() / len(new))
    assert wrong > 30


def test_a_tenth_is_found_with_five_repeats_on_a_noisy_board() -> None:
    rng = np.random.default_rng(13)
    assert sum(_differs(rng, 1.10, 5, 0.03) for _ in range(200)) / 200 >= 0.9


def test_a_tenth_is_found_with_three_repeats_on_a_quiet_board() -> None:
    rng = np.random.default_rng(14)
    assert sum(_differs(rng, 1.10, 3, 0.01) for _ in range(200)) / 200 >= 0.9


def test_the_interval_of_a_ratio_holds_the_true_ratio() -> None:
    rng = np.random.default_rng(15)
    held = 0
    for _ in range(300):
        rows = [reports.measurement(rng, 10.0 * by, 4, 60, 0.02) for by in (1.0, 1.25)]
        found = difference(*rows)
        assert found is not None
        assert found.interval is not None
        held += found.interval.low <= 1.25 <= found.interval.high
    assert held / 300 >= 0.92


def test_one_repeat_shows_a_ratio_but_no_difference() -> None:
    rng = np.random.default_rng(16)
    one, many = reports.measurement(rng, repeats=1), reports.measurement(rng, 20.0, repeats=5)
    found = difference(one, many)
    assert found is not None
    assert found.ratio == pytest.approx(2.0, rel=0.1)
    assert (found.interval, found.significant) == (None, False)


def test_nothing_measured_cannot_be_compared() -> None:
    assert difference(_of(), _of([1])) is None


def test_identical_repeats_need_no_division_by_zero() -> None:
    same = difference(_of([5] * 9, [5] * 9), _of([5] * 9, [5] * 9))
    twice = difference(_of([5] * 9, [5] * 9), _of([10] * 9, [10] * 9))
    assert same is not None
    assert twice is not None
    assert (same.ratio, same.significant) == (1.0, False)
    assert twice.ratio == pytest.approx(2.0)
    assert twice.significant
