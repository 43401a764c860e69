"""The page about power: its code runs, and what it shows is what the command prints."""

import re
from pathlib import Path

import pytest

from piaccel.cli import main
from piaccel.device.power.chips import CHIPS
from piaccel.testing.fake_board import FakeBoard

PAGE = (Path(__file__).parents[3] / "docs" / "power.md").read_text(encoding="utf-8")


def test_the_code_of_the_page_runs_and_refuses_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    exec("\n".join(re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)), {})
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first == "None"
    assert "a module on PCIe or a HAT" in second


def test_the_page_shows_what_the_command_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    board = FakeBoard(tmp_path / "healthy", "pi5")
    assert main(["power", "--root", str(board.root)]) == 0
    assert capsys.readouterr().out in PAGE


@pytest.mark.parametrize("name", ["ina219", "ina226", "ina3221"])
def test_the_page_states_the_accuracy_of_each_chip_as_the_source_does(name: str) -> None:
    chip = CHIPS[name]
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `hwmon:{name}"))
    assert f"±{100 * (chip.uncertainty or 0):.1f} %" in row
    assert chip.sheet in row
