"""``piaccel soak`` as a user sees it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from piaccel.cli import main
from piaccel.soak.report import read
from piaccel.testing.thermal import ThermalBoard
from tests.soak.oip_server import OipServer, serving

QUICK = ["--backend", "litert", "--threads", "1", "--minutes", "0.03", "--idle", "1.1"]


@pytest.fixture
def model(demo: Path) -> str:
    return str(demo / "bundle/int8.tflite")


@pytest.fixture
def server() -> Iterator[OipServer]:
    with serving() as running:
        yield running


def test_a_board_that_is_throttled_is_said_with_what_mends_it_and_exit_code_1(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    board = ThermalBoard(tmp_path / "pi", start_c=83.0)
    page, data = tmp_path / "soak.html", tmp_path / "soak.json"
    words = ["--root", str(board.root), "--cooling", "<none>", "--ambient", "25", "--confirm", "0"]
    assert main(["soak", model, *QUICK, *words, "--html", str(page), "--json", str(data)]) == 1
    said = capsys.readouterr()
    assert said.out.splitlines()[-4].startswith("throttles: It throttles after 0 s") or "throttles: " in said.out
    assert "fit an active cooler" in said.out
    assert f"wrote {page}" in said.err
    seen = read(data)
    assert seen.limit_c == 80.0
    assert seen.target["backend"] == "litert"
    assert seen.rows[0].temperature_c == pytest.approx(83.0)
    text = page.read_text(encoding="utf-8")
    assert "Raspberry Pi 5" in text
    assert "cooling: &lt;none&gt;" in text


def test_a_short_run_on_a_cool_board_is_not_settled(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    board = ThermalBoard(tmp_path / "pi", cooling="active")
    assert main(["soak", model, *QUICK, "--root", str(board.root)]) == 1
    assert "not settled: " in capsys.readouterr().out


def test_json_can_be_printed(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "machine"
    empty.mkdir()
    assert main(["soak", model, *QUICK, "--root", str(empty), "--json", "-"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "piaccel-soak/1"
    assert document["verdict"]["kind"] == "sensor missing"
    assert document["findings"]["answers"] > 0
    assert document["findings"]["idle_c"] is None


def test_a_url_is_loaded_and_the_board_is_this_one(
    server: OipServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--minutes", "0.03", "--idle", "0", "--clients", "2", "--rate", "50", "--confirm", "0"]
    data = tmp_path / "soak.json"
    assert main(["soak", server.url, "--model", "parts", *words, "--json", str(data)]) in (0, 1)
    assert "parts at 127.0.0.1" in capsys.readouterr().err
    seen = read(data)
    assert seen.plan.clients == 2
    assert 0 < sum(row.answers for row in seen.rows) <= 0.03 * 60 * 50 + 2
    assert seen.target["versions"] == "3"


@pytest.mark.parametrize("clients", ["1", "3"])
def test_ctrl_c_ends_it_early_and_still_reports(clients: str, server: OipServer, tmp_path: Path) -> None:
    data = tmp_path / "soak.json"
    words = ["soak", server.url, "--model", "parts", "--idle", "0", "--clients", clients, "--json", str(data)]
    with subprocess.Popen(
        [sys.executable, "-m", "piaccel", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        while len(server.asked) < 50 and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        said, complaints = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "cut short by the user" in said
    assert "Traceback" not in complaints
    seen = read(data)
    assert seen.interrupted
    assert sum(row.answers for row in seen.rows) > 0


def test_a_dry_run_says_how_long_it_takes_and_loads_nothing(
    model: str, server: OipServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["soak", model, "--dry-run", "--minutes", "10"]) == 0
    said = capsys.readouterr().out
    assert "for 10 min after 30 s idle" in said
    assert "3 min 20 s at the sustainable rate" in said
    assert main(["soak", f"{server.url}/v2/models/parts", "--dry-run"]) == 0
    assert server.asked == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--minutes", "0"], "--minutes 0 is out of range"),
        (["--rate", "-1"], "--rate -1 is out of range"),
        (["--confirm", "-1"], "--confirm -1 is out of range"),
        (["--clients", "2"], "--clients, --model and --key-file are for a URL"),
        (["--html", "/nowhere/at/all.html"], "cannot be written"),
        (["--html", "same", "--json", "same"], "both name same"),
    ],
)
def test_wrong_usage_is_exit_code_2_before_anything_is_loaded(
    words: list[str], said: str, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["soak", model, *words]) == 2
    assert said in capsys.readouterr().err


def test_a_service_without_that_model_is_exit_code_2(server: OipServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["soak", f"{server.url}/v2/models/other"]) == 2
    assert "no such model" in capsys.readouterr().err


def test_a_key_file_that_is_missing_is_named(server: OipServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["soak", server.url, "--model", "parts", "--key-file", "/nowhere/key"]) == 2
    assert "/nowhere/key" in capsys.readouterr().err
