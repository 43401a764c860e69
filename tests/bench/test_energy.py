from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from piaccel.bench import Measurement, Power, Repeat, Report, Series, Verdict, energy
from piaccel.bench.compare import Energies, compare
from piaccel.bench.run import benchmark
from piaccel.device.power import EVERYTHING, PowerSource
from piaccel.errors import OptionError, UnavailableError
from piaccel.testing.fake_board import FakeBoard
from tests.bench import reports

INA = Power(
    name="hwmon:ina226",
    how="hwmon",
    accuracy="±1 %",
    uncertainty=0.01,
    covers=sorted(EVERYTHING),
    leaves_out="the losses of the supply",
    is_measured=True,
    idle_w=3.0,
    idle_sampling_w=0.0,
    idle_how="mean of 40 readings in 10 s before anything ran",
)
PMIC = replace(INA, name="pmic", covers=["cpu"], leaves_out="USB devices", uncertainty=None, accuracy="not published")
SECOND = 1_000_000_000


def repeat(watts: Callable[[float], float | None], seconds: float = 10.0, inferences: int = 100) -> Repeat:
    """A repeat that lasts from second 5 on; ``watts`` is of the time since its begin, read every 250 ms."""
    at = [5 * SECOND + round(step * 0.25 * SECOND) for step in range(round(seconds / 0.25) + 1)]
    values = [watts(each / SECOND - 5) for each in at]
    each_ns = round(seconds * SECOND / inferences)
    return Repeat(
        load_ns=1,
        first_ns=1,
        warmup_ns=[],
        latency_ns=[each_ns] * inferences,
        duration_ns=round(seconds * SECOND),
        started_ns=5 * SECOND,
        series=[Series("power_w", "W", at, values)],
    )


def row(*repeats: Repeat, backend: str = "litert", **fields: object) -> Measurement:
    made = Measurement(
        backend, "1", "int8", "int8", 1, "single-stream", repeats=list(repeats), verdict=Verdict(valid=True)
    )
    return replace(made, **fields)  # type: ignore[arg-type]


def test_the_idle_power_is_subtracted_and_the_rest_shared_out() -> None:
    found = energy.spent(row(repeat(lambda _: 5.0)), INA)
    assert found.energy_mj == pytest.approx(200)  # (5 W - 3 W) x 10 s / 100
    assert found.mean_w == pytest.approx(5.0)
    assert found.fps_per_watt == pytest.approx(2.0)  # 10 a second on 5 W
    assert found.uncertainty_mj == pytest.approx(2 * 2.0)  # 1 % of 200 mJ, coverage factor 2
    assert found.sampling_mj == pytest.approx(0.0)


def test_power_that_rises_is_integrated_by_trapezoids() -> None:
    found = energy.spent(row(repeat(lambda s: 3.0 + s)), INA)  # 3 W to 13 W, 8 W in the mean
    assert found.mean_w == pytest.approx(8.0)
    assert found.energy_mj == pytest.approx(500)


def test_a_query_of_several_samples_shares_its_energy_among_them() -> None:
    assert energy.spent(row(repeat(lambda _: 5.0), samples_per_query=8), INA).energy_mj == pytest.approx(25)


def test_repeats_that_differ_widen_the_interval() -> None:
    same = energy.spent(row(*[repeat(lambda _: 5.0)] * 3), INA)
    apart = energy.spent(row(repeat(lambda _: 4.5), repeat(lambda _: 5.0), repeat(lambda _: 5.5)), INA)
    assert apart.energy_mj == pytest.approx(same.energy_mj)
    assert same.uncertainty_mj == pytest.approx(4.0)
    # the repeats took 150, 200 and 250 mJ: 50 / sqrt(3) is the standard error of their mean
    assert apart.sampling_mj == pytest.approx(2 * 50 / 3**0.5)
    assert apart.uncertainty_mj == pytest.approx(2 * ((50 / 3**0.5) ** 2 + 2.0**2) ** 0.5)


def test_an_uncertain_idle_power_makes_the_energy_uncertain() -> None:
    found = energy.spent(row(repeat(lambda _: 5.0)), replace(INA, idle_sampling_w=0.1))
    assert found.sampling_mj == pytest.approx(2 * 0.1 * 10 / 100 * 1e3)


def test_a_source_whose_accuracy_nobody_states_gives_no_uncertainty() -> None:
    found = energy.spent(row(repeat(lambda _: 5.0)), PMIC)
    assert found.energy_mj == pytest.approx(200)
    assert found.uncertainty_mj is None


def test_what_an_accelerator_draws_out_of_the_sources_sight_is_no_energy() -> None:
    coral = row(repeat(lambda _: 5.0), backend="edgetpu")
    found = energy.spent(coral, PMIC)
    assert found.energy_mj is None
    assert found.mean_w is None
    assert "leaves out USB devices" in found.reason
    assert energy.spent(coral, INA).energy_mj == pytest.approx(200)


@pytest.mark.parametrize(
    ("watts", "power", "reason"),
    [
        (lambda _: None, INA, "gave no reading"),
        (lambda s: None if 2 < s < 6 else 5.0, INA, "was not seen for"),
        (lambda _: 5.0, None, "there was no power source"),
    ],
)
def test_unknown_is_none_with_its_reason(
    watts: Callable[[float], float | None], power: Power | None, reason: str
) -> None:
    found = energy.spent(row(repeat(watts)), power)
    assert (found.energy_mj, found.mean_w, found.fps_per_watt) == (None, None, None)
    assert reason in found.reason


def test_without_the_idle_power_there_is_power_but_no_energy() -> None:
    found = energy.spent(row(repeat(lambda _: 5.0)), replace(INA, idle_w=None, idle_how="unknown: not given"))
    assert found.mean_w == pytest.approx(5.0)
    assert found.energy_mj is None
    assert "unknown: not given" in found.reason


class Flat(PowerSource):
    name, how, accuracy, uncertainty, covers, leaves_out, cost_ms = "flat", "here", "1 %", 0.01, EVERYTHING, "", 0.0

    def watts(self) -> float:
        return 4.0


def test_the_idle_power_is_the_mean_of_what_was_read_at_rest() -> None:
    found = energy.described(Flat(), Series("power_w", "W", [0, 1, 2], [3.0, None, 5.0]), 2.0)
    assert found.idle_w == pytest.approx(4.0)
    assert found.idle_sampling_w == pytest.approx(1.0)  # the standard deviation sqrt(2) over sqrt(2)
    assert found.idle_how == "mean of 2 readings in 2 s before anything ran"
    assert energy.described(Flat(), None, 2.0).idle_w is None


def test_a_source_is_asked_for_by_name_and_none_is_an_answer(tmp_path: Path) -> None:
    pi4 = FakeBoard(tmp_path, "pi4").root
    assert energy.asked("none", pi4) == energy.asked(None, pi4) == (None, "")
    source, why = energy.asked("auto", pi4)
    assert source is None
    assert "piaccel power" in why
    with pytest.raises(UnavailableError):
        energy.asked("pmic", pi4)
    with pytest.raises(OptionError):
        energy.asked("a hamster", pi4)


def with_energy(made: Report, watts: float, power: Power | None = INA) -> Report:
    """Every repeat drew ``watts``."""

    def drew(each: Repeat) -> Repeat:
        step = SECOND // 4
        at = list(range(each.started_ns, each.started_ns + each.duration_ns + step, step))
        return replace(each, series=[Series("power_w", "W", at, [watts] * len(at))])

    rows = [replace(each, repeats=[drew(run) for run in each.repeats]) for each in made.measurements]
    return replace(made, measurements=rows, power=power)


def energies(old: Report, new: Report) -> dict[str, Energies]:
    return {each.name: each.energy for each in compare(old, new).rows if each.energy is not None}


def test_a_comparison_tells_more_energy_with_its_interval() -> None:
    old, new = reports.report(1, count=60), reports.report(1, count=60)
    found = energies(with_energy(old, 4.0), with_energy(new, 5.0))["litert/int8, 4 threads, single-stream"]
    assert found.ratio == pytest.approx(2.0, rel=0.01)  # 2 W above idle instead of 1 W
    assert found.low is not None
    assert found.low > 1
    assert found.outcome == "more energy"
    same = energies(with_energy(old, 4.0), with_energy(new, 4.0))["litert/int8, 4 threads, single-stream"]
    assert same.outcome == "no difference"


@pytest.mark.parametrize(
    ("before", "now", "why"),
    [
        (INA, None, "the new report was measured without a power source"),
        (INA, PMIC, "read by different sources: hwmon:ina226 and pmic"),
        (replace(INA, is_measured=False), replace(INA, is_measured=False), "a number that was given"),
        (INA, replace(INA, idle_w=None, idle_how="unknown"), "the new one has no energy"),
        (INA, replace(INA, idle_w=9.0), "cannot be told from the idle power"),
    ],
)
def test_energies_that_the_source_cannot_compare_are_refused(before: Power, now: Power | None, why: str) -> None:
    old, new = reports.report(1, count=60), reports.report(2, count=60)
    found = energies(with_energy(old, 4.0, before), with_energy(new, 4.0, now))
    assert {each.outcome for each in found.values()} == {"not compared"}
    assert why in found["litert/int8, 4 threads, single-stream"].refused


def test_reports_without_power_say_nothing_of_energy() -> None:
    assert energies(reports.report(1, count=60), reports.report(2, count=60)) == {}


def test_the_thriftiest_row_is_named_among_those_that_may_win() -> None:
    made = with_energy(reports.report(1, count=60), 4.0)
    text = energy.thriftiest(made)
    assert text.endswith(".")
    assert "takes least energy" in text
    assert energy.thriftiest(replace(made, power=None)) == ""
    assert energy.thriftiest(replace(made, power=replace(INA, is_measured=False))) == ""


def test_a_benchmark_keeps_the_readings_and_the_idle_power(demo: Path, tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5")
    board.wire("ina226")
    made = benchmark(
        demo / "bundle/int8.tflite", backends=["litert"], threads=[1], duration_s=0.3, repeats=1,
        root=board.root, power="auto",
    )  # fmt: skip
    assert made.power is not None
    assert made.power.name == "hwmon:ina226"
    assert made.power.idle_w == pytest.approx(3.5, abs=2.0)
    found = energy.spent(made.measurements[0], made.power)
    assert found.mean_w == pytest.approx(made.power.idle_w)  # a drawn board draws the same whatever runs
    assert found.energy_mj == pytest.approx(0.0, abs=1e-6)
    bare = benchmark(demo / "bundle/int8.tflite", backends=["litert"], threads=[1], duration_s=0.05, repeats=1)
    assert (bare.power, bare.no_power) == (None, "")
