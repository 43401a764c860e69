"""``piaccel run``, as its user runs it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from piaccel.cli import main

PIACCEL = [sys.executable, "-m", "piaccel"]
SOURCE = "synthetic:fps=60,size=320x240"


@pytest.fixture
def bundle(demo: Path) -> str:
    return str(demo / "bundle")


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_run_writes_its_results_and_sums_up(bundle: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "results.jsonl"
    arguments = ["--source", SOURCE, "--model", bundle, "--backend", "litert", "--sink", f"jsonl:{out}"]
    assert main(["run", *arguments, "--deadline", "500ms", "--frames", "80"]) == 0
    found = lines(out)
    assert len(found) == 80
    assert {event["stream"] for event in found} == {"main"}
    printed = capsys.readouterr().out
    assert "main" in printed
    assert "p95" in printed


def test_json_tells_the_whole_summary(bundle: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "-s", SOURCE, "-m", bundle, "-b", "litert", "--frames", "10", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["schema"] == "piaccel.run/1"
    stream = summary["numbers"]["streams"][0]
    assert stream["answered"] == 10
    assert stream["age"]["p95_ms"] > 0
    assert sum(count for _, count in summary["distributions"]["main"]["age"]) == 10
    assert summary["ended"] == "frames"
    assert not summary["verdict"]["valid"]


def test_a_file_says_what_runs(bundle: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "line.toml"
    config.write_text(
        f'sinks = ["jsonl:{tmp_path}/both.jsonl"]\n'
        f'[stream.top]\nsource = "{SOURCE}"\nmodel = "{bundle}"\nbackend = "litert"\n'
        f'[stream.side]\nsource = "synthetic:fps=0,size=320x240"\nmodel = "{bundle}"\nbackend = "litert"\n'
        'policy = "every"\n'
    )
    assert main(["run", str(config), "--frames", "5", "--json"]) == 0
    assert {stream["name"] for stream in json.loads(capsys.readouterr().out)["numbers"]["streams"]} == {"top", "side"}
    assert len(lines(tmp_path / "both.jsonl")) == 10


def test_a_dry_run_shows_what_would_run_and_opens_nothing(
    bundle: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sink = f"jsonl:{tmp_path}/never.jsonl"
    assert main(["run", "-s", "rtsp://nowhere.invalid/x", "-m", bundle, "-k", sink, "--dry-run"]) == 0
    assert "rtsp://nowhere.invalid/x" in capsys.readouterr().out
    assert not (tmp_path / "never.jsonl").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "model"),
        (["-m", "BUNDLE"], "source"),
        (["-s", "synthetic", "-m", "nowhere"], "nowhere"),
        (["-s", "telepathy:1", "-m", "BUNDLE"], "telepathy"),
        (["-s", "synthetic", "-m", "BUNDLE", "-k", "fax:1"], "fax"),
        (["-s", "synthetic", "-m", "BUNDLE", "--policy", "newest"], "newest"),
        (["-s", "synthetic", "-m", "BUNDLE", "--deadline", "80"], "deadline"),
        (["-s", "synthetic", "-m", "BUNDLE", "--roi", "1,2"], "roi"),
        (["-s", "synthetic", "-m", "BUNDLE", "--rung", "faster"], "rung"),
        (["-s", "synthetic", "-m", "BUNDLE", "--rung", "speed=1"], "speed"),
        (["-s", "synthetic:speed=1", "-m", "BUNDLE"], "speed"),
        (["nowhere.toml"], "nowhere.toml"),
    ],
)
def test_what_is_wrong_is_said_in_a_line_with_exit_code_2(
    bundle: str, arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [bundle if each == "BUNDLE" else each for each in arguments]
    assert main(["run", "-b", "litert", *given] if "nowhere.toml" not in given else ["run", *given]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert "Traceback" not in error


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_run_as_it_should(bundle: str, tmp_path: Path, number: signal.Signals) -> None:
    out = tmp_path / "results.jsonl"
    gpio = "gpio:17,reject=*,delay=1ms,safe=on"
    run = subprocess.Popen(
        [*PIACCEL, "run", "-s", SOURCE, "-m", bundle, "-b", "litert", "-k", f"jsonl:{out}", "-k", gpio, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "GPIOZERO_PIN_FACTORY": "mock"},
    )
    try:
        end = time.monotonic() + 60
        while not (out.exists() and out.stat().st_size > 2000) and time.monotonic() < end and run.poll() is None:
            time.sleep(0.02)
        run.send_signal(number)
        printed, errors = run.communicate(timeout=60)
    finally:
        run.kill()
    assert run.returncode == 0, errors
    summary = json.loads(printed)
    assert summary["ended"] == "stopped"
    stream = summary["numbers"]["streams"][0]
    assert stream["offered"] == stream["answered"] + stream["failed"] + sum(stream["dropped"].values())
    assert len(lines(out)) == stream["published"]
    assert {sink["state"] for sink in summary["numbers"]["sinks"]} == {"closed"}
