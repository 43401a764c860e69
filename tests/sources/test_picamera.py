"""Ribbon cameras, played by a fake of picamera2: order of colours, stride, age, lost frames, and what fails."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from piaccel import picamera, sources
from piaccel.errors import OptionError, PiaccelError, UnavailableError
from piaccel.sources import Source
from piaccel.testing import imx500
from piaccel.testing.imx500 import pixels
from piaccel.testing.source_compliance import SourceCompliance, taken


class TestPiCamera(SourceCompliance):
    name = "picamera"
    endless = True
    libraries = ("cv2", "picamera2")

    @pytest.fixture(autouse=True)
    def fake(self) -> Iterator[None]:
        with imx500.fake(cameras=("imx708",), paced=True):
            yield

    def source(self, folder: Path) -> Source:
        return sources.make("picamera:fps=200,size=320x240")


class TestPiCameraLores(TestPiCamera):
    def source(self, folder: Path) -> Source:
        return sources.make("picamera:fps=200,size=230x180,stream=lores")


@pytest.fixture
def fake() -> Iterator[None]:
    with imx500.fake(cameras=("imx708", "ov5647")):
        yield


def refused(text: str = "picamera", frames: int = 0, **settings: object) -> PiaccelError:
    with imx500.fake(**({"cameras": ("imx708",)} | settings)):
        source = sources.make(text)
        with pytest.raises(UnavailableError) as caught:
            opened_and_read(source, frames + 1)
        source.close()
    assert len(str(caught.value).splitlines()) == 1
    return caught.value


def opened_and_read(source: Source, frames: int) -> None:
    source.open()
    taken(source, frames)


@pytest.mark.parametrize("options", ["", ",stream=lores"])
@pytest.mark.parametrize("size", [(224, 224), (230, 180), (640, 480), (1280, 720)])
@pytest.mark.parametrize("platform", ["vc4", "pisp"])
def test_red_rises_to_the_right_and_green_downwards(options: str, size: tuple[int, int], platform: str) -> None:
    width, height = size
    with (
        imx500.fake(cameras=("imx708",), platform=platform),
        sources.make(f"picamera:size={width}x{height}{options}") as source,
    ):
        assert source.size == (height, width)
        image = taken(source, 1)[0].image.astype(int)
    expected = pixels.seen("imx708", 0, size, None).astype(int)
    tolerance = 6 if options else 0  # chroma has half the resolution
    assert np.abs(image - expected)[2:, 2:].max() <= tolerance
    assert image.shape == (height, width, 3)


def test_a_picture_can_be_turned_over(fake: object) -> None:
    with sources.make("picamera:size=320x240,hflip=true,vflip=true") as source:
        image = taken(source, 1)[0].image
    assert image[5, 5, 0] > 240
    assert image[5, 5, 1] > 240
    assert image[-1, -1, 0] < 10


def test_a_camera_is_chosen_by_its_number_or_its_model(fake: object) -> None:
    for text in ("picamera", "picamera:0", "picamera:1", "picamera:imx708", "picamera:ov5647"):
        with sources.make(text) as source:
            taken(source, 2)
    error = refused("picamera:imx477", cameras=("imx708", "ov5647"))
    assert str(error) == "picamera:imx477: no such camera"
    assert error.hint == "connected: 0 (imx708), 1 (ov5647)"


def test_lost_frames_are_counted_from_the_sensor_s_timestamps() -> None:
    with imx500.fake(cameras=("imx708",), dropped=(2, 3, 6)), sources.make("picamera") as source:
        frames = taken(source, 5)
    assert [frame.index for frame in frames] == [0, 1, 4, 5, 7]
    assert [frame.image[0, 0, 2] for frame in frames] == [0, 1, 4, 5, 7]
    times = [frame.exposed_ns or 0 for frame in frames]
    assert [round((each - times[0]) / 33_333_000) for each in times] == [0, 1, 4, 5, 7]


def test_a_frame_and_its_time_are_of_one_request(fake: object) -> None:
    with sources.make("picamera:fps=50") as source:
        frames = taken(source, 4)
    begin = frames[0].exposed_ns or 0
    assert [((frame.exposed_ns or 0) - begin) // 20_000_000 for frame in frames] == [0, 1, 2, 3]
    assert [int(frame.image[0, 0, 2]) for frame in frames] == [0, 1, 2, 3]


def test_a_frame_that_lay_waiting_is_never_given() -> None:
    with imx500.fake(cameras=("imx708",), paced=True), sources.make("picamera:fps=50,size=320x240") as source:
        taken(source, 1)
        time.sleep(0.1)
        asked_ns = time.monotonic_ns()
        frame = taken(source, 1)[0]
    assert frame.exposed_ns is not None
    assert frame.exposed_ns + 10_000_000 >= asked_ns  # read out after it was asked for


def test_a_fresh_frame_s_exposure_begins_after_it_was_asked_for() -> None:
    text = "picamera:fps=50,size=320x240,fresh=true,exposure_us=8000"
    with imx500.fake(cameras=("imx708",), paced=True), sources.make(text) as source:
        for _ in range(3):
            asked_ns = time.monotonic_ns()
            frame = taken(source, 1)[0]
            assert frame.exposed_ns is not None
            assert frame.exposed_ns - 8_000_000 >= asked_ns


def test_a_silent_camera_is_lost_after_stall_and_can_be_opened_again() -> None:
    source = sources.make("picamera:stall=50ms,size=320x240")
    with imx500.fake(cameras=("imx708",), lost_after=2):
        source.open()
        taken(source, 2)
        with pytest.raises(UnavailableError, match=r"no frame for 0\.05 s"):
            source.read()
        source.close()
        source.open()
        assert [frame.index for frame in taken(source, 2)] == [0, 1]
        source.close()


def test_a_camera_that_disappears_is_told() -> None:
    error = refused(lost_after=1, loss="error", frames=1)
    assert "Camera frontend has timed out!" in str(error)
    assert "ribbon" in error.hint


def test_each_failure_says_what_mends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "another program has it" in str(refused(busy=True))
    assert "ribbon cable" in refused(cameras=()).hint
    assert "simplejpeg" in refused(import_error="numpy").hint
    assert "apt" in refused(import_error="libcamera").hint
    monkeypatch.setattr(picamera, "SYSTEM_PACKAGES", tmp_path)
    with pytest.raises(UnavailableError, match="not installed") as caught:
        sources.make("picamera").open()
    assert caught.value.hint == "sudo apt install python3-picamera2"
    (tmp_path / "picamera2").mkdir()
    with pytest.raises(UnavailableError) as caught:
        sources.make("picamera").open()
    assert "--system-site-packages" in caught.value.hint


def test_a_second_source_finds_the_camera_busy(fake: object) -> None:
    with sources.make("picamera"), pytest.raises(UnavailableError, match="cannot be opened"):
        sources.make("picamera").open()
    with sources.make("picamera") as source:  # the first gave it back
        taken(source, 1)


@pytest.mark.parametrize("option", ["size=321x240", "fps=0", "exposure_us=-1", "gain=-1", "stream=raw", "colour=red"])
def test_a_wrong_option_is_named(option: str) -> None:
    with pytest.raises(OptionError, match=option.partition("=")[0]):
        sources.make(f"picamera:{option}")
