"""The heat ladder's rules on a virtual clock, and on a simulated board that grows hot and cools down."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piaccel.errors import OptionError
from piaccel.pipeline.heat import HeatSettings, Ladder, Step


class Run:
    """A ladder with a clock that goes on a second with each look."""

    def __init__(self, rungs: int = 3, **settings: float) -> None:
        self.now = 0.0
        self.settings = HeatSettings(**settings)
        self.ladder = Ladder(rungs, self.settings, lambda: self.now)
        self.steps: list[Step] = []

    def look(self, seconds: int = 1, late: float | None = None, **readings: float | None) -> list[tuple[int, int]]:
        """Look once a second; return the steps taken meanwhile, as (from, to)."""
        before = len(self.steps)
        for _ in range(seconds):
            self.now += 1
            if step := self.ladder.update(readings, late):
                self.steps.append(step)
        return [(step.from_rung, step.to_rung) for step in self.steps[before:]]


def board(run: Run, hours: float, ambient_c: float, watts: list[float], kelvin_per_watt: float, tau_s: float) -> float:
    """A board with a heat sink: temperature goes to ambient + power x resistance, with a time constant."""
    temperature = ambient_c
    for _ in range(round(hours * 3600)):
        aim = ambient_c + watts[run.ladder.rung] * kelvin_per_watt
        temperature += (aim - temperature) / tau_s
        run.look(temperature_c=temperature)
    return temperature


def test_under_voltage_and_unknown_sensors_never_step() -> None:
    run = Run()
    assert run.look(300, throttled=1.0, under_voltage=1.0, temperature_c=None) == []
    assert run.look(300, throttled=float("nan"), temperature_c=float("nan")) == []


def test_heat_steps_down_once_and_the_second_step_waits_until_the_first_settled() -> None:
    run = Run()
    run.look(30, temperature_c=79.0)
    assert [(step.at_s, step.to_rung) for step in run.steps] == [(1.0, 1), (21.0, 2)]
    assert run.steps[0].reason == "79 °C, hot from 78 °C"
    assert run.look(300, temperature_c=90.0) == []  # there is no lower rung


@pytest.mark.parametrize("bits", [0b0010, 0b0100, 0b1000, 0b0101])
def test_each_way_of_throttling_steps_down_at_any_temperature(bits: int) -> None:
    assert Run().look(1, throttled=float(bits), temperature_c=50.0) == [(0, 1)]


def test_bits_that_only_say_what_happened_since_boot_do_not() -> None:
    assert Run().look(60, throttled=float(0xF0000), temperature_c=50.0) == []


def test_it_steps_up_after_a_dwell_at_a_lower_temperature_than_it_stepped_down() -> None:
    run = Run()
    run.look(1, temperature_c=79.0)
    assert run.look(500, temperature_c=74.0) == []  # neither hot nor cool
    assert run.look(59, temperature_c=70.0) == []
    assert run.look(2, temperature_c=70.0) == [(1, 0)]
    assert run.steps[-1].reason == "nothing wrong for 60 s"


def test_results_that_are_late_for_long_step_down_and_a_late_second_does_not() -> None:
    run = Run()
    assert run.look(9, late=0.5) == []
    assert run.look(1, late=0.0) == []
    assert run.look(10, late=0.5) == []
    assert run.look(1, late=0.5) == [(0, 1)]
    assert run.steps[0].reason == "more than 10% of the results were late"


def test_seconds_without_results_are_not_late_ones() -> None:
    run = Run()
    run.look(5, late=0.5)
    assert run.look(30, late=None) == []
    assert run.look(5, late=0.5) == []


def test_without_a_temperature_the_deadline_alone_decides() -> None:
    run = Run()
    run.look(11, late=0.5)
    assert run.ladder.rung == 1
    assert run.look(62, late=0.0) == [(1, 0)]


def test_a_temperature_that_is_lost_is_not_taken_for_a_cool_one() -> None:
    run = Run()
    run.look(1, temperature_c=79.0)
    assert run.look(1000, temperature_c=None) == []
    assert run.look(62, temperature_c=60.0) == [(1, 0)]


def test_a_rung_that_fails_again_and_again_is_tried_ever_more_rarely() -> None:
    run = Run(2)
    waits = []
    for _ in range(9):
        run.look(1, temperature_c=79.0)
        before = run.now
        while not run.look(1, temperature_c=60.0):
            pass
        waits.append(run.now - before)
        run.look(25, temperature_c=60.0)
    assert waits == pytest.approx([60, 120, 240, 480, 960, 1920, 3600, 3600, 3600], abs=3)


def test_a_rung_that_has_held_starts_with_the_short_dwell_again() -> None:
    run = Run(2)
    for _ in range(3):
        run.look(1, temperature_c=79.0)
        while not run.look(1, temperature_c=60.0):
            pass
        run.look(25, temperature_c=60.0)
    run.look(2000, temperature_c=60.0)
    run.look(1, temperature_c=79.0)
    before = run.now
    while not run.look(1, temperature_c=60.0):
        pass
    assert run.now - before == pytest.approx(60, abs=3)


@settings(max_examples=25, deadline=None)
@given(
    ambient=st.floats(10, 55),
    first=st.floats(4, 12),
    second=st.floats(0.3, 1),
    third=st.floats(0.3, 1),
    resistance=st.floats(2, 8),
    tau=st.floats(20, 900),
)
def test_no_board_makes_it_swing(
    ambient: float, first: float, second: float, third: float, resistance: float, tau: float
) -> None:
    run = Run(3)
    watts = [first, first * second, first * second * third]
    board(run, 8, ambient, watts, resistance, tau)
    dwell_s = dict.fromkeys((0, 1), run.settings.dwell_s)
    left_s: dict[int, float] = {}
    for before, step in zip([None, *run.steps], run.steps, strict=False):
        if step.to_rung < step.from_rung:
            assert step.at_s - left_s[step.to_rung] >= dwell_s[step.to_rung] - 1
            continue
        rung = step.from_rung
        left_s[rung] = step.at_s
        if before is not None and before.to_rung == rung < before.from_rung:  # it had been tried, and did not do
            held = step.at_s - before.at_s >= run.settings.holds_s
            longer = min(2 * dwell_s[rung], run.settings.longest_dwell_s)
            dwell_s[rung] = run.settings.dwell_s if held else longer
    for rung in (0, 1):  # 1, 2, 4, ... 60 minutes apart and then once an hour, or it holds for half an hour each time
        assert sum(step.to_rung == rung < step.from_rung for step in run.steps) <= 17


@settings(max_examples=25, deadline=None)
@given(ambient=st.floats(10, 40), tau=st.floats(20, 900))
def test_a_board_that_the_lowest_rung_keeps_cool_does_not_stay_hot(ambient: float, tau: float) -> None:
    run = Run(3)
    end = board(run, 4, ambient, [14.0, 8.0, 3.0], 5.0, tau)
    assert end < run.settings.hot_c + 1


def test_a_cool_board_is_left_alone() -> None:
    run = Run(3)
    board(run, 2, 25, [5.0, 4.0, 3.0], 4.0, 120)
    assert run.steps == []


@pytest.mark.parametrize(
    "wrong",
    [{"cool_c": 80.0}, {"dwell_s": -1.0}, {"late_share": 1.0}, {"longest_dwell_s": 10.0}, {"holds_s": -1.0}],
)
def test_settings_that_contradict_themselves_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(OptionError, match="heat"):
        HeatSettings(**wrong)
