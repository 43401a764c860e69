"""``piaccel compare`` as a user and a CI see it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from piaccel.bench import Report, report
from piaccel.cli import main
from tests.bench import reports


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")


def _written(folder: Path, name: str, content: Report) -> str:
    report.write(content, folder / name)
    return str(folder / name)


@pytest.fixture
def old(tmp_path: Path) -> str:
    return _written(tmp_path, "old.json", reports.report(1, count=60))


@pytest.fixture
def again(tmp_path: Path) -> str:
    return _written(tmp_path, "again.json", reports.report(2, count=60))


@pytest.fixture
def slower(tmp_path: Path) -> str:
    return _written(tmp_path, "slower.json", reports.report(2, count=60, factors={("litert", "int8"): 1.2}))


def test_no_difference_ends_with_exit_code_0(old: str, again: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", old, again]) == 0
    printed = capsys.readouterr().out
    assert "litert/int8" not in printed.splitlines()[0]
    assert printed.splitlines()[-1] == "3 no difference; nothing slower by more than 5%."
    assert "ncnn/fp32-ncnn, 4 threads, single-stream: not compared: the old one answers wrongly" in printed


def test_a_regression_ends_with_exit_code_1_and_its_numbers(
    old: str, slower: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", old, slower]) == 1
    lines = capsys.readouterr().out.splitlines()
    row = next(line for line in lines if line.startswith("litert") and "int8" in line)
    assert row.split()[-1] == "slower"
    assert "+19.3%" in row
    assert lines[-1].startswith("1 slower, 2 no difference; regressions beyond 5%: 1, worst litert/int8")


@pytest.mark.parametrize(("limit", "code"), [("5%", 1), ("0.05", 1), ("50 %", 0), ("150%", 0), ("0.5", 0), ("0", 1)])
def test_the_limit_is_a_percentage_or_a_share(limit: str, code: int, old: str, slower: str) -> None:
    assert main(["compare", old, slower, "--fail-above", limit]) == code


@pytest.mark.parametrize("limit", ["5", "lots", "-1%", "5%%", "nan", "inf%", ""])
def test_a_limit_that_is_neither_is_refused(
    limit: str, old: str, slower: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", old, slower, f"--fail-above={limit}"]) == 2
    assert f"--fail-above {limit!r} is not a share" in capsys.readouterr().err


def test_unequal_conditions_are_refused_with_exit_code_2_and_can_be_allowed(
    old: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = reports.report(2, count=60)
    board = {**made.environment["board"], "governor": "performance", "kernel": "6.6.31"}
    other = _written(tmp_path, "other.json", replace(made, environment={**made.environment, "board": board}))
    assert main(["compare", old, other]) == 2
    complaint = capsys.readouterr().err
    assert "governor: ondemand -> performance" in complaint
    assert "--allow kernel,governor" in complaint
    assert main(["compare", old, other, "--allow", "kernel"]) == 2
    assert main(["compare", old, other, "--allow", "kernel, governor"]) == 0
    assert main(["compare", old, other, "--allow", "kernel", "--allow", "governor"]) == 0
    assert "not equal, but allowed: governor: ondemand -> performance" in capsys.readouterr().out


def test_what_is_not_a_report_ends_with_exit_code_2(
    old: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = tmp_path / "cut.json"
    cut.write_bytes(Path(old).read_bytes()[:5000])
    for path in (cut, tmp_path / "none.json", tmp_path):
        assert main(["compare", old, str(path)]) == 2
        assert len(capsys.readouterr().err.splitlines()) <= 2


def test_reports_of_which_nothing_can_be_compared_do_not_pass(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = reports.report(1, count=60)
    throttled = _written(tmp_path, "hot.json", replace(made, measurements=made.measurements[2:3]))
    assert main(["compare", throttled, throttled]) == 2
    assert "no row is valid, right and measured in both reports" in capsys.readouterr().err


def test_json_holds_the_rows_and_the_regressions(old: str, slower: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", old, slower, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["regressions"] == ["litert/int8, 4 threads, single-stream"]
    assert found["rows"][0]["outcome"] == "slower"
    assert found["rows"][0]["interval"]["method"] == "Welch's t on log medians of 5 and 5 repeats"
    assert found["conclusion"].startswith("1 slower")


def test_names_with_markup_are_printed_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = reports.report(1, count=60)
    rows = [replace(row, variant="[red]v[/red]") for row in made.measurements[:1]]
    odd = _written(tmp_path, "odd.json", replace(made, measurements=rows))
    assert main(["compare", odd, odd]) == 0
    assert "[red]v[/red]" in capsys.readouterr().out


def test_a_pipe_gets_rows_that_do_not_wrap(
    old: str, again: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    main(["compare", old, again])
    assert sum(line.endswith("no difference") for line in capsys.readouterr().out.splitlines()) == 3
