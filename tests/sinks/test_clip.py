"""Clips of events."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from piaccel import sinks
from piaccel.errors import OptionError, WriteError
from piaccel.pipeline.outlet import Outlet
from piaccel.sinks import Event, Sink
from piaccel.testing.sink_compliance import SinkCompliance
from tests.sinks.disks import fill, small_disk
from tests.sinks.events import event, image
from tests.sinks.waiting import until

SECOND = 1_000_000_000


def shot(number: int, label: str = "good", **changes: object) -> Event:
    """Frame ``number`` at 10 frames a second, as bright as its number."""
    now_ns = 100 * SECOND + number * SECOND // 10
    given = {"published_ns": now_ns, "exposed_ns": now_ns, "image": image(number), **changes}
    return event(number, label, **given)


def opened(folder: Path, options: str = "before=1s,after=1s") -> Sink:
    sink = sinks.make(f"clip:{folder},trigger=crack,annotated=false,{options}")
    sink.open()
    return sink


def shown(path: Path) -> tuple[list[int], float]:
    """The brightness of each frame of a film, and its frames a second."""
    import cv2

    film = cv2.VideoCapture(str(path))
    frames = []
    while (read := film.read())[0]:
        frames.append(round(float(np.mean(read[1]))))
    return frames, film.get(cv2.CAP_PROP_FPS)


def films(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.avi"))


class TestClip(SinkCompliance):
    def spec(self, folder: Path) -> str:
        return f"clip:{folder}/clips"


def test_a_clip_has_what_was_before_at_and_after_the_event(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    for number in range(100):
        sink.deliver(shot(number, "crack" if number == 50 else "good"))
        sink.flush(1) if number == 99 else None
    (path,) = films(tmp_path)
    assert path.parent.name == "2026-11-23"
    frames, fps = shown(path)
    assert frames == pytest.approx(list(range(40, 61)), abs=1)
    assert fps == pytest.approx(10, abs=0.01)


def test_events_within_a_clip_extend_it(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    for number in range(100):
        sink.deliver(shot(number, "crack" if number in (50, 58, 65) else "good"))
    sink.flush(1)
    assert [len(shown(path)[0]) for path in films(tmp_path)] == [75 - 40 + 1]


def test_a_clip_that_never_would_end_is_cut_into_several(tmp_path: Path) -> None:
    sink = opened(tmp_path, "before=1s,after=1s,longest=3s")
    for number in range(100):
        sink.deliver(shot(number, "crack"))
    sink.flush(1)
    frames = [each for path in films(tmp_path) for each in shown(path)[0]]
    assert len(films(tmp_path)) == 4
    assert frames == pytest.approx(list(range(100)), abs=1), "nothing is missing between them"


def test_frames_above_the_rate_are_left_out_but_never_the_event_itself(tmp_path: Path) -> None:
    sink = opened(tmp_path, "before=2s,after=2s,fps=2")
    for number in range(100):
        sink.deliver(shot(number, "crack" if number == 52 else "good"))
    sink.flush(1)
    frames, _ = shown(films(tmp_path)[0])
    assert any(abs(frame - 52) <= 1 for frame in frames)
    assert 8 <= len(frames) <= 10


def test_memory_is_bounded_however_long_nothing_happens(tmp_path: Path) -> None:
    sink = opened(tmp_path, "before=10s,after=1s,memory=5kB")
    for number in range(1000):
        sink.deliver(shot(number % 200, published_ns=number * SECOND // 10))
        assert sink.facts()["held_bytes"] <= 5000
    assert films(tmp_path) == []


def test_each_stream_has_its_own_clips(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    for number in range(60):
        sink.deliver(shot(number, "crack" if number == 30 else "good", stream="a"))
        sink.deliver(shot(number, stream="b"))
    sink.flush(1)
    (path,) = films(tmp_path)
    assert "-a-" in path.name
    assert len(shown(path)[0]) == 21


def test_a_clip_ends_although_the_camera_was_lost(tmp_path: Path) -> None:
    sink = opened(tmp_path, "before=0s,after=1ms")
    sink.deliver(shot(0, "crack", published_ns=1))
    sink.tick()
    assert len(films(tmp_path)) == 1


def test_another_size_begins_another_film(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    for number in range(20):
        sink.deliver(shot(number, "crack", image=image(number, *((48, 64) if number < 10 else (31, 33)))))
    sink.flush(1)
    assert [len(shown(path)[0]) for path in films(tmp_path)] == [10, 10]


def test_the_oldest_clips_are_deleted(tmp_path: Path) -> None:
    sink = opened(tmp_path, "before=0s,after=0s,max_files=2")
    for number in range(5):
        sink.deliver(shot(number, "crack"))
        sink.flush(1)
    assert len(films(tmp_path)) == 2
    assert sink.facts()["deleted"] == 3


def test_a_full_disk_keeps_the_clip_until_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        sink = sinks.make(f"clip:{disk}/c,trigger=crack,before=1s,after=1ms,queue=100")
        outlet = Outlet(sink, patience_s=(0.01, 0.05))
        ballast = fill(disk)
        outlet.start()
        for number in range(30):
            outlet.offer(shot(number, "crack" if number == 20 else "good"))
        until(lambda: outlet.numbers().state == "failing", "the disk is full")
        assert films(disk) == []
        ballast.unlink()
        until(lambda: sink.facts()["written"] == 1, "the clip is saved")
        outlet.stop()
        (path,) = films(disk)
        assert len(shown(path)[0]) == 11
        assert sink.facts()["lost"] == 0
        assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_clips_that_cannot_be_saved_are_bounded_and_counted(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        sink = opened(disk, "before=0s,after=0s")
        fill(disk)
        for number in range(10):
            sink.deliver(shot(number, "crack"))
        with pytest.raises(WriteError):
            sink.flush(1)
        assert (sink.facts()["unsaved"], sink.facts()["lost"]) == (4, 6)
        sink.close()
        assert sink.facts()["lost"] == 10


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="ffprobe is not installed")
def test_another_player_reads_the_film(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    for number in range(30):
        sink.deliver(shot(number, "crack" if number == 15 else "good"))
    sink.flush(1)
    command = ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-of", "json", str(films(tmp_path)[0])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    (stream,) = json.loads(done.stdout)["streams"]
    found = (stream["codec_name"], stream["width"], stream["height"], stream["nb_read_frames"], stream["r_frame_rate"])
    assert found == ("mjpeg", 64, 48, "21", "10/1")
    assert float(stream["duration"]) == pytest.approx(2.1)


@pytest.mark.parametrize("options", ["on=crack", "fps=0", "longest=1s", "trigger=", "quality=101"])
def test_what_cannot_be_is_refused(options: str) -> None:
    with pytest.raises(OptionError):
        sinks.make(f"clip:c,{options}")
