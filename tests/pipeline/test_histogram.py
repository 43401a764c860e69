"""Percentiles in fixed memory, against those of every sample."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from piaccel.pipeline.histogram import Histogram


def filled(values: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=300), st.sampled_from([0, 1, 50, 95, 99, 100]))
def test_a_percentile_is_within_two_percent_of_the_nearest_rank(values: list[int], percent: int) -> None:
    found = filled(values).percentile_ns(percent)
    exact = sorted(values)[max(1, -(-percent * len(values) // 100)) - 1]
    assert found == pytest.approx(exact, rel=0.02, abs=1)


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=100))
def test_count_extremes_mean_and_deviation_are_those_of_the_samples(values: list[int]) -> None:
    histogram = filled(values)
    assert (histogram.count, histogram.min_ns, histogram.max_ns) == (len(values), min(values), max(values))
    assert histogram.mean_ns == pytest.approx(np.mean(values))
    assert histogram.sd_ns == pytest.approx(np.std(values), rel=1e-3, abs=1e3)
    assert histogram.sum_ns == sum(values)


def test_nothing_counted_is_unknown_and_not_zero() -> None:
    histogram = Histogram()
    assert (histogram.percentile_ns(50), histogram.mean_ns, histogram.sd_ns, histogram.max_ns) == (None,) * 4


def test_counts_below_rising_edges_rise_to_the_count() -> None:
    histogram = filled([1_000_000, 2_000_000, 50_000_000, 20_000_000_000])
    assert histogram.below([1_500_000, 10_000_000, 10**9, 10**11]) == [1, 2, 3, 4]


def test_a_month_of_durations_takes_no_more_room_than_one() -> None:
    assert len(filled([5])._counts) == len(filled(list(range(10_000)))._counts)


def test_a_negative_duration_counts_as_zero_and_a_day_as_the_last_bucket() -> None:
    histogram = filled([-5, 86_400 * 10**9])
    assert histogram.min_ns == 0
    assert histogram.percentile_ns(100) == pytest.approx(2**44, rel=5)
