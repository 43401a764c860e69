"""The exponential is found in what is one, and doubted in what is none."""

from __future__ import annotations

import numpy as np
import pytest

from piaccel.soak.fit import FEWEST, fit, slope_per_min

SECONDS = np.arange(0.0, 600.0, 5.0)


def rise(tau_s: float, last_c: float = 85.0, first_c: float = 45.0) -> np.ndarray:
    return last_c + (first_c - last_c) * np.exp(-SECONDS / tau_s)


@pytest.mark.parametrize("tau_s", [30.0, 120.0, 240.0])
def test_an_exponential_is_found_as_it_is(tau_s: float) -> None:
    found = fit(list(SECONDS), list(rise(tau_s)))
    assert found is not None
    assert found.is_certain
    assert found.last_c == pytest.approx(85.0, abs=0.1)
    assert found.tau_s == pytest.approx(tau_s, rel=0.01)


def test_it_is_found_under_the_steps_of_a_real_sensor() -> None:
    noise = np.random.default_rng(1).normal(0, 0.3, len(SECONDS))
    steps = np.round((rise(200.0) + noise) / 0.55) * 0.55
    found = fit(list(SECONDS), list(steps))
    assert found is not None
    assert found.is_certain
    assert found.last_c == pytest.approx(85.0, abs=1.0)


def test_a_board_that_cools_down_is_fitted_too() -> None:
    found = fit(list(SECONDS), list(rise(100.0, 50.0, 80.0)))
    assert found is not None
    assert found.last_c == pytest.approx(50.0, abs=0.1)


def test_a_straight_line_tells_no_end() -> None:
    found = fit(list(SECONDS), list(40 + 0.02 * SECONDS))
    assert found is not None
    assert not found.is_certain


def test_a_sawtooth_is_no_exponential() -> None:
    found = fit(list(SECONDS), list(70 + 8 * (SECONDS % 100 < 50)))
    assert found is not None
    assert not found.is_certain


def test_a_temperature_that_stays_is_settled() -> None:
    found = fit(list(SECONDS), [50.0] * len(SECONDS))
    assert found is not None
    assert found.last_c == pytest.approx(50.0)
    assert found.longer_s == 0.0


def test_how_much_longer_is_until_one_degree_is_left() -> None:
    found = fit(list(SECONDS), list(rise(300.0)))
    assert found is not None
    left = 40.0 * np.exp(-(SECONDS[-1] + found.longer_s) / 300.0)
    assert left == pytest.approx(1.0, rel=0.05)


def test_too_few_readings_are_none() -> None:
    assert fit([0.0] * (FEWEST - 1), [1.0] * (FEWEST - 1)) is None
    assert slope_per_min([0.0, 1.0], [1.0, 2.0]) is None
    assert slope_per_min([0.0, 30.0, 60.0], [1.0, 2.0, 3.0]) == pytest.approx(2.0)
