"""A table for a spreadsheet."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from piaccel import sinks
from piaccel.errors import OptionError
from piaccel.pipeline.outlet import Outlet
from piaccel.sinks import Event, Sink
from piaccel.tasks import Classification
from piaccel.testing.sink_compliance import SinkCompliance
from tests.sinks.disks import fill, small_disk
from tests.sinks.events import detected, event, unanswered
from tests.sinks.waiting import until


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def opened(spec: str) -> Sink:
    sink = sinks.make(spec)
    sink.open()
    return sink


def written(path: Path, *events: Event) -> list[dict[str, str]]:
    sink = opened(f"csv:{path},sync=0s")
    for each in events:
        sink.deliver(each)
    sink.close()
    return rows(path)


class TestCsv(SinkCompliance):
    def spec(self, folder: Path) -> str:
        return f"csv:{folder}/results.csv"

    def arrived(self, folder: Path) -> list[str]:
        return [row["id"] for row in rows(folder / "results.csv")]


def test_a_row_is_an_event_with_its_best_finding(tmp_path: Path) -> None:
    first, second = written(tmp_path / "r.csv", event(7, result=detected("crack", "hole"), part=3), unanswered(8))
    assert first == {
        "time": "2026-11-23T01:13:29.123Z",
        "stream": "line1",
        "frame": "7",
        "part": "3",
        "label": "crack",
        "score": "0.9",
        "findings": "crack 0.9; hole 0.6",
        "age_ms": "31.0",
        "late": "0",
        "held": "0",
        "cause": "",
        "model": "parts",
        "variant": "int8",
        "backend": "litert",
        "id": "pi/boot/7",
    }
    assert (second["cause"], second["label"], second["score"], second["part"]) == ("expired", "", "", "")


@pytest.mark.parametrize("label", ['=cmd|"/c calc"!A1', "+1", "-1", "@SUM(A1)", "\t=1+1"])
def test_a_label_cannot_be_a_formula(tmp_path: Path, label: str) -> None:
    answer = Classification(np.array([0.9], np.float32), (label,))
    (row,) = written(tmp_path / "r.csv", event(result=answer))
    assert row["label"].startswith("'")
    assert row["label"][1:].strip() == label.strip()
    assert row["findings"].startswith("'")


def test_quotes_commas_and_newlines_stay_in_their_cell_and_line(tmp_path: Path) -> None:
    (row,) = written(tmp_path / "r.csv", event(stream='a "b", c\nd'))
    assert row["stream"] == 'a "b", c d'
    assert (tmp_path / "r.csv").read_text(encoding="utf-8").count("\n") == 2


def test_each_file_begins_with_the_header(tmp_path: Path) -> None:
    sink = opened(f"csv:{tmp_path}/r.csv,max_size=600B,keep=4,sync=0s")
    for number in range(40):
        sink.deliver(event(number))
    files = list(tmp_path.iterdir())
    assert len(files) == 4
    assert all(path.read_bytes().startswith(b"time,stream,frame,") for path in files)
    assert all(path.read_bytes().count(b"time,stream") == 1 for path in files)


def test_a_row_torn_by_a_power_cut_is_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    written(path, event(1))
    with open(path, "ab") as file:
        file.write(b"2026-11-23T01:13:3")
    assert [row["id"] for row in written(path, event(2))] == ["pi/boot/1", "pi/boot/2"]


def test_a_table_with_other_columns_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("time,stream,temperature\n2026-11-23T01:13:29.123Z,line1,7\n")
    assert len(written(path, event(2))) == 1
    assert (tmp_path / "r.1.csv").read_text().startswith("time,stream,temperature\n")


def test_a_table_of_somebody_else_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("name,salary\n")
    with pytest.raises(OptionError, match="holds something else"):
        opened(f"csv:{path}")
    assert path.read_text() == "name,salary\n"


def test_a_full_disk_loses_and_doubles_no_row(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        path = disk / "r.csv"
        ballast = fill(disk, leave=4096)
        outlet = Outlet(sinks.make(f"csv:{path},sync=0s"), patience_s=(0.01, 0.05))
        outlet.start()
        for number in range(100):
            outlet.offer(event(number))
        until(lambda: outlet.numbers().state == "failing", "the disk is full")
        ballast.unlink()
        until(lambda: outlet.numbers().sent == 100, "all arrive")
        outlet.stop()
        assert [row["id"] for row in rows(path)] == [f"pi/boot/{number}" for number in range(100)]
