"""Limits are read with their units, and what cannot be read is said with how to write it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piaccel.errors import OptionError
from piaccel.selection.limits import BY_OPTION, loosened, parse
from tests.selection.test_front import option


@pytest.mark.parametrize(
    ("name", "text", "bound"),
    [
        ("--fps", "15", 15.0),
        ("--fps", "12.5fps", 12.5),
        ("--max-accuracy-drop", "1.5%", 0.015),
        ("--max-accuracy-drop", "0%", 0.0),
        ("--max-latency-p99", "80ms", 80.0),
        ("--max-latency-p99", "0.1s", 100.0),
        ("--max-temp", "75", 75.0),
        ("--max-temp", "75 °C", 75.0),
        ("--max-power", "8W", 8.0),
        ("--max-memory", "500MB", 500e6),
        ("--max-memory", "1GiB", float(1 << 30)),
    ],
)
def test_a_limit_is_read_with_its_unit(name: str, text: str, bound: float) -> None:
    (limit,) = parse({name: text, "--max-power" if name != "--max-power" else "--fps": None})
    assert limit.kind.option == name
    assert limit.bound == pytest.approx(bound)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("--fps", "fast"),
        ("--fps", "0"),
        ("--max-accuracy-drop", "1.5"),
        ("--max-accuracy-drop", "101%"),
        ("--max-latency-p99", "80"),
        ("--max-latency-p99", "0ms"),
        ("--max-temp", "75F"),
        ("--max-temp", "-3"),
        ("--max-power", "8mW"),
        ("--max-memory", "500"),
        ("--max-memory", ""),
    ],
)
def test_what_is_no_limit_is_refused_by_the_name_of_its_option(name: str, text: str) -> None:
    with pytest.raises(OptionError, match=name):
        parse({name: text})


def test_the_unknown_is_neither_in_nor_out() -> None:
    (limit,) = parse({"--max-power": "8"})
    assert limit.judge(option("a", power_w=8.0)) is True
    assert limit.judge(option("a", power_w=8.01)) is False
    assert limit.judge(option("a", power_w=None)) is None
    assert limit.judge(option("a")) is None


@given(st.floats(1e-3, 1e6), st.sampled_from(["--fps", "--max-latency-p99", "--max-memory", "--max-temp"]))
def test_the_advised_bound_lets_in_what_it_was_made_for(value: float, name: str) -> None:
    text = loosened(BY_OPTION[name], value * (1e3 if name == "--max-memory" else 1.0))
    (limit,) = parse({name: text})
    figure = value * (1e3 if name == "--max-memory" else 1.0)
    tolerance = 1e-5 * figure + (1.0 if name == "--max-memory" else 0.0)
    assert limit.bound <= figure + tolerance if name == "--fps" else limit.bound >= figure - tolerance
    assert limit.bound == pytest.approx(figure, rel=0.011, abs=2.0 if name == "--max-memory" else 1e-9)
