"""Whatever hangs is left behind, named, and the rest is shown."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from piaccel.device import doctor, sensors
from piaccel.device.checks import memory, system
from piaccel.device.deadline import Answer, Deadline
from piaccel.device.findings import Finding, Subject
from piaccel.errors import HangError, InputError
from piaccel.testing.fake_board import FakeBoard

LONG_S = 3600.0


@pytest.fixture
def stuck() -> Iterator[threading.Event]:
    """What a driver that hangs waits for; set at the end, so that no thread is left over."""
    event = threading.Event()
    yield event
    event.set()


def test_an_answer_comes_through_and_so_does_an_error() -> None:
    assert Answer(lambda: 7).within(60) == 7

    def fails() -> int:
        raise InputError("wrong")

    with pytest.raises(InputError, match="wrong"):
        Answer(fails).within(60)


def test_an_answer_that_does_not_come_is_an_error(stuck: threading.Event) -> None:
    with pytest.raises(HangError, match="no answer"):
        Deadline(0.05).ask(lambda: stuck.wait(LONG_S))


def test_nothing_is_left_of_a_deadline_that_has_passed() -> None:
    deadline = Deadline(0.0)
    time.sleep(0.001)
    assert deadline.left() == 0.0


def test_a_check_that_hangs_is_named_and_the_others_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stuck: threading.Event
) -> None:
    def waits(_: Subject) -> Iterator[Finding]:
        stuck.wait(LONG_S)
        yield from ()

    monkeypatch.setattr(doctor, "_ONE_CHECK_S", 0.05)
    monkeypatch.setattr(doctor, "_CHECKS", (system.board, waits, memory.cgroup))
    report = doctor.diagnose(FakeBoard(tmp_path).root)
    assert [each.severity for each in report.findings] == ["ok", "note", "warning"]
    assert report.findings[-1].what.endswith("waits did not answer in time")


def test_sensors_that_hang_read_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stuck: threading.Event) -> None:
    def hangs(root: Path) -> sensors.Sensors:
        stuck.wait(LONG_S)
        return sensors.silent()

    monkeypatch.setattr(sensors, "find", hangs)
    monkeypatch.setattr(doctor, "LOOKING_S", 2.0)
    report = doctor.diagnose(FakeBoard(tmp_path).root)
    assert {each.value for each in report.sensors} == {None}
    assert {each.reason for each in report.sensors} == {"did not answer in time"}
    assert [each.what for each in report.of("warning")][-1] == "a sensor did not answer in time"
    assert report.board.model == "Raspberry Pi 5 Model B Rev 1.0"


def test_a_board_that_cannot_be_read_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stuck: threading.Event
) -> None:
    board = FakeBoard(tmp_path)
    monkeypatch.setattr(doctor, "Packages", lambda _: stuck.wait(LONG_S))
    monkeypatch.setattr(doctor, "LOOKING_S", 0.2)
    with pytest.raises(HangError, match=r"the files that describe the board could not be read within 0\.2 s"):
        doctor.diagnose(board.root)


def test_firmware_that_hangs_stops_nothing(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5", accelerators=["hailo8l"])
    board.write("usr/bin/vcgencmd", f"#!/bin/sh\nexec sleep {LONG_S:.0f}\n")
    (board.root / "usr/bin/vcgencmd").chmod(0o755)
    before = time.monotonic()
    report = doctor.diagnose(board.root)
    assert time.monotonic() - before < LONG_S / 60
    assert [each.kind.name for each in report.accelerators] == ["hailo8"]
    assert "did not answer" in next(each.what for each in report.of("warning"))
