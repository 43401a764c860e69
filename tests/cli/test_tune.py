"""``piaccel tune`` as a user sees it."""

from __future__ import annotations

import io
import json
import os
import pty
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from piaccel.cli import main
from piaccel.testing.fake_board import FakeBoard
from tests.device.tuning.ordinary import ordinary_user
from tests.device.tuning.trees import snapshot

CONFIG = "boot/firmware/config.txt"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLUMNS", "100")
    board = FakeBoard(tmp_path / "pi", "pi5", os="trixie")
    board.plug("hailo8", speed="5.0 GT/s PCIe")
    return board.root


def tune(root: Path, *words: str) -> int:
    return main(["tune", *words, "--root", str(root)])


def document(root: Path, capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert tune(root, *words, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_every_lever_is_shown_with_its_reason_and_what_is_to_do_comes_last(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tune(root) == 0
    printed = capsys.readouterr().out
    assert "governor              CPU frequency governor, now and at every boot - to do" in printed
    assert "  now      ondemand; recommended performance" in printed
    assert "  refused  it has no effect on this board" in printed
    assert "5 to do: governor, swappiness, pcie-gen, psi, cgroup-memory." in printed.splitlines()[-1]
    assert all(len(line) <= 100 for line in printed.splitlines())


def test_a_plan_shows_each_change_and_makes_none(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = snapshot(root)
    for words in (["plan"], ["apply", "--dry-run"]):
        assert tune(root, *words) == 0
        printed = capsys.readouterr().out
        assert "+dtparam=pciex1_gen=3\n" in printed
        assert "+++ /etc/systemd/system/piaccel-governor.service\n" in printed
        assert "now: 60 -> 100 in /proc/sys/vm/swappiness\n" in printed
        assert "After a reboot: pcie-gen, psi, cgroup-memory." in printed
    assert snapshot(root) == before


def test_apply_status_revert_and_a_second_time_of_each(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = snapshot(root)
    assert tune(root, "apply", "--yes") == 0
    assert "Reboot for the rest to take effect. Take back: piaccel tune revert" in capsys.readouterr().out
    applied = snapshot(root)
    assert tune(root, "apply") == 0, "with nothing to do, nobody needs to be asked"
    assert "Nothing to do" in capsys.readouterr().out
    assert snapshot(root) == applied
    assert tune(root, "status") == 0
    printed = capsys.readouterr().out
    assert "governor              applied\n" in printed
    assert "pcie-gen              waits for a reboot\n" in printed
    assert tune(root, "revert", "--yes") == 0
    assert "changes taken back" in capsys.readouterr().out
    assert snapshot(root) == before
    assert tune(root, "revert") == 0
    assert "Nothing is applied." in capsys.readouterr().out


def test_only_takes_the_levers_that_are_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert [each["name"] for each in document(root, capsys, "show")["levers"] if each["state"] == "opt-in"]
    done = document(root, capsys, "apply", "--yes", "--only", "isolation, psi")["applied"]
    assert done["levers"] == ["isolation", "psi"]
    assert done["files"] == ["boot/firmware/cmdline.txt"]


def test_a_script_must_say_yes(root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    before = snapshot(root)
    assert tune(root, "apply") == 2
    assert "--yes is not given" in capsys.readouterr().err
    assert snapshot(root) == before


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1)])
def test_a_user_at_a_terminal_is_asked(root: Path, answer: str, code: int) -> None:
    before = snapshot(root)
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "piaccel", "tune", "apply", "--root", str(root)]
    os.write(leader, answer.encode())
    done = subprocess.run(command, stdin=follower, capture_output=True, text=True, timeout=120, check=False)
    os.close(leader)
    os.close(follower)
    assert done.returncode == code, done.stderr
    assert "Make these changes?" in done.stderr
    assert (snapshot(root) == before) == (code == 1)


def test_an_ordinary_user_gets_the_exact_command(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tune(root, "apply", "--only", "psi", "--yes") == 0
    tune(root)  # whatever is imported is, before the rights go
    capsys.readouterr()
    with ordinary_user(root):
        assert tune(root, "plan") == 0
        assert "+dtparam=pciex1_gen=3" in capsys.readouterr().out
        assert tune(root, "apply", "--dry-run") == 0
        assert tune(root, "apply", "--only", "governor,isolation", "--yes") == 1
        error = capsys.readouterr().err
        assert tune(root, "revert") == 1
        other = capsys.readouterr().err
    command = shlex.split(error.rpartition("-> ")[2])
    assert command == [
        *("sudo", sys.executable, "-m", "piaccel", "tune", "apply"),
        *("--only=governor,isolation", "--yes", f"--root={root}"),
    ]
    assert "only root may change" in error
    assert shlex.split(other.rpartition("-> ")[2])[5:] == ["revert", f"--root={root}"]


def test_a_revert_that_leaves_something_alone_says_so_with_exit_code_1(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tune(root, "apply", "--yes", "--only", "swappiness")
    (root / "etc/sysctl.d/99-piaccel-swappiness.conf").write_text("vm.swappiness=7\n")
    assert tune(root, "status") == 0
    assert "changed since         /etc/sysctl.d/99-piaccel-swappiness.conf\n" in capsys.readouterr().out
    assert tune(root, "revert", "--yes") == 1
    assert "left alone" in capsys.readouterr().out
    assert tune(root, "apply", "--yes", "--only", "swappiness") == 1
    assert "left alone swappiness: what tuning wrote into /etc/sysctl.d" in capsys.readouterr().out
    assert tune(root) == 0
    assert "(vm.swappiness) - left alone" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("apply", "--yes", "--only", "gpu-mem"), "gpu-mem is refused here"),
        (("plan", "--only", "nothing"), "no lever is called 'nothing'"),
        (("show", "--only", "psi"), "--only goes with plan and apply"),
        (("plan", "--yes"), "--dry-run and --yes go with apply and revert"),
        (("measure",), "Invalid value"),
    ],
)
def test_wrong_words_are_named_with_exit_code_2(
    root: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], told: str
) -> None:
    before = snapshot(root)
    assert tune(root, *words) == 2
    assert told in capsys.readouterr().err
    assert snapshot(root) == before


@pytest.mark.parametrize("action", ["show", "plan", "status"])
def test_everything_that_is_shown_is_there_as_json(root: Path, capsys: pytest.CaptureFixture[str], action: str) -> None:
    found = document(root, capsys, action)
    assert found["schema"] == "piaccel.tune/1"
    assert found["root"] == str(root)
    if action == "show":
        governor = found["levers"][0]
        assert (governor["now"], governor["recommended"], governor["state"]) == ("ondemand", "performance", "to do")
        assert {"why", "source", "risk", "needs_reboot", "refused"} <= governor.keys()
    if action == "plan":
        assert {"files", "settings", "commands", "needs_reboot", "needs_root"} <= found["plan"].keys()
        assert "+dtparam=pciex1_gen=3" in next(f["diff"] for f in found["plan"]["files"] if f["path"] == CONFIG)
