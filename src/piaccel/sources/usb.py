"""A USB camera through V4L2: ``usb``, ``usb:2`` (/dev/video2), ``usb:/dev/v4l/by-id/NAME``.

API: OpenCV's modules/videoio/src/cap_v4l.cpp.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Condition, Thread
from typing import Any, Literal, cast

from piaccel import sources
from piaccel.errors import OptionError, UnavailableError
from piaccel.frames import Frame, Pool
from piaccel.sources import _v4l2

_OLDEST_NS = 2_000_000_000
"""A driver's time further back than this is of another clock."""


@dataclass(frozen=True, kw_only=True)
class Options(sources.Options):
    size: tuple[int, int] = (1280, 720)
    """WIDTHxHEIGHT; the camera takes the nearest that it has."""
    fps: float = 30.0
    format: Literal["MJPG", "YUYV"] = "MJPG"
    """MJPG fits large pictures through USB 2 and has to be decoded; YUYV costs less processor and more bus."""
    buffers: int = 2
    """Of the driver. With 1 a camera has nowhere to put a picture while the last one is decoded and loses every other
    one; age does not come from here, as a thread empties them at once."""


class Usb(sources.Source):
    """A thread takes each picture off the driver as it comes, and decodes only one that somebody waits for.

    So what ``read`` returns came in after it was asked for, or at most while the picture before it was decoded. Frames
    that nobody asked for are counted by the index. ``exposed_ns`` is the driver's time of the frame (CLOCK_MONOTONIC in
    uvcvideo, at the beginning of its transfer, so later than the exposure), or the arrival
    where that is none of our clock.
    """

    options = Options

    def __init__(
        self,
        target: str,
        options: sources.Options,
        capture: Callable[[str, int], Any] | None = None,
        dev: Path = Path("/dev"),
        ioctl: _v4l2.Ioctl = fcntl.ioctl,
    ) -> None:
        super().__init__(target, options)
        self._chosen = chosen = cast(Options, options)
        if min(chosen.size) < 1 or chosen.fps <= 0 or not 1 <= chosen.buffers <= 10:
            raise OptionError("usb: size and fps must be more than 0, buffers 1 to 10")
        self._capture, self._dev, self._ioctl = capture, dev, ioctl
        self._reader: _Reader | None = None

    @classmethod
    def accepts(cls, target: str) -> bool:
        return target.startswith(("/dev/video", "/dev/v4l/"))

    def __str__(self) -> str:
        return f"usb:{self.target}".rstrip(":")

    def open(self) -> None:
        """Start the camera. Raises UnavailableError naming the cameras that there are, or what is in the way."""
        import cv2

        self.close()
        path = self._path()
        capture = (self._capture or cv2.VideoCapture)(str(path.resolve()), cv2.CAP_V4L2)
        if not capture.isOpened():
            capture.release()
            raise UnavailableError(
                f"{self}: the camera cannot be opened: another program has it, or it is none",
                hint=f"see who has it with: fuser -v {path}",
            )
        chosen = self._chosen
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*chosen.format))  # before the size, which it limits
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, chosen.size[0])
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, chosen.size[1])
        capture.set(cv2.CAP_PROP_FPS, chosen.fps)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, chosen.buffers)
        self.size = (int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)), int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)))
        rate = capture.get(cv2.CAP_PROP_FPS)
        self.fps = rate if rate > 0 else None
        self._reader = _Reader(capture, path, str(self))
        self._reader.start()

    def read(self) -> Frame | None:
        """Wait for the next frame."""
        if self._reader is None:
            raise UnavailableError(f"{self} is closed")
        frame = self._reader.next(self._chosen.stall_s)
        self.size = (frame.image.shape[0], frame.image.shape[1])
        return frame

    def close(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.end()

    def _path(self) -> Path:
        if not self.target:
            found = _v4l2.cameras(self._dev, self._ioctl)
            if not found:
                raise UnavailableError("no USB camera is connected", hint=self._others())
            return found[0].path
        path = self._dev / f"video{self.target}" if self.target.isdigit() else Path(self.target)
        if not path.exists():
            raise UnavailableError(f"{self}: no such camera", hint=self._others())
        if not os.access(path, os.R_OK | os.W_OK):
            raise UnavailableError(
                f"{self}: you may not open {path}", hint='sudo usermod -aG video "$USER", then log in again'
            )
        return path

    def _others(self) -> str:
        found = _v4l2.cameras(self._dev, self._ioctl)
        if found:
            return f"connected: {', '.join(map(str, found))}"
        return "see what the bus has with: lsusb; a ribbon camera is picamera"


class _Reader(Thread):
    """The only one to touch the capture, which may be blocked in the driver for 10 s; it gives it back itself."""

    def __init__(self, capture: Any, path: Path, name: str) -> None:
        super().__init__(name="piaccel-usb", daemon=True)
        self._capture, self._path, self._source = capture, path, name
        self._changed = Condition()
        self._wanted = self._over = False
        self._frame: Frame | None = None
        self._pool = Pool()
        self._last_ns = 0

    def next(self, patience_s: float) -> Frame:
        """Wait for a frame. Raises UnavailableError after ``patience_s`` or when the camera is gone."""
        with self._changed:
            self._frame, self._wanted = None, True
            self._changed.wait_for(lambda: self._frame is not None or self._over, patience_s)
            frame, self._frame = self._frame, None
            over = self._over
        if frame is not None:
            return frame
        if not self._path.exists():
            raise UnavailableError(f"{self._source}: the camera was unplugged", hint=f"plug it in: {self._path}")
        told = "the camera gives no frames any more" if over else f"no frame for {patience_s:g} s"
        raise UnavailableError(f"{self._source}: {told}", hint="check the cable and the power supply (piaccel doctor)")

    def end(self) -> None:
        with self._changed:
            self._over = True
        self.join(1.0)

    def run(self) -> None:
        index = -1
        try:
            while not self._over and self._capture.grab():
                index += 1
                exposed_ns = self._exposed_ns()
                if self._wanted and (image := self._image()) is not None:
                    with self._changed:
                        self._frame, self._wanted = Frame(image, index, exposed_ns), False
                        self._changed.notify_all()
                    del image
        finally:
            self._capture.release()
            with self._changed:
                self._over = True
                self._changed.notify_all()

    def _exposed_ns(self) -> int:
        """CAP_PROP_POS_MSEC is the time in the driver's buffer."""
        now_ns = time.monotonic_ns()
        driver_ns = round(self._capture.get(0) * 1e6)  # cv2.CAP_PROP_POS_MSEC
        exposed_ns = driver_ns if 0 <= now_ns - driver_ns < _OLDEST_NS else now_ns
        self._last_ns = max(self._last_ns, exposed_ns)
        return self._last_ns

    def _image(self) -> Any:
        import cv2

        whole, bgr = self._capture.retrieve()
        if not whole or bgr is None or bgr.ndim != 3:  # a damaged JPEG
            return None
        image = self._pool.take(bgr.shape[0], bgr.shape[1])
        cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB, dst=image)
        return image
