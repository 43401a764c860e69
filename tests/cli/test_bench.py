"""``piaccel bench`` as a user sees it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from piaccel.cli import main

QUICK = ["--backend", "litert", "--threads", "1", "--duration", "0.05", "--repeats", "1"]


@pytest.fixture
def model(shared: Path) -> str:
    return str(shared / "models/imagenet/mobilenet_v1_0.25_128_quant.tflite")


def test_the_table_the_conclusion_and_the_notes_are_printed(
    model: str, shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = shared / "images/parrot.jpg"
    assert main(["bench", model, *QUICK, "--image", str(picture)]) == 0
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert lines[0] == "mobilenet_v1_0.25_128_quant, single-stream, 1 repeat of 0.05 s, inputs: parrot.jpg"
    for word in ("p50 ms", "p99 ms", "FPS", "RSS MB", "CPU cores", "verdict", "decode", "postprocess", "end to end"):
        assert word in printed
    assert "1.0000, 0 (reference)" in printed
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
