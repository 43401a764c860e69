"""``piaccel bench`` as a user sees it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from piaccel.cli import main

QUICK = ["--backend", "litert", "--threads", "1", "--duration", "0.05", "--repeats", "1"]


@pytest.fixture
def model(demo: Path) -> str:
    return str(demo / "bundle/int8.tflite")


def test_the_table_the_conclusion_and_the_notes_are_printed(
    model: str, demo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = demo / "images/washer_good.jpg"
    assert main(["bench", model, *QUICK, "--image", str(picture)]) == 0
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert lines[0] == "int8, single-stream, 1 thread, 1 repeat of 0.05 s, inputs: washer_good.jpg"
    for word in ("p50 ms", "p99 ms", "FPS", "RSS MB", "cores", "verdict", "decode", "postprocess"):
        assert word in printed
    assert "  reference  " in printed
    assert "reference for the answers: litert/" in printed
    assert "guessed: task classification" in printed
    assert any("fastest" in line for line in lines)


def test_nothing_but_the_report_is_printed_without_a_terminal(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", model, *QUICK]) == 0
    assert capsys.readouterr().err == ""


def test_the_json_holds_every_sample(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "new/report.json"
    assert main(["bench", model, *QUICK, "--json", str(target)]) == 0
    report = json.loads(target.read_text())
    assert report["schema"] == "piaccel.report/1"
    assert len(report["measurements"][0]["repeats"][0]["latency_ns"]) >= 64
    assert f"wrote {target}" in capsys.readouterr().err


def test_nothing_measured_is_exit_code_1_with_the_reason(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(shared / "models/broken/unknown_custom_op.tflite"), *QUICK]) == 1
    printed = capsys.readouterr().out
    assert "not measured: " in printed
    assert "Nothing could be measured." in printed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--backend", "tensorrt"], "tensorrt"),
        (["--threads", "two"], "--threads"),
        (["--threads", "0"], "0 threads"),
        (["--scenario", "streaming"], "streaming"),
        (["--scenario", "server"], "latency bound"),
        (["--duration", "0"], "0 s"),
        (["--image", "absent.jpg"], "absent.jpg"),
        (["--json", "."], "folder"),
        (["--json", "/dev/null/report.json"], "takes no files"),
        (["--json", "same", "--html", "./same"], "both name same"),
        (["--backend", ","], "names nothing"),
        (["--variant", ""], "names nothing"),
        (["--threads", ""], "names nothing"),
        (["--variant", "int4"], "int4"),
        (["--option", "colour=red"], "colour"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    model: str, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", model, *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    assert error.startswith("piaccel: error: ")


def test_the_page_names_every_option_and_the_thresholds_as_they_are() -> None:
    from inspect import signature

    from piaccel.bench import agreement, run, scenarios, verdict, warmup
    from piaccel.cli.bench import bench

    page = (Path(__file__).parents[2] / "docs/bench.md").read_text()
    for name in signature(bench).parameters:
        assert name == "model" or f"`--{name.replace('_', '-')}" in page, name
    for scenario in scenarios.METRIC:
        assert f"| `{scenario}` |" in page
    tight, loose = agreement.TIGHT, agreement.LOOSE
    assert f"| cosine at least | {tight.cosine:g}, unless boxes were found: they decide | {loose.cosine:g}," in page
    assert f"covers {agreement.VISIBLE:.0%} of".replace("%", " %") in page
    assert f"intersection over union of | {tight.overlap:g} | {loose.overlap:g} |" in page
    assert f"| {tight.tie:g} | {loose.tie:g} |" in page
    assert f"| {tight.overlap:g} | {loose.overlap:g} |" in page
    assert f"| {tight.share:.0%} | {loose.share:.0%} |".replace("%", " %") in page
    assert f"| {tight.distance:g} | {loose.distance:g} |" in page
    assert f"{verdict.HOT_C:.0f} °C or more" in page
    assert f"below {verdict.CLOCK_SHARE:.0%} of".replace("%", " %") in page
    assert f"more than {verdict.TOLERANCE:.0%} of the machine".replace("%", " %") in page
    assert f"has {scenarios.MIN_QUERIES} queries" in page
    assert f"{run.LONGEST} times the duration (at least {run.LONGEST_S:.0f} s)" in page
    assert f"at least {warmup.MIN_NS / 1e9:g} s" in page
