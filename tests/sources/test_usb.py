"""USB cameras: a capture that behaves as OpenCV's V4L2 one does, and device nodes in a folder of the test's own."""

from __future__ import annotations

import errno
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from piaccel import sources, specs
from piaccel.errors import OptionError, UnavailableError
from piaccel.sources import Source, _v4l2
from piaccel.sources.usb import Options, Usb
from piaccel.testing.source_compliance import SourceCompliance, taken

CAPTURE, MULTIPLANAR_M2M, METADATA, STATED = 0x1, 0x4000, 0x800000, 0x80000000


class Capture:
    """False where it fails, never an exception; its size falls back to what the camera has."""

    def __init__(self, path: str, api: int, works: bool = True, most: int = 10**9, period_s: float = 0.002) -> None:
        assert api == cv2.CAP_V4L2
        self.path, self.works, self.most, self.period_s = path, works, most, period_s
        self.number, self.shift_ns = -1, 0
        self.told: list[int] = []
        self.values = {cv2.CAP_PROP_FRAME_WIDTH: 640.0, cv2.CAP_PROP_FRAME_HEIGHT: 480.0, cv2.CAP_PROP_FPS: 30.0}
        self.decoded: list[int] = []
        self.silent = threading.Event()
        self.released = False

    def isOpened(self) -> bool:
        return self.works

    def set(self, what: int, value: float) -> bool:
        self.told.append(what)
        if what == cv2.CAP_PROP_FRAME_WIDTH and value not in (320, 640):
            return False
        self.values[what] = value
        return True

    def get(self, what: int) -> float:
        if what == cv2.CAP_PROP_POS_MSEC:
            return (self.taken_ns + self.shift_ns) / 1e6
        return self.values.get(what, -1.0)

    def grab(self) -> bool:
        time.sleep(self.period_s)
        while self.silent.is_set() and not self.released:
            time.sleep(0.005)
        self.number += 1
        self.taken_ns = time.monotonic_ns()
        return self.number < self.most

    def retrieve(self) -> tuple[bool, Any]:
        self.decoded.append(self.number)
        if self.number == 3:
            return False, None
        height, width = (int(self.values[what]) for what in (cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH))
        image = np.full((height, width, 3), (50, 100, 200), np.uint8)  # blue, green, red
        image[0, 0] = self.number % 256
        return True, image

    def release(self) -> None:
        self.released = True


def querycap(cards: dict[str, tuple[str, str, int]]) -> _v4l2.Ioctl:
    """An ioctl that answers for each node by its name, found through the open file's path."""

    def ioctl(handle: int, request: int, data: bytearray) -> int:
        assert request == 0x80685600
        name = Path(f"/proc/self/fd/{handle}").resolve().name
        if name not in cards:
            raise OSError(errno.ENOTTY, "Inappropriate ioctl for device")
        driver, card, capabilities = cards[name]
        data[:] = struct.pack("16s32s32s3I12x", driver.encode(), card.encode(), b"usb-1", 1, 0x84200001, capabilities)
        return 0

    return ioctl


CARDS = {
    "video0": ("uvcvideo", "HD Webcam", CAPTURE),
    "video1": ("uvcvideo", "HD Webcam", METADATA),
    "video10": ("bcm2835-codec", "bcm2835-codec-decode", MULTIPLANAR_M2M),
    "video14": ("bcm2835-isp", "bcm2835-isp-capture0", CAPTURE),
    "video2": ("uvcvideo", "Microscope", CAPTURE),
}


def nodes(dev: Path) -> Path:
    (dev / "v4l/by-id").mkdir(parents=True)
    for name in (*CARDS, "video7"):
        (dev / name).touch()
    (dev / "v4l/by-id/usb-HD_Webcam-index0").symlink_to(dev / "video0")
    return dev


def made(dev: Path, target: str = "0", capture: Callable[[str, int], Any] = Capture, **given: object) -> Usb:
    options = specs.options(Options, "usb", {"size": "320x240", **given})
    return Usb(target, options, capture, dev, querycap(CARDS))


class TestUsb(SourceCompliance):
    name = "usb"
    endless = True

    def source(self, folder: Path) -> Source:
        return made(nodes(folder))


@pytest.fixture
def dev(tmp_path: Path) -> Path:
    return nodes(tmp_path)


def test_codecs_isps_and_metadata_are_no_cameras(dev: Path) -> None:
    found = _v4l2.cameras(dev, querycap(CARDS))
    assert [(camera.path.name, camera.card) for camera in found] == [
        ("usb-HD_Webcam-index0", "HD Webcam"),
        ("video2", "Microscope"),
    ]


def test_blue_and_red_are_put_right(dev: Path) -> None:
    with made(dev) as source:
        assert taken(source, 1)[0].image[5, 5].tolist() == [200, 100, 50]


def test_the_format_is_set_before_the_size(dev: Path) -> None:
    opened: list[Capture] = []

    def capture(path: str, api: int) -> Capture:
        opened.append(Capture(path, api))
        return opened[-1]

    with made(dev, capture=capture, format="YUYV"):
        pass
    assert opened[0].told[:3] == [cv2.CAP_PROP_FOURCC, cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT]
    assert opened[0].values[cv2.CAP_PROP_FOURCC] == cv2.VideoWriter.fourcc(*"YUYV")
    assert opened[0].released


def test_the_size_is_the_one_the_camera_has(dev: Path) -> None:
    with made(dev, size="1000x480") as source:
        assert source.size == (480, 640)


def test_frames_nobody_asked_for_are_counted_and_not_decoded(dev: Path) -> None:
    capture = Capture(str(dev / "video0"), cv2.CAP_V4L2)
    with made(dev, capture=lambda path, api: capture) as source:
        taken(source, 1)
        begin = capture.number
        while capture.number < begin + 20:
            time.sleep(0.005)
        asked_ns = time.monotonic_ns()
        frame = taken(source, 1)[0]
        assert frame.index >= begin + 20
        assert frame.image[0, 0, 0] == frame.index % 256
        assert (frame.exposed_ns or 0) >= asked_ns
    assert len(capture.decoded) < 10


def test_a_damaged_picture_is_passed_over(dev: Path) -> None:
    with made(dev, capture=lambda path, api: Capture(path, api, period_s=0.01)) as source:
        assert 3 not in [frame.index for frame in taken(source, 6)]


@pytest.mark.parametrize("shift_s", [-(10**6), 10**6])
def test_a_driver_s_time_of_another_clock_is_replaced_by_the_arrival(dev: Path, shift_s: int) -> None:
    capture = Capture("", cv2.CAP_V4L2)
    capture.shift_ns = shift_s * 10**9
    with made(dev, capture=lambda path, api: capture) as source:
        before_ns = time.monotonic_ns()
        assert before_ns <= (taken(source, 1)[0].exposed_ns or 0) <= time.monotonic_ns()


def test_an_unplugged_camera_is_told_and_comes_back_by_its_name(dev: Path) -> None:
    link = dev / "v4l/by-id/usb-HD_Webcam-index0"
    opened: list[str] = []

    def capture(path: str, api: int) -> Capture:
        opened.append(Path(path).name)
        return Capture(path, api, most=3 if len(opened) == 1 else 100)

    source = made(dev, str(link), capture)
    source.open()
    link.unlink()
    with pytest.raises(UnavailableError, match="unplugged"):
        taken(source, 4)
    source.close()
    with pytest.raises(UnavailableError, match="no such camera") as caught:
        source.open()
    assert "Microscope" in caught.value.hint
    link.symlink_to(dev / "video2")
    source.open()
    taken(source, 2)
    source.close()
    assert opened == ["video0", "video2"]


def test_a_silent_camera_is_lost_after_stall(dev: Path) -> None:
    capture = Capture("", cv2.CAP_V4L2)
    source = made(dev, capture=lambda path, api: capture, stall="50ms")
    source.open()
    taken(source, 1)
    capture.silent.set()
    with pytest.raises(UnavailableError, match=r"no frame for 0\.05 s"):
        taken(source, 3)
    capture.silent.clear()
    source.close()


def test_a_camera_another_program_has_is_told(dev: Path) -> None:
    with pytest.raises(UnavailableError, match="another program has it") as caught:
        made(dev, capture=lambda path, api: Capture(path, api, works=False)).open()
    assert "fuser -v" in caught.value.hint


def test_a_missing_camera_names_those_there_are(dev: Path, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="usb:9: no such camera") as caught:
        made(dev, "9").open()
    assert "usb-HD_Webcam-index0 (HD Webcam)" in caught.value.hint
    with pytest.raises(UnavailableError, match="no USB camera is connected"):
        made(tmp_path / "nothing", "").open()


def test_a_node_that_may_not_be_opened_names_the_group(dev: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may open everything
    with pytest.raises(UnavailableError, match="may not open") as caught:
        made(dev).open()
    assert "usermod -aG video" in caught.value.hint


def test_without_a_name_it_is_the_first_camera(dev: Path) -> None:
    opened: list[str] = []

    def capture(path: str, api: int) -> Capture:
        opened.append(Path(path).name)
        return Capture(path, api)

    with made(dev, "", capture):
        pass
    assert opened == ["video0"]


def test_a_bare_device_node_is_meant_for_it() -> None:
    assert isinstance(sources.make("/dev/video3"), Usb)
    assert isinstance(sources.make("/dev/v4l/by-id/usb-x-index0,size=640x480"), Usb)


@pytest.mark.parametrize("option", ["size=0x10", "buffers=0", "fps=0", "format=H264"])
def test_a_wrong_option_is_named(option: str) -> None:
    with pytest.raises(OptionError, match=option.partition("=")[0]):
        sources.make(f"usb:{option}")
