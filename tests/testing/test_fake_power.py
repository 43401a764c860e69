"""A fake board's power meters say what its model draws."""

from pathlib import Path

import pytest

from piaccel.device import power
from piaccel.errors import OptionError
from piaccel.testing.__main__ import main
from piaccel.testing.captures import PMIC
from piaccel.testing.fake_board import FakeBoard
from piaccel.testing.fake_power import CAPTURED_W, monitor_files, pmic_answer
from piaccel.testing.thermal import ThermalBoard


def test_the_capture_is_what_a_board_says_before_anything_is_set() -> None:
    assert pmic_answer(CAPTURED_W) == PMIC.rstrip("\n")


def test_an_unknown_monitor_is_refused(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path / "pi")
    with pytest.raises(OptionError, match="ina226"):
        board.wire("ina999")  # type: ignore[arg-type]


def test_a_monitor_beyond_its_range_shows_the_end_of_it() -> None:
    assert monitor_files("ina219", 30.0, 100_000)["in0_input"] == 320


@pytest.mark.parametrize("kind", ["pi4", "pi5"])
def test_the_meters_follow_the_work(tmp_path: Path, kind: str) -> None:
    board = ThermalBoard(tmp_path / "pi", kind)  # type: ignore[arg-type]
    board.wire("ina226")
    source = power.find(board.root, "hwmon")
    assert source is not None
    board.advance(1.0, 0.0)
    idle = source.read()
    board.advance(1.0, 1.0)
    assert idle == pytest.approx(1.1451 * board.power_w(0.0) + 0.5879, rel=0.005)
    assert source.read() == pytest.approx(1.1451 * board.power_w(1.0) + 0.5879, rel=0.005)


def test_the_command_line_makes_a_board_with_a_monitor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fake-board", "pi4", str(tmp_path / "pi"), "--monitor", "ina219"]) == 0
    assert "pi4, cool, ina219" in capsys.readouterr().out
    assert [each.name for each in power.sources(tmp_path / "pi")] == ["hwmon:ina219"]
