"""Half an hour on a board that grows hot, in a moment: what a soak finds there is what the board's equations say."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from piaccel.errors import InferenceError
from piaccel.soak import Plan, Soak
from piaccel.soak.findings import Findings, find, limit_c
from piaccel.soak.run import Step, soak
from piaccel.soak.verdict import Verdict, judge
from piaccel.testing.captures import Kind
from piaccel.testing.thermal import ThermalBoard

PI5 = {"board": {"model": "Raspberry Pi 5 Model B Rev 1.0"}}


def run(board: ThermalBoard, plan: Plan | None = None, model: str = "Raspberry Pi 5") -> tuple[Soak, Findings, Verdict]:
    seen = soak(
        [board.work],
        plan or Plan(),
        sensors=board.gauges(),
        limit_c=limit_c(model),
        clock=board,
        environment={"board": {"model": model}},
    )
    found = find(seen)
    return seen, found, judge(seen, found)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> tuple[Soak, Findings, Verdict]:
    """A Pi 5 without a cooler, thirty minutes."""
    return run(ThermalBoard(tmp_path_factory.mktemp("bare") / "pi", files=False))


def test_a_bare_pi_5_throttles_when_the_equation_says(bare: tuple[Soak, Findings, Verdict], tmp_path: Path) -> None:
    _, found, verdict = bare
    fresh = ThermalBoard(tmp_path / "pi", files=False)
    expected = fresh.reaches_s(80.0, 1.0)
    assert expected is not None
    assert found.throttled_after_s is not None
    assert found.throttled_after_s == pytest.approx(expected, abs=6.0)  # a row is five seconds
    assert verdict.kind == "throttles"
    assert found.words == ("clock capped", "throttled")


def test_its_fit_finds_where_it_would_settle_and_how_fast(bare: tuple[Soak, Findings, Verdict], tmp_path: Path) -> None:
    _, found, _ = bare
    fresh = ThermalBoard(tmp_path / "pi", files=False)
    assert found.fit is not None
    assert found.fit.is_certain
    assert found.fit.last_c == pytest.approx(fresh.settles_at_c(1.0), abs=0.5)
    assert found.fit.tau_s == pytest.approx(fresh.tau_s, rel=0.05)


def test_it_loses_rate_and_latency_grows_with_the_clock(bare: tuple[Soak, Findings, Verdict]) -> None:
    _, found, verdict = bare
    assert found.rate_start_per_s == pytest.approx(25.0, rel=0.01)
    assert found.clock_steady_hz is not None
    assert found.rate_steady_per_s is not None
    assert found.rate_steady_per_s == pytest.approx(25.0 * found.clock_steady_hz / 2.4e9, rel=0.02)
    assert found.loss is not None
    assert found.loss > 0.1
    assert found.settled
    assert found.p50_steady_ms is not None
    assert found.p50_steady_ms > 44.0
    assert any("median latency went from 40" in reason for reason in verdict.reasons)
    assert any("fit an active cooler" in each for each in verdict.advice)
    assert any("--policy paced --period" in each for each in verdict.advice)


def test_the_sustainable_rate_is_estimated_and_then_confirmed(bare: tuple[Soak, Findings, Verdict]) -> None:
    seen, found, _ = bare
    best = found.sustainable
    assert best is not None
    assert best.basis == "confirmed"
    assert best.minutes == pytest.approx(10.0, abs=0.2)
    assert {row.stage for row in seen.rows} == {"idle", "load", "cool", "confirm"}


def test_the_sustainable_rate_does_not_throttle_in_an_hour_and_a_tenth_more_does(
    bare: tuple[Soak, Findings, Verdict], tmp_path: Path
) -> None:
    best = bare[1].sustainable
    assert best is not None
    hour = Plan(load_s=3600.0, confirm_s=0.0, rate_per_s=best.rate_per_s)
    _, found, verdict = run(ThermalBoard(tmp_path / "held", files=False), hour)
    assert found.throttled_after_s is None
    assert verdict.passed
    assert found.sustainable is not None
    assert found.sustainable.at_least
    more = Plan(load_s=3600.0, confirm_s=0.0, rate_per_s=best.rate_per_s * 1.1)
    _, found, verdict = run(ThermalBoard(tmp_path / "more", files=False), more)
    assert found.throttled_after_s is not None
    assert verdict.kind == "throttles"


def test_the_estimate_holds_with_a_noisy_sensor(tmp_path: Path) -> None:
    _, found, _ = run(ThermalBoard(tmp_path / "pi", noise_c=0.4, seed=3, files=False))
    assert found.sustainable is not None
    share = (80.0 - 56.59) / (90.16 - 56.59)
    assert found.sustainable.basis == "confirmed"
    assert 0.85 * share * 25 < found.sustainable.rate_per_s < share * 25


def test_with_the_active_cooler_it_passes_with_room_to_spare(tmp_path: Path) -> None:
    seen, found, verdict = run(ThermalBoard(tmp_path / "pi", cooling="active", files=False))
    assert verdict.passed, verdict
    assert found.throttled_after_s is None
    assert found.head_room_c is not None
    assert found.head_room_c > 10
    assert found.sustainable is not None
    assert found.sustainable.basis == "measured"
    assert found.sustainable.rate_per_s == pytest.approx(25.0, rel=0.01)
    assert "confirm" not in {row.stage for row in seen.rows}


def test_a_pass_says_how_warm_the_air_may_be_and_the_board_agrees(tmp_path: Path) -> None:
    board = ThermalBoard(tmp_path / "pi", cooling="heatsink", files=False)
    seen, found, _ = run(board)
    stated = replace(seen, environment={**PI5, "ambient_c": 25.0})
    reason = judge(stated, found).reasons[1]
    assert reason.startswith("so it should hold in air of up to ")
    warm = float(reason.removeprefix("so it should hold in air of up to ").removesuffix(" °C"))
    again = ThermalBoard(tmp_path / "warm", cooling="heatsink", ambient_c=warm, files=False)
    assert run(again)[2].passed


def test_a_pi_4_with_a_heat_sink_passes_and_without_throttles(tmp_path: Path) -> None:
    name = "Raspberry Pi 4 Model B Rev 1.5"
    _, _, verdict = run(ThermalBoard(tmp_path / "sink", "pi4", cooling="heatsink", files=False), model=name)
    assert verdict.passed, verdict
    _, _, verdict = run(ThermalBoard(tmp_path / "bare", "pi4", files=False), Plan(confirm_s=0.0), model=name)
    assert verdict.kind == "throttles"
    assert any("heat sink" in each for each in verdict.advice)


def test_a_3b_plus_is_judged_by_its_soft_limit(tmp_path: Path) -> None:
    name = "Raspberry Pi 3 Model B Plus Rev 1.3"
    board = ThermalBoard(tmp_path / "pi", "pi3b+", cooling="heatsink", ambient_c=30.0, files=False)
    _, found, verdict = run(board, Plan(confirm_s=0.0), model=name)
    assert limit_c(name) == 60.0
    assert verdict.kind == "throttles"
    assert found.words == ("soft temperature limit",)


def test_the_rate_is_tried_only_after_the_firmware_let_go(tmp_path: Path) -> None:
    board = ThermalBoard(tmp_path / "pi", "pi3b+", cooling="heatsink", ambient_c=30.0, files=False)
    _, found, _ = run(board, model="Raspberry Pi 3 Model B Plus Rev 1.3")
    assert found.sustainable is not None
    assert found.sustainable.basis == "confirmed"


@pytest.mark.parametrize("ambient_c", [18.0, 32.0])
@pytest.mark.parametrize("kind", ["pi4", "pi5"])
def test_the_sustainable_rate_holds_for_an_hour_in_cool_and_in_warm_air(
    kind: Kind, ambient_c: float, tmp_path: Path
) -> None:
    found = run(ThermalBoard(tmp_path / "pi", kind, ambient_c=ambient_c, noise_c=0.3, files=False))[1]
    best = found.sustainable
    assert best is not None
    again = ThermalBoard(tmp_path / "again", kind, ambient_c=ambient_c, files=False)
    hour = Plan(load_s=3600.0, confirm_s=0.0, rate_per_s=best.rate_per_s)
    assert run(again, hour)[1].throttled_after_s is None


def test_a_short_run_is_not_settled_and_says_how_much_longer(tmp_path: Path) -> None:
    board = ThermalBoard(tmp_path / "pi", cooling="heatsink", files=False)
    _, found, verdict = run(board, Plan(load_s=200.0))
    assert verdict.kind == "not settled"
    assert found.longer_minutes is not None
    assert found.fit is not None
    again = ThermalBoard(tmp_path / "again", cooling="heatsink", files=False)
    _, found, verdict = run(again, Plan(load_s=200.0 + 60.0 * found.longer_minutes))
    assert verdict.passed, verdict


def test_under_voltage_is_an_alarm_and_not_taken_for_heat(tmp_path: Path) -> None:
    board = ThermalBoard(tmp_path / "pi", cooling="active", files=False)
    with board.every(300.0, lambda: board.undervolt(300e9 <= board.now_ns() < 600e9)):
        _, found, verdict = run(board)
    assert found.throttled_after_s is None
    assert verdict.kind == "under-voltage"
    assert any("27 W" in each for each in verdict.advice)


def test_sensors_that_are_lost_in_the_middle_are_no_pass(tmp_path: Path) -> None:
    board = ThermalBoard(tmp_path / "pi", cooling="active", files=False)
    with board.every(600.0, lambda: board.lose_sensors() if board.now_ns() else None):
        seen, found, verdict = run(board)
    assert verdict.kind == "sensor missing"
    assert "the sensors fell silent while it ran" in verdict.reasons
    assert seen.rows[-1].temperature_c is None
    assert found.rate_steady_per_s == pytest.approx(25.0, rel=0.02)


def test_without_sensors_the_rate_is_still_measured(tmp_path: Path) -> None:
    board = ThermalBoard(tmp_path / "pi", files=False)
    board.lose_sensors()
    _, found, verdict = run(board, Plan(load_s=60.0))
    assert verdict.kind == "sensor missing"
    assert not found.throttling_known
    assert found.idle_c is None
    assert found.hottest_c is None
    assert found.sustainable is None
    assert found.rate_steady_per_s is not None


def test_ctrl_c_ends_it_early_and_what_was_seen_is_kept(tmp_path: Path) -> None:
    board = ThermalBoard(tmp_path / "pi", cooling="active", files=False)

    def work() -> None:
        if board.now_ns() > 400e9:
            raise KeyboardInterrupt
        board.work()

    seen = soak([work], Plan(), sensors=board.gauges(), limit_c=80.0, clock=board)
    found = find(seen)
    assert seen.interrupted
    assert found.load_s == pytest.approx(370.0, abs=2.0)
    verdict = judge(seen, found)
    assert verdict.kind == "not settled"
    assert "cut short by the user" in verdict.reasons


def test_a_model_that_only_fails_any_more_ends_the_load(tmp_path: Path) -> None:
    board = ThermalBoard(tmp_path / "pi", files=False)

    def work() -> None:
        board.work()
        if board.now_ns() > 60e9:
            raise InferenceError("the accelerator is gone")

    seen = soak([work], Plan(), sensors=board.gauges(), limit_c=80.0, clock=board)
    assert "50 failures on end, the last: the accelerator is gone" in seen.gave_up
    assert seen.errors == {"the accelerator is gone": 50}
    assert judge(seen, find(seen)).kind == "failed"


def test_few_errors_are_counted_and_named_but_no_failure(tmp_path: Path) -> None:
    board = ThermalBoard(tmp_path / "pi", cooling="active", files=False)
    count = 0

    def work() -> None:
        nonlocal count
        count += 1
        board.work()
        if count % 100 == 0:
            raise InferenceError("one in a hundred")

    seen = soak([work], Plan(), sensors=board.gauges(), limit_c=80.0, clock=board)
    verdict = judge(seen, find(seen))
    assert verdict.passed
    assert any("requests failed" in reason for reason in verdict.reasons)


def test_what_the_first_question_raises_is_raised(tmp_path: Path) -> None:
    def work() -> None:
        raise InferenceError("no such tensor")

    with pytest.raises(InferenceError, match="no such tensor"):
        soak([work], Plan(), clock=ThermalBoard(tmp_path / "pi", files=False))


def test_the_rows_tell_the_progress_as_they_end(tmp_path: Path) -> None:
    board = ThermalBoard(tmp_path / "pi", cooling="active", files=False)
    steps: list[Step] = []
    seen = soak([board.work], Plan(load_s=60.0), sensors=board.gauges(), clock=board, tell=steps.append)
    assert [step.row for step in steps] == seen.rows
    assert steps[-1].done_s == pytest.approx(steps[-1].total_s, abs=0.1)


def test_rows_follow_one_another_without_a_gap(bare: tuple[Soak, Findings, Verdict]) -> None:
    rows = bare[0].rows
    for before, after in itertools.pairwise(rows):
        assert after.at_s == pytest.approx(before.end_s)
