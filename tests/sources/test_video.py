"""Video files: real ones, written by OpenCV, whole and broken."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from piaccel import sources
from piaccel.errors import NotFoundError, OptionError
from piaccel.sources import Source
from piaccel.sources._code import read_code, write_code
from piaccel.sources.video import Options, Video
from piaccel.testing.source_compliance import SourceCompliance, taken

FPS = 25


def video(folder: Path, count: int = 20) -> Path:
    path = folder / "line.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (320, 240))
    assert writer.isOpened()
    for index in range(count):
        image = np.zeros((240, 320, 3), np.uint8)
        image[..., 2] = 200
        write_code(image, index, index * 1000)
        writer.write(image)
    writer.release()
    return path


class TestVideo(SourceCompliance):
    name = "video"

    def source(self, folder: Path) -> Source:
        return sources.make(str(video(folder)))


def test_every_frame_comes_once_in_its_colours_and_its_pixels_prove_it(tmp_path: Path) -> None:
    with sources.make(f"video:{video(tmp_path)}") as source:
        assert (source.size, source.fps, source.live) == ((240, 320), FPS, False)
        seen = taken(source, 20)
        assert source.read() is None
    codes = [read_code(frame.image) for frame in seen]
    assert [code and code.index for code in codes] == [frame.index for frame in seen] == list(range(20))
    assert np.abs(seen[0].image[120, 160].astype(int) - (200, 0, 0)).max() < 12


def test_at_its_own_pace_frames_lie_on_the_files_time_line_and_a_late_reader_misses_some(tmp_path: Path) -> None:
    now = [1_000_000_000]

    def sleep(seconds: float) -> None:
        now[0] += max(1, round(seconds * 1e9))

    source = Video(str(video(tmp_path)), Options(pace="real"), lambda: now[0], sleep)
    assert source.live
    assert source.delivery_clock == "schedule"
    source.open()
    first, second = taken(source, 2)
    assert (first.exposed_ns, second.exposed_ns) == (1_000_000_000, 1_040_000_000)
    now[0] += 210_000_000
    late = taken(source, 1)[0]
    assert (late.index, late.exposed_ns) == (6, 1_240_000_000)
    code = read_code(late.image)
    assert code is not None
    assert code.index == 6


def test_with_loop_it_begins_anew_and_indices_and_times_rise_on(tmp_path: Path) -> None:
    with sources.make(f"video:{video(tmp_path, 5)},loop=true") as source:
        seen = taken(source, 12)
    assert [frame.index for frame in seen] == list(range(12))
    codes = [read_code(frame.image) for frame in seen]
    assert [code and code.index for code in codes] == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]


def test_a_hole_in_the_time_line_is_a_gap_in_the_indices(tmp_path: Path) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("no ffmpeg here")
    whole, holed = video(tmp_path), tmp_path / "holed.mkv"
    cut = ["-bsf:v", "noise=drop='eq(mod(n\\,10)\\,7)'"]
    subprocess.run(["ffmpeg", "-loglevel", "error", "-i", whole, "-c", "copy", *cut, holed], check=True)
    with sources.make(str(holed)) as source:
        assert [frame.index for frame in taken(source, 18)] == [*range(7), *range(8, 17), 18, 19]


def test_frames_that_change_their_size_in_the_middle_go_on(tmp_path: Path) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("no ffmpeg here")
    parts = []
    for size in ("320x240", "160x120"):
        path = tmp_path / f"{size}.ts"
        what = ["-f", "lavfi", "-i", f"color=red:size={size}:rate=25:duration=1", "-c:v", "mpeg2video"]
        subprocess.run(["ffmpeg", "-loglevel", "error", *what, path], check=True)
        parts.append(path.read_bytes())
    both = tmp_path / "both.ts"
    both.write_bytes(b"".join(parts))
    with sources.make(str(both)) as source:
        seen = taken(source, 45)
    assert all(frame.image[60, 80, 0] > 200 for frame in seen)


def test_what_is_not_there_or_no_video_is_named_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"absent\.mp4"):
        sources.make(str(tmp_path / "absent.mp4")).open()
    for name, data in (("text.mp4", b"no video"), ("empty.avi", b""), ("cut.avi", video(tmp_path).read_bytes()[:900])):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(OptionError, match="not a video") as caught:
            sources.make(str(tmp_path / name)).open()
        assert name in str(caught.value)
    with pytest.raises(OptionError, match="pace"):
        sources.make(f"video:{tmp_path / 'line.avi'},pace=slow")
