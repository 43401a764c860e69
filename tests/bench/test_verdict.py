"""Whether a measurement may be believed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from piaccel.bench import Measurement, Repeat, Series
from piaccel.bench.verdict import Expected, judge

MS = 1_000_000
EXPECTED = Expected(repeats=3, duration_ns=1000 * MS, cores=4)


def repeat(latency_ms: float = 10.0, count: int = 100, **fields: Any) -> Repeat:
    latencies = [round(latency_ms * MS)] * count
    whole = Repeat(
        load_ns=MS, first_ns=MS, warmup_ns=[MS], latency_ns=latencies, duration_ns=sum(latencies), other_load=0.1
    )
    return replace(whole, **fields)


def row(*repeats: Repeat, **fields: Any) -> Measurement:
    whole = Measurement(
        backend="litert", version="2", variant="v", precision="fp32", threads=4, scenario="single-stream",
        repeats=list(repeats or (repeat(), repeat(), repeat())),
    )  # fmt: skip
    return replace(whole, **fields)


def sensed(name: str, *values: float | None) -> Measurement:
    series = Series(name, "", list(range(len(values))), list(values))
    return row(repeat(), repeat(series=[series]), repeat())


def reasons(measurement: Measurement) -> str:
    verdict = judge(measurement, EXPECTED)
    assert verdict.valid == (not verdict.reasons)
    return "; ".join(verdict.reasons)


def test_three_equal_quiet_repeats_are_valid() -> None:
    assert reasons(row()) == ""


@pytest.mark.parametrize(
    ("bits", "reason"),
    [(0x1, "under-voltage"), (0x2, "clock capped"), (0x4, "throttled"), (0x8, "soft temperature limit")],
)
def test_a_throttle_flag_at_any_reading_makes_it_invalid(bits: int, reason: str) -> None:
    assert reasons(sensed("throttled", 0, float(bits), 0)) == reason


def test_a_flag_that_was_set_between_two_readings_is_seen_by_its_since_boot_bit() -> None:
    assert reasons(sensed("throttled", 0, 0x40000, 0x40000)) == "throttled"


def test_what_happened_since_boot_but_before_the_run_does_not_matter() -> None:
    assert reasons(sensed("throttled", 0x50000, 0x50000)) == ""


def test_the_voltage_alarm_counts_without_throttle_flags() -> None:
    assert reasons(sensed("under_voltage", 0, 1, 0)) == "under-voltage"


def test_a_board_at_80_degrees_is_hot() -> None:
    assert reasons(sensed("temperature_c", 79.9, 60, 61)) == ""
    assert reasons(sensed("temperature_c", 70, 80.2, 79)).startswith("hot: 80 °C")


def test_a_clock_that_fell_is_named_with_both_values() -> None:
    assert reasons(sensed("clock_hz", *[2.4e9] * 8, 1.5e9, 1.5e9)) == "clock fell: 1500 MHz, 2400 MHz at best"


def test_a_clock_that_fell_between_repeats_is_seen_too() -> None:
    slow, fast = (Series("clock_hz", "Hz", [0, 1], [hz, hz]) for hz in (1.8e9, 2.4e9))
    assert "clock fell" in reasons(row(repeat(series=[fast]), repeat(series=[slow]), repeat(series=[slow])))


def test_a_single_low_reading_of_the_clock_is_the_governor_at_the_edge() -> None:
    assert reasons(sensed("clock_hz", 1.5e9, *[2.4e9] * 15)) == ""


def test_readings_that_failed_are_not_zeros() -> None:
    assert reasons(sensed("clock_hz", None, 2.4e9, 2.4e9)) == ""
    assert reasons(sensed("throttled", None, None)) == ""


def test_other_work_on_a_tenth_of_the_machine_is_too_much() -> None:
    assert reasons(row(repeat(), repeat(other_load=0.39), repeat())) == ""
    assert reasons(row(repeat(), repeat(other_load=0.5), repeat())) == "other load: 0.5 of 4 cores busy with other work"
    assert reasons(row(repeat(other_load=None), repeat(), repeat())) == ""


def test_repeats_that_differ_are_unstable() -> None:
    assert reasons(row(repeat(10), repeat(10.9), repeat(10))) == ""
    assert reasons(row(repeat(10), repeat(11.5), repeat(10))) == "unstable: repeats differ by 15%"


def test_a_repeat_that_became_slower_has_drifted() -> None:
    slowing = [10 * MS] * 120 + [13 * MS] * 50
    drifted = repeat(latency_ns=slowing, duration_ns=sum(slowing))
    assert reasons(row(drifted, repeat(), repeat())) == "unstable: drifted by +30% within a repeat"


def test_what_falls_short_of_what_was_asked_for_is_named() -> None:
    assert reasons(row(repeat(), repeat())) == "too few repeats: 2 of 3"
    assert reasons(row(repeat(10, 99), repeat(), repeat())) == "too short: less than 1 s a repeat"
    assert reasons(row(*[repeat(50, 40)] * 3)) == "too few queries: 40 in a repeat, 64 wanted"


def test_every_reason_is_told_at_once() -> None:
    throttled = Series("throttled", "", [0], [float(0x4)])
    found = judge(row(repeat(10, series=[throttled], other_load=3.0), repeat(20)), EXPECTED)
    assert [reason.partition(":")[0] for reason in found.reasons] == [
        "throttled",
        "other load",
        "too few repeats",
        "unstable",
    ]


def test_server_rates_must_repeat_and_its_waiting_times_need_not() -> None:
    def run(rate: float | None, latency: float) -> Repeat:
        return repeat(latency, server={"rate_per_s": rate, "tried": []})

    assert reasons(row(run(50, 10), run(52, 30), run(50, 20), scenario="server")) == ""
    assert "unstable: 40.0 to 52.0" in reasons(row(run(50, 10), run(52, 10), run(40, 10), scenario="server"))
    assert "unstable" in reasons(row(run(50, 10), run(None, 10), run(50, 10), scenario="server"))


def test_what_was_not_measured_is_not_valid() -> None:
    assert judge(row(error="it crashed"), EXPECTED).reasons == ("not measured",)
