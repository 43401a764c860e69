"""Results in an SQLite database."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from piaccel import sinks
from piaccel.errors import OptionError, WriteError
from piaccel.pipeline.outlet import Outlet
from piaccel.sinks import Sink
from piaccel.testing.sink_compliance import SinkCompliance
from tests.sinks.disks import fill, small_disk
from tests.sinks.events import detected, event, unanswered
from tests.sinks.waiting import until


def asked(path: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as base:
        return base.execute(sql).fetchall()


def ids(path: Path) -> list[str]:
    return [each for (each,) in asked(path, "SELECT id FROM events ORDER BY seq")]


def opened(spec: str) -> Sink:
    sink = sinks.make(spec)
    sink.open()
    return sink


class TestSqlite(SinkCompliance):
    def spec(self, folder: Path) -> str:
        return f"sqlite:{folder}/data/results.db"

    def arrived(self, folder: Path) -> list[str]:
        return ids(folder / "data/results.db")


def test_a_row_tells_what_the_event_tells(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    sink = opened(f"sqlite:{path}")
    sent = event(7, result=detected("crack", "hole"), part=3)
    sink.deliver(sent)
    sink.deliver(unanswered(8))
    sink.flush(1)
    ((*known, result), (cause, none)) = (
        asked(path, "SELECT time, stream, frame, part, label, round(score, 2), age_ms, late, result FROM events")[0],
        asked(path, "SELECT cause, result FROM events WHERE frame = 8")[0],
    )
    assert known == ["2026-11-23T01:13:29.123Z", "line1", 7, 3, "crack", 0.9, 31.0, 0]
    assert json.loads(result) == sent.to_dict()["result"]
    assert (cause, none) == ("expired", None)
    assert asked(path, "PRAGMA journal_mode") == [("wal",)]
    assert asked(path, "PRAGMA auto_vacuum") == [(2,)]
    sink.close()


def test_rows_are_committed_together_and_tell_so(tmp_path: Path) -> None:
    sink = opened(f"sqlite:{tmp_path}/r.db,commit=1h")
    for number in range(5):
        sink.deliver(event(number))
    sink.tick()
    assert (sink.facts()["unconfirmed"], ids(tmp_path / "r.db")) == (5, [])
    assert sink.flush(1) == 0
    assert (sink.facts()["unconfirmed"], len(ids(tmp_path / "r.db"))) == (0, 5)
    sink.close()


def test_an_event_that_is_delivered_twice_is_there_once(tmp_path: Path) -> None:
    sink = opened(f"sqlite:{tmp_path}/r.db,commit=0s")
    sink.deliver(event(1))
    sink.deliver(event(1))
    sink.close()
    assert ids(tmp_path / "r.db") == ["pi/boot/1"]
    assert sink.facts()["written"] == 1


def test_the_oldest_rows_are_deleted_when_it_is_full_and_the_file_stays_small(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    sink = opened(f"sqlite:{path},commit=1h,max_size=200kB")
    for number in range(3000):
        sink.deliver(event(number))
        if number % 100 == 99:
            sink.flush(1)
    sink.close()
    kept = ids(path)
    assert kept == [f"pi/boot/{number}" for number in range(3000 - len(kept), 3000)]
    assert 50 < len(kept) == 3000 - sink.facts()["deleted"]
    assert path.stat().st_size < 300_000


def test_a_database_that_another_program_locks_is_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    outlet = Outlet(sinks.make(f"sqlite:{path},commit=0s,busy=20ms"), patience_s=(0.01, 0.05))
    outlet.start()
    outlet.offer(event(0))
    until(lambda: outlet.numbers().sent == 1, "the first arrives")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        for number in range(1, 20):
            outlet.offer(event(number))
        until(lambda: outlet.numbers().state == "failing", "it is locked")
        assert "locked" in outlet.numbers().error
        other.execute("ROLLBACK")
        until(lambda: outlet.numbers().sent == 20, "all arrive")
    outlet.stop()
    assert ids(path) == [f"pi/boot/{number}" for number in range(20)]


def test_a_reader_does_not_hold_it_up(tmp_path: Path) -> None:
    sink = opened(f"sqlite:{tmp_path}/r.db,commit=0s,busy=0s")
    sink.deliver(event(0))
    with closing(sqlite3.connect(tmp_path / "r.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert len(reader.execute("SELECT * FROM events").fetchall()) == 1
        sink.deliver(event(1))
        reader.execute("ROLLBACK")
    sink.close()
    assert len(ids(tmp_path / "r.db")) == 2


def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no database at all\n" * 100)
    with pytest.raises(OptionError, match="no whole SQLite database"):
        opened(f"sqlite:{path}")
    assert path.read_text() == "no database at all\n" * 100


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="is not a folder"):
        opened(f"sqlite:{tmp_path}/file/r.db")


@pytest.mark.parametrize("text", ["sqlite", "sqlite:r.db,max_size=1kB"])
def test_what_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(OptionError):
        sinks.make(text)


def test_a_killed_process_loses_at_most_the_last_batch(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    script = f"""
import time
from piaccel import sinks
from tests.sinks.events import event
sink = sinks.make("sqlite:{path},commit=1h")
sink.open()
for number in range(100):
    sink.deliver(event(number))
    if number == 89:
        sink.flush(1)
print("ready", flush=True)
time.sleep(600)
"""
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=root) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        child.send_signal(signal.SIGKILL)
    assert ids(path) == [f"pi/boot/{number}" for number in range(90)]
    assert asked(path, "PRAGMA integrity_check") == [("ok",)]
    sink = opened(f"sqlite:{path}")
    for number in range(80, 100):
        sink.deliver(event(number))
    sink.flush(1)
    sink.close()
    assert ids(path) == [f"pi/boot/{number}" for number in range(100)]


def test_a_full_disk_loses_and_doubles_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "2m") as disk:
        path = disk / "r.db"
        outlet = Outlet(sinks.make(f"sqlite:{path},commit=20ms"), patience_s=(0.01, 0.05))
        outlet.start()
        outlet.offer(event(0))
        until(lambda: outlet.numbers().sent == 1, "the first arrives")
        ballast = fill(disk, leave=16384)
        for number in range(1, 300):
            outlet.offer(event(number))
        until(lambda: outlet.numbers().state == "failing", "the disk is full")
        assert "full" in outlet.numbers().error or "disk" in outlet.numbers().error
        ballast.unlink()
        until(lambda: outlet.numbers().sent == 300, "all arrive")
        outlet.stop()
        assert outlet.numbers().given_up == {}
        assert ids(path) == [f"pi/boot/{number}" for number in range(300)]
