"""The board under the service."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from piaccel.serving.board import Board
from piaccel.testing.fake_board import FakeBoard


def test_a_pi_5_tells_its_readings_and_its_power(tmp_path: Path) -> None:
    board = Board(FakeBoard(tmp_path / "root", "pi5").root)
    board.look()
    assert board.readings["temperature_c"] == pytest.approx(50, abs=15)
    assert board.readings["power_w"] == pytest.approx(3.7, abs=1.5)
    assert (board.throttled, board.alarms) == ((), ())


def test_a_pi_4_does_not_measure_its_power(tmp_path: Path) -> None:
    board = Board(FakeBoard(tmp_path / "root", "pi4").root)
    board.look()
    assert board.readings["power_w"] is None
    assert board.readings["clock_hz"]


def test_under_voltage_is_an_alarm_and_throttling_is_told_in_words(tmp_path: Path) -> None:
    fake = FakeBoard(tmp_path / "root", "pi4", state="undervolted")
    board = Board(fake.root)
    board.look()
    assert list(board.alarms) == ["under-voltage"]
    fake.enter("throttled")
    board.look()
    assert list(board.alarms) == []
    assert list(board.throttled) == ["clock capped"]


def test_a_machine_without_sensors_is_unknown_and_not_0(tmp_path: Path) -> None:
    board = Board(tmp_path)
    board.look()
    assert set(board.readings.values()) == {None}


def test_it_samples_while_it_runs_and_survives_a_board_that_cannot_be_read(tmp_path: Path) -> None:
    fake = FakeBoard(tmp_path / "root", "pi5")
    board = Board(fake.root, period_s=0.01)
    board.start()
    try:
        _until(lambda: board.readings.get("temperature_c") is not None)
        fake.set(temp_c=81.0)
        _until(lambda: board.readings.get("temperature_c") == 81.0)
        (fake.root / "sys/class/thermal/thermal_zone0/temp").write_text("nonsense")
        _until(lambda: board.readings.get("temperature_c") is None)
    finally:
        board.stop()
        board.stop()


def _until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)
