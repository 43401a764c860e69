"""``bench --scenario camera``: ages from exposure on, in the report that everything else is in."""

import json
from pathlib import Path
from typing import Any

import pytest

from piaccel.bench import Report
from piaccel.bench import report as reports
from piaccel.bench.run import benchmark
from piaccel.bench.statistics import summary
from piaccel.bench.verdict import Expected, judge
from piaccel.cli import main
from piaccel.errors import OptionError
from piaccel.pipeline.camera_scenario import MEASURE


def measured(demo: Path, source: str, **given: Any) -> Report:
    return benchmark(
        demo / "bundle",
        backends=["litert"],
        variants=["fp32-tflite"],
        threads=[1],
        scenario="camera",
        source=source,
        measure=MEASURE,
        duration_s=0.5,
        repeats=1,
        **given,
    )


def test_ages_stages_and_what_became_of_each_frame_are_in_the_report(demo: Path, tmp_path: Path) -> None:
    report = measured(demo, "synthetic:fps=60,size=320x240", deadline_s=0.5)
    (row,) = [row for row in report.measurements if not row.error]
    (repeat,) = row.repeats
    assert repeat.camera is not None
    assert repeat.camera["clock"] == "schedule"
    assert repeat.camera["offered"] >= len(repeat.latency_ns) >= 64
    assert repeat.camera["failed"] == 0
    assert len(repeat.camera["gap_ns"]) == len(repeat.latency_ns)
    assert {"wait", "preprocess", "inference", "postprocess"} == set(repeat.stages_ns)
    for age, *parts in zip(repeat.latency_ns, *repeat.stages_ns.values(), strict=True):
        assert sum(parts) <= age
    numbers = summary(row)
    assert numbers is not None
    assert numbers.fps <= 70
    assert numbers.end_to_end_fps is None
    assert row.agreement is not None
    assert row.agreement.agrees
    assert report.conditions["source"] == "synthetic:fps=60,size=320x240"
    assert report.conditions["deadline_ms"] == 500
    reports.write(report, tmp_path / "report.json")
    assert reports.read(tmp_path / "report.json") == report


def test_a_source_that_was_lost_makes_the_row_invalid_and_says_so(demo: Path) -> None:
    report = measured(demo, "synthetic:fps=60,lose_at=40,size=320x240")
    (row,) = [row for row in report.measurements if not row.error]
    assert any("source lost: 1 times" in reason for reason in row.verdict.reasons)


def test_a_source_that_gives_too_little_is_too_little(demo: Path) -> None:
    report = measured(demo, "synthetic:fps=0,frames=30,size=320x240", policy="every")
    (row,) = [row for row in report.measurements if not row.error]
    assert any(reason.startswith("too few queries") for reason in row.verdict.reasons)
    assert not judge(row, Expected(1, 1, 2)).valid


def test_a_source_that_does_not_open_is_the_rows_error(demo: Path) -> None:
    report = measured(demo, str(demo / "nowhere.mp4"))
    assert all("nowhere.mp4" in row.error for row in report.measurements)


@pytest.mark.parametrize("given", [{"source": ""}, {"source": "synthetic", "scenario": "offline"}])
def test_the_camera_needs_a_source_and_nothing_else_takes_one(demo: Path, given: dict[str, str]) -> None:
    with pytest.raises(OptionError, match="source"):
        benchmark(demo / "bundle", **{"scenario": "camera", "measure": MEASURE, **given})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--scenario", "camera"],
        ["--source", "synthetic"],
        ["--scenario", "camera", "--source", "synthetic", "--policy", "newest"],
        ["--scenario", "camera", "--source", "synthetic", "--deadline", "80"],
        ["--scenario", "camera", "--source", "telepathy:1"],
    ],
)
def test_the_command_says_what_is_wrong_before_it_measures(
    demo: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", str(demo / "bundle"), *arguments]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_the_page_and_the_table_show_ages_and_drops(
    demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, data = tmp_path / "camera.html", tmp_path / "camera.json"
    source = ["--scenario", "camera", "--source", "synthetic:fps=60,size=320x240", "--duration", "0.5"]
    rows = ["--backend", "litert", "--variant", "fp32-tflite", "--threads", "1", "--repeats", "1"]
    assert main(["bench", str(demo / "bundle"), *source, *rows, "--html", str(page), "--json", str(data)]) == 0
    printed = capsys.readouterr().out
    assert "wait" in printed
    assert "frames answered" in printed
    assert "dropped" in page.read_text()
    assert json.loads(data.read_text())["conditions"]["policy"] == "latest"
