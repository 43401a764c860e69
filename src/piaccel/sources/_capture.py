"""OpenCV's FFmpeg reader for files and network streams: quiet, with time-outs, RGB out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from piaccel import chatter
from piaccel.errors import UnavailableError
from piaccel.frames import Pool

_FFMPEG_QUIET = "-8"
_environment = Lock()


class Capture:
    """One open file or stream, for one thread. Raises UnavailableError when it cannot be opened.

    FFmpeg is told ``ffmpeg`` (key -> value) through OPENCV_FFMPEG_CAPTURE_OPTIONS, the only way there is, unless the
    user has set that himself. ``threads`` is the decoder's; 0 leaves it to OpenCV.
    """

    def __init__(
        self, address: str, timeout_s: float, threads: int = 0, ffmpeg: Mapping[str, str] | None = None
    ) -> None:
        import cv2

        self._cv2 = cv2
        timeout_ms = max(1, round(timeout_s * 1000))
        settings = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, timeout_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, timeout_ms]
        if threads:
            settings += [cv2.CAP_PROP_N_THREADS, threads]
        with _told(ffmpeg or {}), _silent(cv2):
            self._capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG, settings)
        if not self._capture.isOpened():
            raise UnavailableError("cannot be opened")
        self._pool = Pool()
        self._bgr: NDArray[np.uint8] | None = None
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps: float | None = rate if 0 < rate < 1e4 else None
        """The rate that the container states, None where it states none."""

    def grab(self) -> bool:
        """Wait for the next frame; False at the end, or after the time-out."""
        return bool(self._capture.grab())

    def position_ns(self) -> int:
        """The grabbed frame's place on the file's own time line."""
        return round(self._capture.get(self._cv2.CAP_PROP_POS_MSEC) * 1e6)

    def image(self) -> NDArray[np.uint8] | None:
        """Return the grabbed frame, uint8 (H, W, 3) RGB, the caller's own; None where it cannot be converted."""
        whole, bgr = self._capture.retrieve(self._bgr)
        if not whole or bgr is None or bgr.ndim != 3:
            return None
        self._bgr = bgr
        image = self._pool.take(bgr.shape[0], bgr.shape[1])
        self._cv2.cvtColor(bgr, self._cv2.COLOR_BGR2RGB, dst=image)
        return image

    def release(self) -> None:
        self._capture.release()


@contextmanager
def _told(ffmpeg: Mapping[str, str]) -> Iterator[None]:
    """The process' environment is changed for one opening at a time."""
    told = {"OPENCV_FFMPEG_CAPTURE_OPTIONS": "|".join(f"{key};{value}" for key, value in ffmpeg.items())}
    if not chatter.verbose():
        told["OPENCV_FFMPEG_LOGLEVEL"] = _FFMPEG_QUIET
    with _environment:
        ours = {key: value for key, value in told.items() if value and key not in os.environ}
        os.environ.update(ours)
        try:
            yield
        finally:
            for key in ours:
                os.environ.pop(key, None)


@contextmanager
def _silent(cv2: Any) -> Iterator[None]:
    """OpenCV warns on stderr of what we tell in one line. Not ``chatter.quiet``: an opening may take seconds."""
    if chatter.verbose():
        yield
        return
    levels = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging  # the first in OpenCV 4, the second in 5
    before = levels.getLogLevel()
    levels.setLogLevel(0)
    try:
        yield
    finally:
        levels.setLogLevel(before)
