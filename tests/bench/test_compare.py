from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from piaccel.bench import Agreement, Measurement, Report, Verdict
from piaccel.bench.compare import CONDITIONS, Comparison, Row, compare
from piaccel.errors import ConditionsError, OptionError
from tests.bench import reports


@pytest.fixture(scope="module")
def old() -> Report:
    return reports.report(1, count=60)


@pytest.fixture(scope="module")
def again() -> Report:
    """The same board and model, measured another time."""
    return reports.report(2, count=60)


def _row(found: Comparison, backend: str, variant: str) -> Row:
    return next(row for row in found.rows if (row.backend, row.variant) == (backend, variant))


def _with(report: Report, at: int, **fields: Any) -> Report:
    rows = list(report.measurements)
    rows[at] = replace(rows[at], **fields)
    return replace(report, measurements=rows)


def test_measuring_again_shows_no_difference(old: Report, again: Report) -> None:
    found = compare(old, again)
    assert {row.outcome for row in found.rows if row.outcome != "not compared"} == {"no difference"}
    assert found.regressions == []
    assert "nothing slower by more than 5%" in found.conclusion


def test_what_became_faster_and_slower_is_said_with_its_ratio_and_interval(old: Report) -> None:
    new = reports.report(2, count=60, factors={("litert", "int8"): 1.2, ("openvino", "fp32-onnx"): 0.8})
    found = compare(old, new)
    slower, faster = _row(found, "litert", "int8"), _row(found, "openvino", "fp32-onnx")
    assert (slower.outcome, faster.outcome) == ("slower", "faster")
    assert slower.ratio == pytest.approx(1.2, rel=0.05)
    assert slower.interval is not None
    assert slower.ratio is not None
    assert 1 < slower.interval.low < slower.ratio < slower.interval.high
    assert slower.old_ms is not None
    assert slower.new_ms == pytest.approx(slower.old_ms * slower.ratio)
    assert found.regressions == [slower]
    assert "worst litert/int8, 4 threads, single-stream (+19.3%)." in found.conclusion


def test_a_significant_change_below_the_limit_is_slower_but_no_regression(old: Report) -> None:
    found = compare(old, reports.report(2, count=60, factors={("litert", "int8"): 1.2}), fail_above=0.5)
    assert _row(found, "litert", "int8").outcome == "slower"
    assert found.regressions == []


def test_a_large_change_that_is_not_significant_is_no_regression() -> None:
    """Two repeats each, far apart: the ratio alone says nothing."""
    one = reports.report(1, count=20, repeats=2)
    row = replace(one.measurements[0], repeats=[])
    runs = one.measurements[0].repeats
    noisy = [
        replace(row, repeats=[replace(run, latency_ns=[level] * 20) for run, level in zip(runs, levels, strict=True)])
        for levels in ((9_000_000, 12_000_000), (10_000_000, 15_000_000))
    ]
    found = compare(*(replace(one, measurements=[each]) for each in noisy))
    assert found.rows[0].ratio is not None
    assert found.rows[0].ratio > 1.15
    assert (found.rows[0].outcome, found.regressions) == ("no difference", [])


def test_one_repeat_never_shows_a_difference() -> None:
    found = compare(reports.report(repeats=1), reports.report(repeats=1, factors={("litert", "int8"): 3.0}))
    row = _row(found, "litert", "int8")
    assert row.outcome == "no difference"
    assert row.ratio == pytest.approx(3.0, rel=0.1)
    assert "a single repeat shows none" in row.reason


def test_an_invalid_row_is_never_called_faster_or_slower(old: Report) -> None:
    new = reports.report(2, count=60, factors={("onnxruntime", "fp32-onnx"): 0.1, ("litert", "fp32"): 9.0})
    new = _with(new, 1, verdict=Verdict(False, ("hot: 86 °C",)))
    found = compare(old, new)
    throttled, hot = _row(found, "onnxruntime", "fp32-onnx"), _row(found, "litert", "fp32")
    assert (throttled.outcome, throttled.ratio, hot.outcome) == ("not compared", None, "not compared")
    assert throttled.reason.startswith("the old one is not valid: throttled in 5 of 5 repeats")
    assert hot.reason == "the new one is not valid: hot: 86 °C"
    assert found.regressions == []


def test_a_row_that_was_right_and_now_answers_wrongly_or_fails_is_broken(old: Report, again: Report) -> None:
    wrong = _with(again, 0, agreement=Agreement(False, 0.3, 9.0, False, "top-1 differs"))
    failed = _with(again, 0, error="illegal instruction", repeats=[])
    for new, reason in (
        (wrong, "answers wrongly: top-1 differs"),
        (failed, "could not be measured: illegal instruction"),
    ):
        found = compare(old, new)
        assert (found.rows[0].outcome, found.rows[0].reason) == ("broken", reason)
        assert found.regressions == [found.rows[0]]


def test_a_row_that_was_wrong_before_is_not_compared(old: Report, again: Report) -> None:
    found = compare(old, again)
    assert _row(found, "ncnn", "fp32-ncnn").reason.startswith("the old one answers wrongly: top-1 differs on 3 of 4")
    assert _row(found, "opencv", "fp32-onnx").reason.startswith("the old one could not be measured")
    assert _row(found, "opencv", "fp32-onnx").outcome == "not compared"


def test_rows_in_one_report_only_are_listed(old: Report, again: Report) -> None:
    found = compare(
        replace(old, measurements=old.measurements[:3]), replace(again, measurements=again.measurements[1:4])
    )
    assert found.only_old == ["litert/int8, 4 threads, single-stream"]
    assert found.only_new == ["openvino/fp32-onnx, 4 threads, single-stream"]
    assert [row.variant for row in found.rows] == ["fp32", "fp32-onnx"]


def test_reports_without_a_common_row_are_refused(old: Report, again: Report) -> None:
    other = [replace(row, threads=1) for row in again.measurements]
    with pytest.raises(ConditionsError, match=r"no row in common: litert/int8, 4 threads.* and 3 more in the old one"):
        compare(old, replace(again, measurements=other))
    with pytest.raises(ConditionsError, match="none in the new one"):
        compare(old, replace(again, measurements=[]))


def test_newer_runtimes_are_what_is_compared(old: Report, again: Report) -> None:
    versions = {**again.environment["versions"], "litert": "2.4.0", "python": "3.13.9"}
    new = replace(_with(again, 0, version="2.4.0"), environment={**again.environment, "versions": versions})
    assert compare(old, new).changed == ["litert: 2.3.0 -> 2.4.0", "python: 3.13.5 -> 3.13.9"]


def _changed_board(report: Report, **fields: Any) -> Report:
    return replace(report, environment={**report.environment, "board": {**report.environment["board"], **fields}})


def _changed_conditions(report: Report, **fields: Any) -> Report:
    return replace(report, conditions={**report.conditions, **fields})


def _other_options(row: Measurement) -> Measurement:
    return replace(row, options={"xnnpack": row.backend == "litert", "new_in_this_version": 1})


def _unequal(new: Report) -> dict[str, tuple[Report, str]]:
    variants = {name: {**each, "sha256": "f" * 64} for name, each in new.model["variants"].items()}
    return {
        "board": (_changed_board(new, model="Raspberry Pi 4 Model B"), "model: Raspberry Pi 5 Model B Rev 1.0 -> Rasp"),
        "os": (_changed_board(new, os_codename="bookworm"), "os codename: trixie -> bookworm"),
        "kernel": (_changed_board(new, kernel="6.6.31"), r"kernel: 6.12.47\+rpt-rpi-2712 -> 6.6.31"),
        "page-size": (_changed_board(new, page_size=4096), "page size: 16384 -> 4096"),
        "governor": (_changed_board(new, governor=None), "governor: ondemand -> unknown"),
        "model": (
            replace(new, model={**new.model, "variants": variants}),
            "sha256 of int8: 000000000000… -> ffffffffffff…",
        ),
        "image": (
            _changed_conditions(new, images=["other.jpg"]),
            r"images: \['demo/images/good.jpg'\] -> \['other.jpg'\]",
        ),
        "options": (
            replace(new, measurements=list(map(_other_options, new.measurements))),
            "litert xnnpack: False -> True",
        ),
        "durations": (_changed_conditions(new, duration_s=1), "duration s: 10 -> 1"),
        "latency-bound": (_changed_conditions(new, latency_bound_ms=5), "latency bound ms: unknown -> 5"),
    }


@pytest.mark.parametrize("group", CONDITIONS)
def test_each_unequal_condition_is_refused_by_name_and_can_be_allowed(group: str, old: Report, again: Report) -> None:
    old = replace(old, measurements=[replace(row, options={"xnnpack": False}) for row in old.measurements])
    again = replace(again, measurements=[replace(row, options={"xnnpack": False}) for row in again.measurements])
    new, complaint = _unequal(again)[group]
    with pytest.raises(ConditionsError, match=f"the conditions are not equal: .*{complaint}") as caught:
        compare(old, new)
    assert caught.value.hint.endswith(f"--allow {group}")
    for allow in ([group], ["all"]):
        assert compare(old, new, allow=allow).allowed


def test_other_weights_beside_the_same_graph_are_another_model(old: Report, again: Report) -> None:
    variants = {name: {**each, "weights_sha256": "f" * 64} for name, each in again.model["variants"].items()}
    with pytest.raises(ConditionsError, match="sha256 of weights of int8: unknown -> ffffffffffff…"):
        compare(old, replace(again, model={**again.model, "variants": variants}))


def test_another_input_size_is_another_model(old: Report, again: Report) -> None:
    with pytest.raises(ConditionsError, match=r"overrides: unknown -> .'size'") as caught:
        compare(old, _changed_conditions(again, overrides={"size": [96, 128]}))
    assert caught.value.hint.endswith("--allow model")


def test_every_unequal_condition_is_named_at_once(old: Report, again: Report) -> None:
    new = _changed_conditions(_changed_board(again, kernel="6.6.31", cores=2), seed=7)
    with pytest.raises(ConditionsError, match=r"cores: 4 -> 2; kernel: .*; seed: 0 -> 7") as caught:
        compare(old, new, allow=["governor"])
    assert caught.value.hint.endswith("--allow board,kernel,image")


def test_fewer_usable_cores_are_another_board(old: Report, again: Report) -> None:
    with pytest.raises(ConditionsError, match="usable cores: 4 -> 2"):
        compare(old, replace(again, environment={**again.environment, "usable_cores": 2}))


def test_an_unknown_condition_is_refused_with_those_that_exist(old: Report) -> None:
    with pytest.raises(OptionError, match="no condition is called 'weather'") as caught:
        compare(old, old, allow=["weather"])
    assert "governor" in caught.value.hint


def test_the_number_of_repeats_need_not_be_equal(old: Report) -> None:
    assert compare(old, reports.report(3, count=60, repeats=8)).allowed == []


def test_reports_of_which_no_row_is_valid_compare_to_nothing(old: Report, again: Report) -> None:
    found = compare(
        replace(old, measurements=old.measurements[2:3]), replace(again, measurements=again.measurements[2:3])
    )
    assert found.conclusion == "Nothing could be compared."
