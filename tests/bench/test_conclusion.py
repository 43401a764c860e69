"""Who is called fastest, and in which words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from piaccel.bench import Agreement, Measurement, Report, Verdict
from piaccel.bench.conclusion import in_order, ranking, sentence, winner
from tests.bench import reports

MS = 1_000_000
WRONG = Agreement(False, 0.2, 3.0, False, "top-1 cat instead of dog")


def row(backend: str, median_ms: float, seed: int = 1, **fields: Any) -> Measurement:
    return reports.measurement(np.random.default_rng(seed), median_ms, backend=backend, **fields)


def report(*rows: Measurement) -> Report:
    return replace(reports.report(), measurements=list(rows))


def test_the_fastest_valid_agreeing_row_wins_with_its_lead() -> None:
    found = report(row("ncnn", 20.0), row("litert", 10.0), row("opencv", 40.0))
    best = winner(found)
    assert best is not None
    assert best.backend == "litert"
    assert sentence(found).startswith("litert is fastest: ")
    assert "2 times as fast as ncnn" in sentence(found)
    assert [each.backend for each in ranking(found.measurements)] == ["litert", "ncnn", "opencv"]


def test_an_invalid_or_wrong_row_never_wins_and_is_named() -> None:
    hot = row("ncnn", 5.0, verdict=Verdict(False, ("hot: 85 °C",)))
    wrong = row("opencv", 2.0, agreement=WRONG)
    unchecked = row("openvino", 1.0, agreement=None)
    found = report(hot, wrong, unchecked, row("litert", 10.0))
    best = winner(found)
    assert best is not None
    assert best.backend == "litert"
    said = sentence(found)
    assert "Faster, but out of the contest: " in said
    assert "opencv (its answers are wrong)" in said
    assert "ncnn (not valid)" in said
    assert "openvino (its answers were not checked)" in said


def test_a_lead_within_the_noise_is_not_called_one() -> None:
    found = report(row("litert", 10.0, seed=1), row("ncnn", 10.05, seed=2))
    assert "not distinguishable from" in sentence(found)


def test_a_single_repeat_is_neither_equal_nor_sure() -> None:
    rows = [row("litert", 10.0), row("ncnn", 50.0)]
    said = sentence(report(*(replace(each, repeats=each.repeats[:1]) for each in rows)))
    assert "not distinguishable" not in said
    assert "times as fast as ncnn" in said
    assert said.endswith(", as far as a single repeat can tell.")


def test_rows_that_may_not_win_stand_below_those_that_may_and_what_failed_last() -> None:
    hot = row("ncnn", 5.0, verdict=Verdict(False, ("hot: 85 °C",)))
    failed = Measurement("opencv", None, "fp32", "fp32", 4, "single-stream", error="cannot open it")
    found = in_order(report(failed, hot, row("openvino", 20.0), row("litert", 10.0)))
    assert [each.backend for each in found] == ["litert", "openvino", "ncnn", "opencv"]


def test_with_no_valid_row_the_reasons_are_told_instead() -> None:
    bad = Verdict(False, ("other load: 1.2 of 2 cores busy with other work",))
    found = report(row("litert", 10.0, verdict=bad), row("ncnn", 5.0, verdict=bad))
    assert winner(found) is None
    assert sentence(found).startswith("Nothing is called fastest: no row is valid (other load).")
    assert "it would be ncnn" in sentence(found)


def test_with_only_wrong_rows_that_is_told() -> None:
    assert sentence(report(row("litert", 1.0, agreement=WRONG))) == (
        "Nothing is called fastest: no row gives the reference's answer."
    )


def test_variants_and_threads_are_named_where_there_are_several() -> None:
    found = report(row("litert", 10.0, threads=1), row("litert", 20.0, threads=2, variant="int8"))
    assert sentence(found).startswith("litert/fp32 with 1 thread is fastest")


def test_offline_is_ranked_by_throughput_and_not_by_latency() -> None:
    def offline(backend: str, latency_ms: int, wall_ms: int) -> Measurement:
        base = row(backend, 10.0, scenario="offline", samples_per_query=8)
        runs = [replace(each, latency_ns=[latency_ms * MS] * 10, duration_ns=wall_ms * MS) for each in base.repeats]
        return replace(base, repeats=runs)

    found = report(offline("litert", 10, 100), offline("ncnn", 15, 75))
    best = winner(found)
    assert best is not None
    assert best.backend == "ncnn"
    assert "1067 samples per second" in sentence(found)


def test_the_server_scenario_is_ranked_by_the_rate_that_met_the_bound() -> None:
    def served(backend: str, rate: float | None) -> Measurement:
        base = row(backend, 10.0, scenario="server")
        runs = [replace(each, server={"rate_per_s": rate, "tried": []}) for each in base.repeats]
        bound = {"rate_per_s": rate, "latency_bound_ns": 50 * MS, "percentile": 99}
        return replace(base, repeats=runs, server=bound)

    found = report(served("litert", 20.0), served("ncnn", 35.0), served("opencv", None))
    assert sentence(found).startswith("ncnn is fastest: 35 queries per second with 99 % answered within 50 ms")
    assert sentence(report(served("opencv", None))) == "No rate met the latency bound."
