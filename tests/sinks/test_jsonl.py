"""JSON lines: batched, rotated, capped, and whole whatever happens."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from piaccel import sinks
from piaccel.errors import OptionError, WriteError
from piaccel.pipeline.outlet import Outlet
from piaccel.sinks import Sink
from piaccel.sinks._lines import Lines, Options
from piaccel.testing.sink_compliance import SinkCompliance
from tests.sinks.disks import fill, small_disk
from tests.sinks.events import event, unanswered
from tests.sinks.waiting import until


def ids(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_text(encoding="utf-8").splitlines()]


def named(numbers: range) -> list[str]:
    return [f"pi/boot/{number}" for number in numbers]


def opened(spec: str) -> Sink:
    sink = sinks.make(spec)
    sink.open()
    return sink


class TestJsonl(SinkCompliance):
    def spec(self, folder: Path) -> str:
        return f"jsonl:{folder}/logs/results.jsonl"

    def arrived(self, folder: Path) -> list[str]:
        return ids(folder / "logs/results.jsonl")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_line_is_the_event_as_plain_data(tmp_path: Path) -> None:
    sink = opened(f"jsonl:{tmp_path}/r.jsonl")
    sent = [event(1, stream="Straße\n"), unanswered(2)]
    for each in sent:
        sink.deliver(each)
    sink.flush(1)
    lines = (tmp_path / "r.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [each.to_dict() for each in sent]


def test_lines_are_written_together_when_the_first_has_waited_long_enough(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "r.jsonl"
    lines = Lines(path, Options(sync_s=2.0), clock=clock)
    lines.open()
    for number in range(3):
        lines.add(b"%d\n" % number)
    assert (path.read_bytes(), lines.waiting) == (b"", 3)
    clock.now = 2.0
    lines.tick()
    assert (path.read_bytes(), lines.waiting) == (b"0\n1\n2\n", 0)


def test_without_a_pause_each_line_is_written_at_once(tmp_path: Path) -> None:
    sink = opened(f"jsonl:{tmp_path}/r.jsonl,sync=0s")
    sink.deliver(event(1))
    assert ids(tmp_path / "r.jsonl") == ["pi/boot/1"]
    assert sink.facts()["unconfirmed"] == 0


def test_files_are_rotated_by_size_and_only_so_many_are_kept(tmp_path: Path) -> None:
    sink = opened(f"jsonl:{tmp_path}/r.jsonl,max_size=2kB,keep=3,sync=0s")
    for number in range(60):
        sink.deliver(event(number))
    files = sorted(tmp_path.iterdir())
    assert len(files) == 3
    assert all(path.stat().st_size <= 2000 for path in files)
    in_order = [path for path in files if path.name != "r.jsonl"] + [tmp_path / "r.jsonl"]
    kept = [each for path in in_order for each in ids(path)]
    assert kept == named(range(60 - len(kept), 60)), "the newest are kept, none twice, none missing between"
    facts = sink.facts()
    assert facts["rotated"] - facts["deleted"] == 2


def test_all_files_together_stay_below_the_cap(tmp_path: Path) -> None:
    sink = opened(f"jsonl:{tmp_path}/r.jsonl,max_size=1kB,keep=100,total_size=5kB,sync=0s")
    for number in range(100):
        sink.deliver(event(number))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 5000


def test_a_file_is_rotated_when_its_first_line_is_old_also_after_a_restart(tmp_path: Path) -> None:
    path, wall = tmp_path / "r.jsonl", Clock()
    path.write_text('{"time": "1970-01-01T00:01:00.000Z"}\n')
    lines = Lines(path, Options(max_age_s=3600, sync_s=0), wall=wall)
    wall.now = 3659
    lines.open()
    lines.add(b"{}\n")
    assert not (tmp_path / "r.1.jsonl").exists()
    wall.now = 3660
    lines.add(b"{}\n")
    lines.add(b"{}\n")
    assert (path.read_bytes(), lines.facts["rotated"]) == (b"{}\n{}\n", 1)


@pytest.mark.parametrize(
    ("found", "left"),
    [
        (b'{"a": 1}\n{"b": 2', b'{"a": 1}\n'),
        (b'{"a": 1}\n{"b": 2}', b'{"a": 1}\n{"b": 2}\n'),
        (b'{"a": 1}\n\0\0\0\0', b'{"a": 1}\n'),
        (b'{"a', b""),
        (b'{"a": 1}\n{"b": "' + b"x" * 200_000, b'{"a": 1}\n'),
    ],
)
def test_a_last_line_torn_by_a_power_cut_is_mended(tmp_path: Path, found: bytes, left: bytes) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(found)
    sink = opened(f"jsonl:{path}")
    assert path.read_bytes() == left
    assert sink.facts()["repaired"] == 1
    sink.deliver(event(1))
    sink.flush(1)
    assert path.read_bytes().startswith(left + b'{"id":')


def test_a_file_that_is_something_else_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(b"\x1c\0\0\0TFL3")
    with pytest.raises(OptionError, match="holds something else"):
        opened(f"jsonl:{path}")
    assert path.read_bytes() == b"\x1c\0\0\0TFL3"


@pytest.mark.parametrize("how", ["renamed", "deleted", "emptied"])
def test_logrotate_may_take_the_file_away(tmp_path: Path, how: str) -> None:
    path = tmp_path / "r.jsonl"
    sink = opened(f"jsonl:{path},sync=0s")
    sink.deliver(event(1))
    if how == "renamed":
        path.rename(tmp_path / "old")
    elif how == "deleted":
        path.unlink()
    else:
        os.truncate(path, 0)
    sink.deliver(event(2))
    assert ids(path) == ["pi/boot/2"]


def test_a_pipe_or_a_device_is_written_to_and_stays_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    sink = opened(f"jsonl:{path},max_size=1kB,sync=0s")
    for number in range(9):
        sink.deliver(event(number))
    assert os.read(reader, 65536).count(b"\n") == 9
    sink.close()
    os.close(reader)
    assert [each.name for each in tmp_path.iterdir()] == ["pipe"]


@pytest.mark.parametrize("target", ["", "/proc/self/nothing/r.jsonl", "/etc"])
def test_a_path_that_never_will_do_ends_the_run(target: str) -> None:
    with pytest.raises((OptionError, WriteError)) as caught:
        opened(f"jsonl:{target}")
    assert "jsonl" in str(caught.value) or target in str(caught.value)


@pytest.mark.parametrize("options", ["keep=0", "max_size=2GB", "max_size=10", "sync=2"])
def test_a_bound_that_cannot_be_is_refused(options: str) -> None:
    with pytest.raises(OptionError):
        sinks.make(f"jsonl:r.jsonl,{options}")


@pytest.mark.parametrize("sync", ["0s", "50ms"])
def test_a_full_disk_loses_and_doubles_nothing_and_hurts_no_other_sink(tmp_path: Path, sync: str) -> None:
    with small_disk(tmp_path / "disk") as disk:
        path = disk / "r.jsonl"
        full = Outlet(sinks.make(f"jsonl:{path},sync={sync},max_size=300kB"), patience_s=(0.01, 0.05))
        other = Outlet(sinks.make(f"jsonl:{tmp_path}/other.jsonl,sync={sync}"), patience_s=(0.01, 0.05))
        ballast = fill(disk, leave=8192)
        outlets = (full, other)
        for outlet in outlets:
            outlet.start()
        for number in range(200):
            for outlet in outlets:
                outlet.offer(event(number))
        until(lambda: full.numbers().state == "failing", "the disk is full")
        until(lambda: other.numbers().sent == 200, "the other has all")
        assert "No space left" in full.numbers().error
        written = path.read_bytes()
        assert not written or written.endswith(b"\n"), "no half line"
        ballast.unlink()
        until(lambda: full.numbers().sent == 200, "all arrive")
        for outlet in outlets:
            outlet.stop()
        assert ids(path) == named(range(200))
        assert full.numbers().given_up == {}
