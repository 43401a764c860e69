"""Damaged files: a meter tells a reason or a number, and never stops anybody."""

import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from piaccel.device import power
from piaccel.testing.fake_board import FakeBoard
from piaccel.testing.fake_vcgencmd import ANSWERS


def _garbage(path: Path) -> None:
    path.write_bytes(bytes(range(256)))


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _digits(path: Path) -> None:
    path.write_text("9" * 4000)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [_garbage, _pipe, _folder, _digits, _empty])
def test_a_damaged_file_gives_no_reading_and_a_reason(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    board = FakeBoard(tmp_path / "pi", "pi5")
    board.wire("ina226")
    board.wire("ina3221", shunt_uohm=50_000)
    board.write("sys/class/power_supply/rpi-poe/current_now", "577000\n")
    before = power.sources(board.root)
    assert len(before) == 4
    files = [file for each in ("ina226", "ina3221") for file in _folder_of(board.root, each).iterdir()]
    for path in (*files, board.root / "sys/class/power_supply/rpi-poe/current_now"):
        damage(path)
    if damage is not _pipe:  # the stand-in for vcgencmd is a shell script, which would wait for a writer
        damage(board.root / ANSWERS / "pmic_read_adc")
    for source in (*before, *power.sources(board.root)):
        watts = source.read()
        assert (watts is None) == bool(source.reason)
        assert watts is None or (math.isfinite(watts) and source.name == "pmic")


def _folder_of(root: Path, chip: str) -> Path:
    return next(path.parent for path in root.glob("sys/class/hwmon/*/name") if path.read_text().strip() == chip)
