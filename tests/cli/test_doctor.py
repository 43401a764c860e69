"""``piaccel doctor`` as a user sees it."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from piaccel.cli import doctor, main
from piaccel.device import doctor as examination
from piaccel.device.deadline import Answer
from piaccel.device.findings import Runtime
from piaccel.testing.__main__ import main as write_board
from piaccel.testing.fake_board import FakeBoard
from tests.backends import strangers


@pytest.fixture(autouse=True)
def patient_and_narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(doctor, "_PROBES_S", 120.0)  # a test is about words, on a machine that may be busy
    for name in ("LOOKING_S", "CHECKING_S", "_ONE_CHECK_S"):
        monkeypatch.setattr(examination, name, 120.0)


def test_a_healthy_board_ends_with_the_word_and_exit_code_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = FakeBoard(tmp_path / "pi", "pi5", os="trixie").root
    assert main(["doctor", "--root", str(root)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("board      Raspberry Pi 5 Model B Rev 1.0")
    assert "Healthy (" in printed.splitlines()[-1]


def test_a_throttled_board_begins_with_the_problem_and_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = FakeBoard(tmp_path / "pi", "pi4", os="trixie", state="throttled").root
    assert main(["doctor", "--root", str(root)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("problem    the CPU is slowed down now: clock capped")
    assert lines[-1].startswith("1 problem")


def test_words_wrap_and_commands_do_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = FakeBoard(tmp_path / "pi", "pi5").root
    main(["doctor", "--root", str(root)])
    lines = capsys.readouterr().out.splitlines()
    command = "echo performance | sudo tee /sys/devices/system/cpu/cpufreq/policy*/scaling_governor"
    assert " " * 11 + command in lines
    shell = ("echo", "printf", "sudo")
    assert all(len(line) <= 60 and line == line.rstrip() for line in lines if not line.strip().startswith(shell))


def test_the_root_may_come_from_the_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIACCEL_ROOT", str(FakeBoard(tmp_path / "pi", "zero2w").root))
    assert main(["doctor", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["board"]["model"] == "Raspberry Pi Zero 2 W Rev 1.0"
    assert document["schema"] == "piaccel.doctor/1"
    assert {"litert", "onnxruntime", "openvino", "opencv", "ncnn"} <= {each["name"] for each in document["runtimes"]}


def test_accelerators_and_cameras_are_listed_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = FakeBoard(tmp_path / "pi", "pi5", accelerators=["hailo8l", "imx500"]).root
    assert main(["doctor", "--json", "--root", str(root)]) == 0
    document = json.loads(capsys.readouterr().out)
    hailo, camera = document["accelerators"]
    assert (hailo["kind"], hailo["id"], hailo["backend"], hailo["node"]) == (
        "hailo8",
        "1e60:2864",
        "hailo",
        "/dev/hailo0",
    )
    assert camera["title"] == "IMX500 AI Camera"
    assert document["cameras"] == [{"name": "imx500", "bus": "CSI"}]


def test_a_device_that_cannot_be_reached_is_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    board = FakeBoard(tmp_path / "pi", "pi5")
    board.plug("hailo8l", library="4.22.0", binding="4.22.0")
    assert main(["doctor", "--root", str(board.root)]) == 1
    assert capsys.readouterr().out.startswith("problem    the parts of HailoRT are of different versions")


def test_everything_that_hangs_is_left_behind_and_the_rest_is_shown(tmp_path: Path) -> None:
    strangers.install(tmp_path / "packages", ("hangs", "sound"))
    board = FakeBoard(tmp_path / "pi", "pi5", accelerators=["coral-usb"])
    for name in ("sys/bus/usb/devices/2-1/speed", "sys/class/thermal/thermal_zone0/temp"):
        (board.root / name).unlink()
        os.mkfifo(board.root / name)
    board.write("usr/bin/vcgencmd", "#!/bin/sh\nexec sleep 3600\n")
    (board.root / "usr/bin/vcgencmd").chmod(0o755)
    command = [sys.executable, "-m", "piaccel", "doctor", "--json", "--root", str(board.root)]
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "packages")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    document = json.loads(done.stdout)
    runtimes = {each["name"]: each for each in document["runtimes"]}
    assert (runtimes["hangs"]["state"], runtimes["hangs"]["reason"]) == ("no answer", "it did not answer in time")
    assert runtimes["sound"]["state"] in ("ready", "no answer")
    assert document["accelerators"][0]["kind"] == "coral-usb"
    assert document["board"]["model"] == "Raspberry Pi 5 Model B Rev 1.0"
    assert done.stderr == ""


def test_a_probe_that_raises_is_a_broken_runtime() -> None:
    def raises() -> Runtime:
        raise ZeroDivisionError("division by zero")

    found = doctor._collect("strange", Answer(raises), 60.0)
    assert (found.ok, found.state) == (False, "broken")
    assert found.reason == "probing it failed: ZeroDivisionError: division by zero"


def test_a_root_that_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--root", str(tmp_path / "nowhere")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"piaccel: error: {tmp_path / 'nowhere'}: no such folder to read a board from"


def without_runtimes(lines: list[str]) -> list[str]:
    """The lines without the section that depends on what is installed."""
    kept: list[str] = []
    section = ""
    for line in lines:
        section = line[:11].strip() or section
        if section != "runtimes":
            kept.append(line)
    return kept


def test_the_page_shows_what_the_command_prints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for runtime in ("ncnn", "onnxruntime", "openvino"):  # a missing one is a note, and rightly so
        if importlib.util.find_spec(runtime) is None:
            pytest.skip(f"the page was made with {runtime} installed")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[2] / "docs/doctor.md").read_text()
    shown = re.findall(r"(?ms)^\$ python -m piaccel.testing (.+?)\n.+?\n\$ piaccel (doctor .+?)\n(.+?)```", page)
    assert len(shown) == 4
    for make, command, output in shown:
        assert write_board(make.split()) == 0
        capsys.readouterr()
        main(command.split())
        assert without_runtimes(capsys.readouterr().out.splitlines()) == without_runtimes(output.splitlines())


def test_what_a_damaged_file_holds_is_no_command_to_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    board = FakeBoard(tmp_path, "pi5")
    board.write("proc/device-tree/model", "Raspberry Pi \x1b]0;owned\x07\x1b[2J")
    main(["doctor", "--root", str(tmp_path)])
    assert "\x1b" not in capsys.readouterr().out
