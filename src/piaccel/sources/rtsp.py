"""A network camera: ``rtsp://user:password@camera/stream``, ``rtsps://...``, or MJPEG over ``http://camera/video``."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from piaccel import sources
from piaccel.errors import OptionError, UnavailableError
from piaccel.frames import Frame
from piaccel.sources import _network_camera
from piaccel.sources._capture import Capture


@dataclass(frozen=True, kw_only=True)
class Options(sources.Options):
    transport: Literal["tcp", "udp"] = "tcp"
    """Of rtsp; udp has less delay and loses packets."""
    threads: int = 1
    """The decoder's; each one more may delay frames by one."""


class Rtsp(sources.Source):
    """Gives the newest frame: a thread reads on whether or not anybody takes them, so that none grows old in a buffer.

    ``exposed_ns`` is when the frame was decoded here: later than its exposure by the camera's encoder and the network.
    """

    options = Options
    schemes = ("rtsps", "http", "https")

    def __init__(self, target: str, options: sources.Options, clock: Callable[[], int] = time.monotonic_ns) -> None:
        super().__init__(target, options)
        self._chosen = cast(Options, options)
        self._clock = clock
        self._reader: _Reader | None = None
        if self._chosen.threads < 1:
            raise OptionError(f"rtsp: threads is {self._chosen.threads}, expected 1 or more")
        self._shown = _network_camera.without_secrets(target)

    def open(self) -> None:
        """Connect and wait for the first frame. Raises OptionError for what is no URL, else UnavailableError."""
        self.close()
        if urlsplit(self.target).scheme not in ("rtsp", *self.schemes):
            raise OptionError(f"{self}: not a camera's URL", hint="write rtsp://HOST/PATH or http://HOST/PATH")
        chosen = self._chosen
        ffmpeg = {"rtsp_transport": chosen.transport, "fflags": "nobuffer"}
        try:
            capture = Capture(self.target, chosen.stall_s, chosen.threads, ffmpeg)
        except UnavailableError as error:
            reason, hint = _network_camera.why_not(self.target, chosen.stall_s)
            raise UnavailableError(f"{self}: {reason}", hint=hint) from error
        self.fps = capture.fps
        self._reader = _Reader(capture, self._clock)
        try:
            self.size = self._reader.size(chosen.stall_s)
        except UnavailableError as error:
            self.close()
            raise UnavailableError(f"{self}: {error}") from error

    def read(self) -> Frame | None:
        """Wait for a frame newer than the last. Raises UnavailableError when there is none for ``stall_s``."""
        if self._reader is None:
            raise UnavailableError(f"{self} is closed")
        try:
            frame = self._reader.take(self._chosen.stall_s)
        except UnavailableError as error:
            raise UnavailableError(f"{self}: {error}") from error
        self.size = (frame.image.shape[0], frame.image.shape[1])
        return frame

    def close(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.stop()

    def __str__(self) -> str:
        return self._shown


class _Reader:
    """Reads a stream in a thread, which owns it, and keeps the newest frame. Each index is one decoded frame."""

    def __init__(self, capture: Capture, clock: Callable[[], int]) -> None:
        self._capture, self._clock = capture, clock
        self._changed = threading.Condition()
        self._newest: Frame | None = None
        self._over = self._stopping = False
        self._thread = threading.Thread(target=self._run, name="piaccel-rtsp", daemon=True)
        self._thread.start()

    def size(self, patience_s: float) -> tuple[int, int]:
        """Of the frame that is there; waits for the first."""
        image: NDArray[np.uint8] = self._wait(patience_s).image
        return image.shape[0], image.shape[1]

    def take(self, patience_s: float) -> Frame:
        frame = self._wait(patience_s)
        with self._changed:
            frame, self._newest = self._newest or frame, None
        return frame

    def stop(self, wait_s: float = 1.0) -> None:
        """A thread that waits for a silent camera ends by itself after the read's time-out, and closes the stream."""
        self._stopping = True
        self._thread.join(wait_s)

    def _wait(self, patience_s: float) -> Frame:
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._over, patience_s)
            if self._newest is not None:
                return self._newest
            raise UnavailableError("the stream has ended" if self._over else f"no frame for {patience_s:g} s")

    def _run(self) -> None:
        index = 0
        try:
            while not self._stopping and self._capture.grab():
                arrived_ns = self._clock()
                image = self._capture.image()
                if image is not None:
                    with self._changed:
                        self._newest = Frame(image, index, arrived_ns)
                        self._changed.notify_all()
                del image
                index += 1
        finally:
            with self._changed:
                self._over = True
                self._changed.notify_all()
            self._capture.release()
