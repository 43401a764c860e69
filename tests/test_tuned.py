"""Levers measured with a model: what helps stays, the rest is taken back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from piaccel import tuned
from piaccel.bench import Repeat, Report, Verdict
from piaccel.cli import main
from piaccel.device import tuning
from piaccel.errors import OptionError
from piaccel.testing.fake_board import FakeBoard
from tests.bench import reports

GOVERNOR = "sys/devices/system/cpu/cpufreq/policy0/scaling_governor"
BOOT = "proc/sys/kernel/random/boot_id"


def measuring(root: Path, ms: Callable[[Path], float], *reasons: str, **other: Any) -> Callable[[], Report]:
    """A benchmark whose latency follows the board's files, with a spread of its own; ``other``: its environment."""
    turn = 0
    whole = reports.report(1, count=20, repeats=1)
    whole = replace(whole, environment={**whole.environment, **other})

    def measure() -> Report:
        nonlocal turn
        turn += 1
        level_ns = round(ms(root) * 1e6 * (1 + 0.01 * (turn % 3)))
        run: Repeat = replace(whole.measurements[0].repeats[0], latency_ns=[level_ns] * 20)
        row = replace(whole.measurements[0], repeats=[run], verdict=Verdict(not reasons, reasons))
        return replace(whole, measurements=[row])

    return measure


def by_governor(faster: float) -> Callable[[Path], float]:
    return lambda root: 10.0 * (faster if (root / GOVERNOR).read_text().strip() == "performance" else 1.0)


def tree(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file() and not path.is_symlink()}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return FakeBoard(tmp_path / "pi", "pi5", os="trixie").root


def weighed(result: tuned.Result, name: str) -> tuned.Weighed:
    return next(each for each in result.levers if each.lever == name)


def test_what_helps_stays_and_says_by_how_much(root: Path) -> None:
    tuning.plan(root).apply()
    found = tuned.weigh("a model", root=root, measure=measuring(root, by_governor(0.8)))
    governor = weighed(found, "governor")
    assert (governor.outcome, governor.kept) == ("helped", True)
    assert governor.ratio == pytest.approx(0.8, rel=0.02)
    assert governor.high is not None
    assert governor.high < 1
    assert "6 fresh processes each" in governor.how
    assert (root / GOVERNOR).read_text().strip() == "performance"
    assert "governor" in tuning.status(root).levers


@pytest.mark.parametrize(("factor", "words"), [(1.0, "no difference is shown"), (1.3, "it made it slower")])
def test_what_does_not_help_is_taken_back_and_the_rest_stays(root: Path, factor: float, words: str) -> None:
    first = tree(root)
    tuning.plan(root).apply()
    others = set(tuning.status(root).levers) - {"governor"}
    found = tuned.weigh("a model", root=root, measure=measuring(root, by_governor(factor)))
    assert weighed(found, "governor").outcome == "did not help"
    assert words in weighed(found, "governor").why
    assert (root / GOVERNOR).read_text().strip() == "ondemand"
    assert not (root / "etc/systemd/system/piaccel-governor.service").exists()
    assert set(tuning.status(root).levers) == others
    assert tuning.status(root).levers["psi"] is True, "it waits for the reboot still"
    tuning.revert(root)
    assert tree(root) == first


def test_levers_that_are_not_for_speed_stay_without_being_measured(root: Path) -> None:
    tuning.plan(root, ["psi", "swappiness"]).apply()
    found = tuned.weigh("a model", root=root, measure=measuring(root, by_governor(1.0)))
    assert {each.outcome for each in found.levers} == {"not judged"}
    assert set(tuning.status(root).levers) == {"psi", "swappiness"}


def test_a_hot_board_proves_nothing(root: Path) -> None:
    tuning.plan(root, ["governor"]).apply()
    found = tuned.weigh("a model", root=root, measure=measuring(root, by_governor(0.5), "throttled"))
    governor = weighed(found, "governor")
    assert (governor.outcome, governor.kept) == ("not judged", False)
    assert "throttled" in governor.why


def test_an_uneven_clock_is_what_the_governor_is_about(root: Path) -> None:
    tuning.plan(root, ["governor"]).apply()
    found = tuned.weigh("a model", root=root, measure=measuring(root, by_governor(0.5), "clock fell: 1500 MHz"))
    assert weighed(found, "governor").outcome == "helped"


@pytest.mark.parametrize(("factor", "outcome"), [(0.9, "helped"), (1.0, "did not help")])
def test_what_needs_a_reboot_is_measured_before_and_after_it(root: Path, factor: float, outcome: str) -> None:
    first = tree(root)
    tuning.plan(root, ["page-size"]).apply()
    booted = (root / BOOT).read_text()
    measure = measuring(root, lambda each: 10.0 * (factor if (each / BOOT).read_text() != booted else 1.0))
    before = tuned.weigh("a model", root=root, measure=measure)
    assert before.reboot
    assert weighed(before, "page-size").outcome == "waits for a reboot"
    (root / BOOT).write_text("another-boot\n")
    after = tuned.weigh("a model", root=root, measure=measure)
    assert weighed(after, "page-size").outcome == outcome
    assert ("page-size" in tuning.status(root).levers) == (outcome == "helped")
    tuning.revert(root)
    (root / BOOT).write_text(booted)
    assert tree(root) == first


def test_what_was_in_force_before_anything_was_measured_is_not_judged(root: Path) -> None:
    tuning.plan(root, ["page-size"]).apply()
    (root / BOOT).write_text("another-boot\n")
    found = weighed(tuned.weigh("a model", root=root, measure=measuring(root, by_governor(1.0))), "page-size")
    assert (found.outcome, found.kept) == ("not judged", True)
    assert "nothing was measured before" in found.why


def test_a_measurement_that_is_unlike_the_one_before_the_reboot_judges_nothing(root: Path) -> None:
    tuning.plan(root, ["page-size"]).apply()
    booted = (root / BOOT).read_text()

    def ms(each: Path) -> float:
        return 10.0 if (each / BOOT).read_text() == booted else 5.0

    tuned.weigh("a model", root=root, measure=measuring(root, ms))
    (root / BOOT).write_text("another-boot\n")
    measure = measuring(root, ms)

    def other_model() -> Report:
        found = measure()
        return replace(found, model={**found.model, "name": "another"})

    def other_threads() -> Report:
        found = measure()
        return replace(found, measurements=[replace(found.measurements[0], threads=1)])

    def other_version() -> Report:
        found = measure()
        return replace(found, environment={**found.environment, "versions": {"piaccel": "9"}})

    for other, words in ((other_model, "another"), (other_threads, "1 thread"), (other_version, "piaccel: 0.1.0 -> 9")):
        page = weighed(tuned.weigh("a model", root=root, measure=other), "page-size")
        assert (page.outcome, page.kept) == ("not judged", True)
        assert words in page.why
    kernel = {"board": {**reports.report(1).environment["board"], "kernel": "6.12-v8", "page_size": 4096}}
    found = tuned.weigh("a model", root=root, measure=measuring(root, ms, **kernel))
    assert weighed(found, "page-size").outcome == "helped", "the kernel is what the lever changes"


def test_what_is_taken_back_at_once_does_not_lose_the_measurement_before_the_reboot(root: Path) -> None:
    tuning.plan(root, ["governor", "page-size"]).apply()
    booted = (root / BOOT).read_text()
    measure = measuring(root, lambda each: 10.0 if (each / BOOT).read_text() == booted else 5.0)
    first = tuned.weigh("a model", root=root, measure=measure)
    assert weighed(first, "governor").outcome == "did not help"
    (root / BOOT).write_text("another-boot\n")
    assert weighed(tuned.weigh("a model", root=root, measure=measure), "page-size").outcome == "helped"


def test_where_the_boot_has_no_name_nothing_waits_for_ever(root: Path) -> None:
    tuning.plan(root, ["page-size"]).apply()
    (root / BOOT).unlink()
    page = weighed(tuned.weigh("a model", root=root, measure=measuring(root, by_governor(1.0))), "page-size")
    assert (page.outcome, page.kept) == ("not judged", True)
    assert "cannot be known" in page.why


def test_a_machine_without_levers_for_speed_says_so(tmp_path: Path) -> None:
    other = FakeBoard(tmp_path / "pi4", "pi4").root
    shutil.rmtree(other / "sys/devices/system/cpu/cpufreq")
    with pytest.raises(OptionError, match="none is recommended for speed on this machine"):
        tuned.weigh("a model", root=other, measure=measuring(other, by_governor(1.0)))


def test_ctrl_c_leaves_everything_applied(root: Path) -> None:
    tuning.plan(root, ["governor"]).apply()
    runs = 0

    def measure() -> Report:
        nonlocal runs
        runs += 1
        if runs == 3:
            raise KeyboardInterrupt
        return reports.report(1, count=20, repeats=1)

    with pytest.raises(KeyboardInterrupt):
        tuned.weigh("a model", root=root, measure=measure)
    assert (root / GOVERNOR).read_text().strip() == "performance"
    assert tuning.status(root).levers == {"governor": False}


def test_where_nothing_is_applied_that_is_said(root: Path) -> None:
    with pytest.raises(OptionError, match="nothing to measure"):
        tuned.weigh("a model", root=root, measure=measuring(root, by_governor(1.0)))


def test_the_command_measures_a_real_network_and_tells_each_lever(
    root: Path, demo: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuned, "weigh", partial(tuned.weigh, rounds=1, duration_s=0.05))
    tuning.plan(root, ["governor", "psi"]).apply()
    words = ["tune", "--measure", str(demo / "bundle/int8.tflite"), "--backend", "litert", "--threads", "1"]
    assert main([*words, "--root", str(root), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["measured"]
    assert {each["lever"] for each in told["levers"]} == {"governor", "psi"}
    assert (told["backend"], told["threads"]) == ("litert", 1)
    tuning.plan(root, ["governor"]).apply()
    assert main([*words, "--root", str(root)]) == 0
    text = capsys.readouterr().out
    assert "governor" in text
    assert "it is not there for speed" in text


@pytest.mark.parametrize("words", [["plan", "--measure", "x"], ["--backend", "litert"], ["show", "--threads", "1"]])
def test_options_of_the_measurement_stand_with_it(root: Path, words: list[str]) -> None:
    assert main(["tune", *words, "--root", str(root)]) == 2
