"""``piaccel power`` as a user sees it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from piaccel.cli import main
from piaccel.testing.fake_board import FakeBoard


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeBoard:
    monkeypatch.setenv("COLUMNS", "100")
    return FakeBoard(tmp_path / "pi", "pi5")


def power(board: FakeBoard, *words: str) -> int:
    return main(["power", *words, "--root", str(board.root)])


def test_each_source_is_shown_with_its_reading_accuracy_and_what_it_leaves_out(
    board: FakeBoard, capsys: pytest.CaptureFixture[str]
) -> None:
    assert power(board) == 0
    printed = capsys.readouterr().out
    assert "pmic         3.51 W" in printed
    assert "  accuracy   not published" in printed
    assert "  leaves out what the converters lose, USB devices" in printed
    assert "hwmon        not here: the kernel knows no INA" in printed
    assert printed.splitlines()[-1] == (
        "pmic can compare what runs on the processor, but not the processor with an accelerator."
    )
    board.wire()
    assert power(board) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "hwmon:ina226 can compare the processor with accelerators on USB and PCIe."
    )


def test_the_json_holds_the_same(board: FakeBoard, capsys: pytest.CaptureFixture[str]) -> None:
    board.wire()
    assert power(board, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["schema"] == "piaccel.power/1"
    assert told["auto"] == "hwmon:ina226"
    ina, pmic = told["sources"]
    assert ina["watts"] == pytest.approx(1.1451 * 3.50705 + 0.5879, rel=0.002)
    assert ina["covers"] == ["camera", "cpu", "pcie", "supply_losses", "usb"]
    assert pmic["uncertainty"] is None
    assert {each["name"] for each in told["missing"]} == {"poe", "hailo"}


def test_a_board_without_a_meter_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    board = FakeBoard(tmp_path / "pi", "pi4")
    assert power(board) == 0
    printed = capsys.readouterr().out
    assert "pmic         not here: only the Pi 5 family has a regulator that measures" in printed
    assert printed.splitlines()[-1] == "Power is not measurable here."
    assert power(board, "--watch") == 1
    assert "constant:4.2W" in capsys.readouterr().err


def test_one_source_is_shown_alone(board: FakeBoard, capsys: pytest.CaptureFixture[str]) -> None:
    assert power(board, "--source", "constant:4.2W,accuracy=5%") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("constant:4.2W 4.20 W") or "4.20 W" in printed
    assert "pmic" not in printed
    assert printed.splitlines()[-1] == "constant:4.2W cannot compare configurations."


@pytest.mark.parametrize(("words", "code"), [("moonlight", 2), ("constant:much", 2), ("hwmon:ina226", 1), ("poe", 1)])
def test_a_source_that_is_not_here_ends_in_one_line(
    board: FakeBoard, words: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert power(board, "--source", words) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("piaccel: error: ")


@pytest.mark.parametrize("form", ["text", "json"])
def test_watching_tells_each_second_and_the_energy_at_the_end(board: FakeBoard, form: str) -> None:
    words = ["power", "--watch", "--source", "constant:4.2W,accuracy=5%", *(["--json"] if form == "json" else [])]
    watched = subprocess.Popen(
        [sys.executable, "-m", "piaccel", *words, "--root", str(board.root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert watched.stdout is not None
    first = watched.stdout.readline()
    watched.send_signal(signal.SIGINT)
    rest, errors = watched.communicate(timeout=60)
    assert (watched.returncode, errors) == (0, "")
    if form == "json":
        assert json.loads(first)["watts"] == pytest.approx(4.2)
        energy = json.loads(rest[rest.index("{\n") :])["energy"]
        assert energy["joules"] == pytest.approx(4.2 * energy["seconds"])
    else:
        assert "4.20 W" in first
        assert "readings of constant:4.2W. Leaves out: every change" in rest.splitlines()[-1]
