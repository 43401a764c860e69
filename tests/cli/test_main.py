"""The frame of the command line: exit codes, errors of one line, help, -v, and what a pipe does to it."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from piaccel import chatter, cli
from piaccel.version import __version__


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "piaccel", *arguments], capture_output=True, text=True, timeout=120, check=False
    )


def test_the_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    said = capsys.readouterr().out
    for command in ("backends", "bench", "bundle", "compare", "doctor", "info", "predict"):
        assert command in said


@pytest.mark.parametrize("command", ["backends", "bench", "bundle", "compare", "doctor", "info", "predict"])
def test_every_command_shows_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([command, "--help"]) == 0
    assert f"piaccel {command}" in " ".join(capsys.readouterr().out.split())


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"piaccel {__version__}\n"


@pytest.mark.parametrize(
    "arguments", [["prdict"], ["predict"], ["predict", "--topp"], ["bench", "x", "--repeats", "0"]]
)
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    assert cli.main(arguments) == 2


def test_a_wrong_input_is_one_line_and_a_hint(tmp_path: Path) -> None:
    missing = tmp_path / "missing.tflite"
    done = run("predict", str(missing), str(missing), "--backend", "litert")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == f"piaccel: error: {missing}: no such file or folder\n"


def test_a_broken_model_exits_with_1(tmp_path: Path) -> None:
    broken = tmp_path / "net.tflite"
    broken.write_bytes(b"\x1c\x00\x00\x00TFL3" + bytes(200))
    done = run("predict", str(broken), str(broken), "--backend", "litert")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("piaccel: error: ")
    assert str(broken) in done.stderr


def test_verbose_is_taken_before_and_after_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments in (["-v", "backends", "--help"], ["backends", "--help", "--verbose"]):
        monkeypatch.setenv("PIACCEL_VERBOSE", "0")
        chatter.set_verbose(False)
        assert cli.main(arguments) == 0
        assert chatter.verbose()
    chatter.set_verbose(False)


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    script = f"{sys.executable} -m piaccel --help | head -c 1"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert "Traceback" not in done.stderr
    assert done.stdout == "U"


def test_the_completion_script_can_be_shown() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "piaccel"],
        env={**os.environ, "_PIACCEL_COMPLETE": "complete_bash", "COMP_WORDS": "piaccel be", "COMP_CWORD": "1"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "bench" in done.stdout.split()


@pytest.mark.parametrize("arguments", [["--version"], ["backends", "--json"], ["backends"]])
def test_an_output_that_cannot_be_written_is_one_line(arguments: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "piaccel", *arguments],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=120, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "piaccel: error: the output cannot be written: No space left on device\n"


def test_closed_streams_are_no_obstacle() -> None:
    script = f"{sys.executable} -m piaccel backends --json 0<&- 2>&- | cat"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert "ready" in {row["state"] for row in json.loads(done.stdout)}
    assert "broken" not in {row["state"] for row in json.loads(done.stdout)}


def test_a_path_cannot_send_the_terminal_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info", "\x1b[2Jno\nsuch.tflite"]) == 2
    assert capsys.readouterr().err == "piaccel: error: ?[2Jno?such.tflite: no such file or folder\n"


def test_a_warning_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    assert cli.main(["--version"]) == 0
    warnings.showwarning("the moon is full", UserWarning, "file.py", 1)
    assert capsys.readouterr().err == "piaccel: warning: the moon is full\n"
