"""The service's heat ladder on a virtual clock, with a fake board's sensors."""

from itertools import pairwise
from pathlib import Path

import pytest

from piaccel.pipeline.heat import HeatSettings
from piaccel.serving.board import Board
from piaccel.serving.thermal import Lateness, Rung, Thermal, agent_check
from piaccel.testing.captures import Kind, State
from piaccel.testing.fake_board import FakeBoard
from tests.serving import numbers


class Run:
    """A ladder whose clock goes on two seconds with each look."""

    def __init__(self, **rungs: int) -> None:
        self.now = 0.0
        self.thermal = Thermal(HeatSettings(), lambda: self.now)
        self.thermal.watch(rungs)
        self.steps: list[tuple[float, Rung]] = []

    def look(self, looks: int = 1, **readings: float | None) -> None:
        for _ in range(looks):
            self.now += 2
            self.steps += [(self.now, step) for step in self.thermal.update(readings, {})]


def test_a_hot_board_steps_every_model_that_has_a_ladder_and_says_why() -> None:
    run = Run(parts=2, people=3, plain=1)
    run.look(temperature_c=79.0)
    assert [step for _, step in run.steps] == [
        ("parts", 1, "79 °C, hot from 78 °C"),
        ("people", 1, "79 °C, hot from 78 °C"),
    ]


def test_late_answers_step_only_the_model_that_is_late() -> None:
    run = Run(parts=2, people=2)
    for _ in range(10):
        run.now += 2
        run.steps += [(run.now, step) for step in run.thermal.update({}, {"parts": 0.5, "people": 0.0})]
    assert run.thermal.rungs == {"parts": 1, "people": 0}
    assert len(run.steps) == 1


def test_under_voltage_is_never_a_step() -> None:
    run = Run(parts=2)
    run.look(500, throttled=1.0, under_voltage=1.0, temperature_c=60.0)
    assert run.steps == []


def test_models_come_and_go_while_the_others_stay_on_their_rungs() -> None:
    run = Run(parts=2)
    run.look(temperature_c=79.0)
    run.thermal.watch({"parts": 2, "people": 2})
    assert run.thermal.rungs == {"parts": 1, "people": 0}
    run.thermal.watch({"people": 2})
    assert run.thermal.rungs == {"people": 0}


def test_on_a_board_that_warms_and_cools_it_does_not_swing() -> None:
    """84 °C with the heavy variant, 66 °C with the light one: it cannot afford the heavy one, and learns so."""
    run = Run(parts=2)
    temperature = 40.0
    for _ in range(4 * 1800):
        aim = (84.0, 66.0)[run.thermal.rungs["parts"]]
        temperature += (aim - temperature) * 2 / 90
        run.look(temperature_c=temperature)
        assert temperature < 80  # it acts before the board does
    downs = [at for at, step in run.steps if step.rung == 1]
    gaps = [b - a for a, b in pairwise(downs)]
    assert len(run.steps) <= 20
    assert gaps == sorted(gaps)  # ever more rarely, down to once an hour
    assert gaps[-1] >= 3600


@pytest.mark.parametrize("kind", ["pi4", "pi5"])
def test_a_fake_board_that_throttles_steps_down_and_one_that_is_cool_again_steps_up(kind: Kind, tmp_path: Path) -> None:
    fake = FakeBoard(tmp_path / "root", kind)
    board, run = Board(fake.root), Run(parts=3)
    rungs = []
    states: tuple[tuple[State, int], ...] = (("cool", 3), ("throttled", 15), ("cool", 80))
    for state, looks in states:
        fake.enter(state)
        board.look()
        for _ in range(looks):
            run.now += 2
            run.thermal.update(board.readings, {})
            rungs.append(run.thermal.rungs["parts"])
    peak = rungs.index(2)
    assert rungs[:peak] == sorted(rungs[:peak])
    assert rungs[peak:] == sorted(rungs[peak:], reverse=True)
    assert rungs[-1] == 0


def test_the_share_of_late_answers_is_that_since_the_last_look() -> None:
    lateness = Lateness()

    def look(good: int, late: int) -> float | None:
        row = numbers.version(succeeded=good, failed={"deadline_exceeded": late, "internal": 9})
        return lateness.update(numbers.service(models=(numbers.model(versions=(row,)),)))["parts"]

    assert [look(8, 2), look(8, 2), look(9, 5), look(1, 1)] == [0.2, None, 0.75, 0.5]


@pytest.mark.parametrize(
    ("readings", "rungs", "ready", "expected"),
    [
        ({"throttled": 0.0}, {"parts": 0}, True, "ready up 100%\n"),
        ({"throttled": None}, {}, True, "ready up 100%\n"),
        ({"throttled": 0xF0001}, {"parts": 0}, True, "ready up 100%\n"),
        ({"throttled": 0.0}, {"parts": 0, "people": 1}, True, "ready up 50%\n"),
        ({"throttled": 4.0}, {"parts": 1}, True, "drain\n"),
        ({}, {"parts": 0}, False, "drain\n"),
    ],
)
def test_a_balancer_is_told_how_much_the_board_can_take(
    readings: dict[str, float | None], rungs: dict[str, int], ready: bool, expected: str
) -> None:
    assert agent_check(readings, rungs, ready=ready) == expected
