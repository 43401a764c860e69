"""Numbers and verdicts from rows made by hand: the cases that a story does not meet."""

from __future__ import annotations

from dataclasses import replace

import pytest

from piaccel.soak import Plan, Row, Soak
from piaccel.soak.findings import find, held_rows, limit_c
from piaccel.soak.verdict import judge, span
from piaccel.soak.words import conclusion


def row(number: int, **changed: object) -> Row:
    base = Row(
        at_s=5.0 * number, seconds=5.0, stage="load", temperature_c=60.0, hottest_c=60.0, clock_hz=2.4e9, throttled=0,
        under_voltage=False, answers=100, p50_ms=40.0, p95_ms=42.0, p99_ms=45.0, max_ms=50.0, rss_bytes=100 * 2**20,
    )  # fmt: skip
    return replace(base, **changed)  # type: ignore[arg-type]


def made(rows: list[Row], **changed: object) -> Soak:
    base = Soak("2026-01-01T00:00:00+00:00", {"model": "m"}, Plan(), {}, rows, 80.0)
    return replace(base, **changed)  # type: ignore[arg-type]


def test_boards_have_their_own_limits() -> None:
    assert limit_c("Raspberry Pi 5 Model B Rev 1.0") == 80.0
    assert limit_c("Raspberry Pi 3 Model B Plus Rev 1.3") == 60.0
    assert limit_c("Some PC") is None
    assert limit_c(None) is None


def test_bits_since_boot_that_were_there_before_tell_nothing() -> None:
    rows = [row(0, stage="idle", throttled=0xE0000), *(row(n, throttled=0xE0000) for n in range(1, 60))]
    assert find(made(rows)).throttled_after_s is None


def test_a_bit_since_boot_that_is_new_tells_of_a_moment_between_two_readings() -> None:
    hot = {"temperature_c": 79.5, "hottest_c": 79.9}
    rows = [row(0, stage="idle"), *(row(n, **hot, throttled=0x40000 if n >= 20 else 0) for n in range(1, 60))]
    assert held_rows(made(rows)).count(True) == 1
    assert find(made(rows)).throttled_after_s == pytest.approx(95.0)


def test_the_flags_of_a_weak_supply_on_a_cool_board_are_not_heat() -> None:
    rows = [row(n, throttled=0x50005, under_voltage=True) for n in range(60)]
    found = find(made(rows))
    assert found.throttled_after_s is None
    assert judge(made(rows), found).kind == "under-voltage"


def test_a_weak_supply_on_a_hot_board_does_not_hide_the_heat() -> None:
    rows = [row(n, throttled=0x70007, under_voltage=True, hottest_c=82.0, temperature_c=81.8) for n in range(60)]
    seen = made(rows)
    found = find(seen)
    assert found.throttled_after_s == 0.0
    verdict = judge(seen, found)
    assert verdict.kind == "under-voltage"
    assert any("cooler" in each or "heat sink" in each for each in verdict.advice)


def test_without_flags_a_low_clock_at_the_limit_is_throttling() -> None:
    rows = [row(n, throttled=None, clock_hz=2.4e9 if n < 30 else 1.8e9, hottest_c=70.0 + n / 2) for n in range(60)]
    assert find(made(rows)).throttled_after_s == pytest.approx(150.0)
    cool = [row(n, throttled=None, clock_hz=2.4e9 if n < 30 else 1.8e9) for n in range(60)]
    found = find(made(cool))
    assert found.throttled_after_s is None
    assert found.throttling_known


def test_a_rate_that_throttled_again_is_taken_back_by_a_tenth() -> None:
    load = [row(n, throttled=0x60006 if n >= 20 else 0, hottest_c=81.0) for n in range(60)]
    trial = [row(n, stage="confirm", throttled=0x60006 if n > 80 else 0x60000, hottest_c=80.1) for n in range(60, 100)]
    found = find(made([*load, *trial], confirmed_rate_per_s=20.0))
    assert found.sustainable is not None
    assert found.sustainable.basis == "refuted"
    assert found.sustainable.rate_per_s == pytest.approx(18.0)
    assert found.sustainable.minutes == pytest.approx(105 / 60)


def test_memory_that_grows_is_told() -> None:
    rows = [row(n, rss_bytes=(100 + 2 * n) * 2**20) for n in range(60)]
    verdict = judge(made(rows), find(made(rows)))
    assert any("memory grew by" in reason for reason in verdict.reasons)


def test_a_rate_that_is_not_reached_is_told() -> None:
    rows = [row(n) for n in range(60)]
    seen = made(rows, plan=Plan(rate_per_s=50.0))
    assert "50 a second were asked for, 20 were answered" in judge(seen, find(seen)).reasons


def test_no_rows_at_all_are_a_failure_and_no_crash() -> None:
    seen = made([], interrupted=True)
    verdict = judge(seen, find(seen))
    assert verdict.kind == "failed"
    assert "nothing was answered" in verdict.reasons
    assert conclusion(seen, find(seen), verdict)


def test_the_sensors_of_another_machine_are_not_asked_for() -> None:
    rows = [row(n, temperature_c=None, hottest_c=None, throttled=None, clock_hz=None) for n in range(60)]
    seen = made(rows, limit_c=None, sensors_note="the service runs on another machine")
    verdict = judge(seen, find(seen))
    assert verdict.kind == "sensor missing"
    assert verdict.reasons[0] == "the service runs on another machine"


def test_times_are_written_for_people() -> None:
    assert [span(each) for each in (0.4, 59.0, 60.0, 269.0)] == ["0 s", "59 s", "1 min", "4 min 29 s"]
