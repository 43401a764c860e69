"""The synthetic source: its schedule on a virtual clock, the code in its pixels, its faults."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from piaccel import images, sources, specs
from piaccel.errors import NotFoundError, OptionError, UnavailableError
from piaccel.frames import Frame
from piaccel.sources import Source
from piaccel.sources._code import read_code, write_code
from piaccel.sources.synthetic import Options, Synthetic
from piaccel.testing.source_compliance import SourceCompliance, taken

START_NS = 5_000_000_000
MS = 1_000_000


class Clock:
    """Stands still but for ``sleep``."""

    def __init__(self) -> None:
        self.now = START_NS

    def __call__(self) -> int:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += max(1, round(seconds * 1e9))


def opened(clock: Clock, **given: object) -> Synthetic:
    options = specs.options(Options, "synthetic", {"size": "160x120", **given})
    source = Synthetic("", options, clock, clock.sleep)
    source.open()
    return source


def read(source: Source) -> Frame:
    frame = source.read()
    assert frame is not None
    return frame


class TestSynthetic(SourceCompliance):
    name = "synthetic"

    def source(self, folder: Path) -> Source:
        return sources.make("synthetic:fps=500,frames=200,size=320x240")


class TestSyntheticAsFastAsItIsRead(SourceCompliance):
    name = "synthetic"

    def source(self, folder: Path) -> Source:
        return sources.make("synthetic:fps=0,frames=30,size=320x240")


def test_frames_lie_on_an_absolute_schedule_whatever_the_reader_does() -> None:
    clock = Clock()
    source = opened(clock, fps=30)
    seen = []
    for _ in range(3000):
        frame = read(source)
        seen.append((frame.index, frame.exposed_ns))
        clock.now += 7 * MS  # the reader's own work, which a relative schedule would add to every period
    assert seen == [(index, START_NS + round(index * 1e9 / 30)) for index in range(3000)]


def test_a_late_reader_misses_indices_and_gets_the_newest_exposure() -> None:
    clock = Clock()
    source = opened(clock, fps=100)
    assert read(source).index == 0
    clock.now = START_NS + 57 * MS
    late = read(source)
    assert (late.index, late.exposed_ns) == (5, START_NS + 50 * MS)
    assert clock.now == START_NS + 57 * MS
    following = read(source)
    assert (following.index, following.exposed_ns) == (6, START_NS + 60 * MS)
    assert clock.now == START_NS + 60 * MS


def test_as_fast_as_it_is_read_it_is_not_live_and_skips_nothing() -> None:
    clock = Clock()
    source = opened(clock, fps=0, frames=4)
    assert not source.live
    assert source.fps is None
    seen = []
    while (frame := source.read()) is not None:
        seen.append((frame.index, frame.exposed_ns))
        clock.now += 50 * MS
    assert seen == [(index, START_NS + index * 50 * MS) for index in range(4)]


def test_the_pixels_say_the_frame_s_own_index_and_time() -> None:
    clock = Clock()
    source = opened(clock, fps=25)
    for _ in range(20):
        frame = read(source)
        code = read_code(frame.image)
        assert code is not None
        assert (code.index, code.exposed_ns, code.torn) == (frame.index, frame.exposed_ns, False)
        clock.now += 31 * MS


def test_it_ends_after_so_many_of_the_schedule_those_it_skipped_included() -> None:
    clock = Clock()
    source = opened(clock, fps=100, frames=10)
    read(source)
    clock.now += 65 * MS
    assert [frame.index for frame in taken(source, 4)] == [6, 7, 8, 9]
    assert source.read() is None


def test_a_silence_shorter_than_the_longest_allowed_costs_frames_only() -> None:
    clock = Clock()
    source = opened(clock, fps=10, stall_at=3, silence="2s")
    assert [frame.index for frame in taken(source, 5)] == [0, 1, 2, 22, 23]


def test_a_longer_silence_counts_as_lost_and_ends_at_its_time() -> None:
    clock = Clock()
    source = opened(clock, fps=10, stall_at=3, silence="12s", stall="5s")
    taken(source, 3)
    fell_silent = clock.now
    for _ in range(2):
        with pytest.raises(UnavailableError, match="no frame for 5 s"):
            source.read()
        source.close()
        source.open()
    assert clock.now == fell_silent + 10_000 * MS
    first = read(source)
    assert first.exposed_ns is not None
    assert first.exposed_ns >= fell_silent + 11_900 * MS
    assert first.index == 20


def test_it_is_lost_once_when_asked_to_be() -> None:
    source = opened(Clock(), fps=10, lose_at=2)
    taken(source, 2)
    with pytest.raises(UnavailableError, match="frame 2"):
        source.read()
    source.close()
    source.open()
    assert [frame.index for frame in taken(source, 4)] == [0, 1, 2, 3]


def test_frames_change_their_size_when_asked_to() -> None:
    source = opened(Clock(), fps=10, resize_at=2, size="320x240")
    assert [frame.image.shape for frame in taken(source, 4)] == [(240, 320, 3)] * 2 + [(120, 160, 3)] * 2
    assert source.size == (120, 160)
    assert [code.index for frame in taken(source, 2) if (code := read_code(frame.image))] == [4, 5]
    source.close()
    source.open()
    assert source.size == (240, 320)


def test_time_goes_backwards_once_when_asked_to() -> None:
    source = opened(Clock(), fps=10, back_at=2)
    times = [frame.exposed_ns for frame in taken(source, 4)]
    assert times == [START_NS, START_NS + 100 * MS, START_NS - 800 * MS, START_NS + 300 * MS]


def test_a_picture_is_the_background_cut_to_the_frames_ratio(tmp_path: Path) -> None:
    picture = np.full((100, 100, 3), 200, np.uint8)
    picture[:, :, 2] = 30
    images.write_image(tmp_path / "red.png", picture)
    with sources.make(f"synthetic:{tmp_path},fps=0,size=320x160") as source:
        image = read(source).image
    assert image[80, 160].tolist() == [200, 200, 30]


def test_a_folder_s_pictures_come_in_turns(tmp_path: Path) -> None:
    for shade in (50, 90):
        images.write_image(tmp_path / f"{shade}.png", np.full((120, 160, 3), shade, np.uint8))
    with sources.make(f"synthetic:{tmp_path},fps=0,size=160x120") as source:
        shades = [int(frame.image[60, 80, 0]) for frame in taken(source, 4)]
    assert shades == [50, 90, 50, 90]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("synthetic:fps=-1", "fps"),
        ("synthetic:size=64x64", "no room"),
        ("synthetic:size=200x160,resize_at=4", "no room"),
        ("synthetic:frames=-2", "frames"),
        ("synthetic:colour=red", "colour"),
        ("synthetic:silence=2", "duration"),
    ],
)
def test_a_wrong_option_is_named(text: str, told: str) -> None:
    with pytest.raises(OptionError, match=told):
        sources.make(text)


def test_a_background_that_is_not_there_or_no_picture_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="absent"):
        sources.make(f"synthetic:{tmp_path / 'absent'}").open()
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(OptionError, match=r"text\.jpg"):
        sources.make(f"synthetic:{tmp_path}").open()


def coded(index: int, exposed_ns: int, height: int = 720, width: int = 1280) -> NDArray[np.uint8]:
    noise = np.random.default_rng(1).integers(0, 255, (height, width, 3), np.uint8)
    write_code(noise, index, exposed_ns)
    return noise


@pytest.mark.parametrize("size", [(96, 120), (97, 131), (240, 320), (719, 1277), (1080, 1920)])
@pytest.mark.parametrize(("index", "exposed_ns"), [(0, 0), (2**32 - 1, 2**64 - 1), (123456, 27_770_975_449_508)])
def test_a_code_is_read_as_it_was_written(size: tuple[int, int], index: int, exposed_ns: int) -> None:
    code = read_code(coded(index, exposed_ns, *size))
    assert code is not None
    assert (code.index, code.exposed_ns, code.torn) == (index, exposed_ns, False)


@pytest.mark.parametrize("quality", [95, 60, 30])
@pytest.mark.parametrize("size", [(1280, 720), (640, 360), (320, 320), (224, 224), (2000, 1111)])
def test_a_code_survives_resizing_and_jpeg(size: tuple[int, int], quality: int) -> None:
    resized = cv2.resize(coded(77, 10**15), size, interpolation=cv2.INTER_LINEAR)
    _, data = cv2.imencode(".jpg", resized, [cv2.IMWRITE_JPEG_QUALITY, quality])
    code = read_code(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8))
    assert code is not None
    assert (code.index, code.exposed_ns, code.torn) == (77, 10**15, False)


def test_a_frame_made_of_two_is_torn() -> None:
    image = coded(1, 1000)
    image[300:] = coded(2, 2000)[300:]
    code = read_code(image)
    assert code is not None
    assert (code.index, code.torn) == (1, True)


def test_whether_a_frame_is_torn_is_unknown_where_one_code_is_painted_over() -> None:
    for rows in (slice(0, 50), slice(680, 720)):
        image = coded(9, 1000)
        image[rows, 200:700] = 255
        code = read_code(image)
        assert code is not None
        assert (code.index, code.torn) == (9, None)


@pytest.mark.parametrize("shade", [0, 127, 255, None])
def test_no_code_is_read_where_there_is_none(shade: int | None) -> None:
    rng = np.random.default_rng(3)
    image = rng.integers(0, 255, (480, 640, 3), np.uint8) if shade is None else np.full((480, 640, 3), shade, np.uint8)
    assert read_code(image) is None
    assert read_code(image[:40, :30]) is None
