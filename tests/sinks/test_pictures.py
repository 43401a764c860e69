"""Pictures of events."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from piaccel import sinks
from piaccel.errors import OptionError, WriteError
from piaccel.images import read_image
from piaccel.pipeline.outlet import Outlet
from piaccel.sinks import Event, Sink
from piaccel.testing.sink_compliance import SinkCompliance
from tests.sinks.disks import fill, small_disk
from tests.sinks.events import detected, event, image, unanswered
from tests.sinks.waiting import until


def opened(spec: str) -> Sink:
    sink = sinks.make(spec)
    sink.open()
    return sink


def pictured(number: int = 0, label: str = "crack", **changes: object) -> Event:
    return event(number, label, **{"image": image(), **changes})


def names(folder: Path) -> list[str]:
    return [path.name for path in sorted(folder.rglob("*.*")) if path.is_file()]


class TestPictures(SinkCompliance):
    def spec(self, folder: Path) -> str:
        return f"pictures:{folder}/parts,json=true"

    def arrived(self, folder: Path) -> list[str]:
        return sorted(json.loads(path.read_text())["id"] for path in (folder / "parts").rglob("*.json"))


def test_a_picture_is_in_its_day_s_folder_with_the_result_drawn_on_it(tmp_path: Path) -> None:
    sink = opened(f"pictures:{tmp_path},quality=100")
    sink.deliver(pictured(7, result=detected("crack"), stream="line/../1"))
    (path,) = tmp_path.rglob("*.jpg")
    assert path.parent == tmp_path / "2026-11-23"
    assert path.name.startswith("011329.123-line_1-")
    drawn = read_image(path)
    assert drawn.shape == (48, 64, 3)
    assert np.abs(drawn.astype(int) - 90).max() > 60, "something is drawn"


def test_a_raw_png_is_the_picture_itself(tmp_path: Path) -> None:
    sink = opened(f"pictures:{tmp_path},format=png,annotated=false")
    colours = np.zeros((48, 64, 3), np.uint8)
    colours[..., 0] = 200
    sink.deliver(pictured(image=colours, result=detected("crack")))
    (path,) = tmp_path.rglob("*.png")
    assert np.array_equal(read_image(path), colours), "red stays red"


def test_the_same_event_twice_is_one_file_and_two_events_are_two(tmp_path: Path) -> None:
    sink = opened(f"pictures:{tmp_path}")
    sink.deliver(pictured(1))
    sink.deliver(pictured(1))
    sink.deliver(pictured(2, at=pictured(1).at))
    assert len(names(tmp_path)) == 2


def test_events_too_soon_after_a_picture_of_their_stream_are_skipped(tmp_path: Path) -> None:
    sink = opened(f"pictures:{tmp_path},min_interval=1s")
    for number in range(21):
        for stream in ("a", "b"):
            sink.deliver(pictured(number, stream=stream, published_ns=number * 100_000_000))
    assert len(names(tmp_path)) == 6
    assert sink.facts()["skipped"] == 36


def test_an_event_without_a_picture_is_counted(tmp_path: Path) -> None:
    sink = opened(f"pictures:{tmp_path}")
    sink.deliver(unanswered())
    assert sink.facts()["without_picture"] == 1
    assert names(tmp_path) == []


def test_the_oldest_are_deleted_and_nothing_of_anybody_else(tmp_path: Path) -> None:
    foreign = tmp_path / "2020-01-01/holiday.jpg"
    foreign.parent.mkdir()
    foreign.write_bytes(b"x" * 5000)
    sink = opened(f"pictures:{tmp_path},max_files=3")
    for number in range(5):
        sink.deliver(pictured(number, at=86_400.0 * number))
    days = sorted(path.name for path in tmp_path.iterdir())
    assert days == ["1970-01-03", "1970-01-04", "1970-01-05", "2020-01-01"], "empty days are gone too"
    again = opened(f"pictures:{tmp_path},max_files=3")
    again.deliver(pictured(5, at=86_400.0 * 5))
    assert "1970-01-03" not in {path.name for path in tmp_path.iterdir()}, "what an earlier run wrote counts"
    assert foreign.exists()


def test_all_together_stay_below_the_cap(tmp_path: Path) -> None:
    sink = opened(f"pictures:{tmp_path},max_size=10kB")
    for number in range(30):
        sink.deliver(pictured(number))
    assert 5000 < sum(path.stat().st_size for path in tmp_path.rglob("*.jpg")) <= 10_000


def test_what_a_power_cut_left_half_written_is_removed(tmp_path: Path) -> None:
    half = tmp_path / "2026-11-23/.011329.123-line1-0a1b2c3d.jpg.x7z1"
    half.parent.mkdir()
    half.touch()
    opened(f"pictures:{tmp_path}")
    assert not half.exists()


def test_a_full_disk_loses_no_picture(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        outlet = Outlet(sinks.make(f"pictures:{disk}/p,queue=100"), patience_s=(0.01, 0.05))
        outlet.start()
        outlet.offer(pictured(0))
        until(lambda: outlet.numbers().sent == 1, "the first arrives")
        ballast = fill(disk, leave=12_288)
        for number in range(1, 50):
            outlet.offer(pictured(number))
        until(lambda: outlet.numbers().state == "failing", "the disk is full")
        ballast.unlink()
        until(lambda: outlet.numbers().sent == 50, "all arrive")
        outlet.stop()
        assert len(names(disk / "p")) == 50
        assert all(read_image(path).shape == (48, 64, 3) for path in (disk / "p").rglob("*.jpg"))


@pytest.mark.parametrize(
    "text", ["pictures", "pictures:p,quality=0", "pictures:p,format=gif", "pictures:p,max_files=0"]
)
def test_what_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(OptionError):
        sinks.make(text)


def test_a_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises((OptionError, WriteError), match="is not a folder"):
        opened(f"pictures:{tmp_path}/file")
