"""Pictures for people who watch: annotated, small, few, and made only while somebody looks."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from piaccel.images import encode_jpeg
from piaccel.sinks import Event

WIDTH = 960
QUALITY = 75
NICE = 10
LINGER_S = 2.0
"""So long after a picture was asked for, pictures are kept."""
_log = logging.getLogger("piaccel")


class Preview:
    """The newest picture of one stream as JPEG; one thread draws it for all viewers, at most ``fps`` times a second."""

    def __init__(self, picture: Callable[[], Event | None], fps: float) -> None:
        self._picture = picture
        self._period_s = 1 / fps
        self._change = threading.Condition()
        self._viewers = 0
        self._thread: threading.Thread | None = None
        self._jpeg = b""
        self._number = 0
        self._asked = -float("inf")
        self._over = threading.Event()
        self.encoded = 0
        """Pictures that were encoded."""

    @property
    def wanted(self) -> bool:
        """Whether a viewer watches, or asked within the last ``LINGER_S``."""
        return self._viewers > 0 or time.monotonic() - self._asked < LINGER_S

    def __enter__(self) -> Preview:
        with self._change:
            self._viewers += 1
            self._asked = time.monotonic()
            if self._thread is None and not self._over.is_set():
                self._number, self._jpeg = 0, b""
                self._thread = threading.Thread(target=self._run, name="piaccel-preview", daemon=True)
                self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._change:
            self._viewers -= 1
            self._asked = time.monotonic()

    def stop(self) -> None:
        """End the drawing for good: a thread that Python ends while it is in C++ code takes the process along."""
        with self._change:
            self._over.set()
            thread = self._thread
        if thread is not None:
            thread.join(10.0)

    def newer(self, number: int, seconds: float) -> tuple[int, bytes]:
        """Wait up to ``seconds`` for a picture newer than ``number`` (0: any); return the newest, (0, b"") is none."""
        with self._change:
            self._change.wait_for(lambda: self._number > number, seconds)
            return self._number, self._jpeg

    def _run(self) -> None:
        background()
        last: Event | None = None
        while True:
            started = time.monotonic()
            with self._change:
                if self._over.is_set() or not self.wanted:
                    self._thread = None
                    self._jpeg = b""
                    return
            event = self._picture()
            if event is not None and event is not last and event.image is not None:
                last = event
                try:
                    data = jpeg(event)
                except Exception as error:  # noqa: BLE001 - a picture that cannot be drawn must not end the watching
                    _log.warning("no picture of %s: %s: %s", event.stream, type(error).__name__, error)
                else:
                    with self._change:
                        self._jpeg, self._number = data, self._number + 1
                        self.encoded += 1
                        self._change.notify_all()
            self._over.wait(max(0.005, self._period_s - (time.monotonic() - started)))


def jpeg(event: Event) -> bytes:
    """Return the annotated picture as JPEG, at most ``WIDTH`` wide; b"" without a picture."""
    import cv2

    image: NDArray[np.uint8] | None = event.drawn()
    if image is None:
        return b""
    height, width = image.shape[:2]
    if width > WIDTH:
        size = (WIDTH, max(1, round(height * WIDTH / width)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    return encode_jpeg(image, QUALITY)


def background() -> None:
    """Give the calling thread a low priority; Linux has one for each thread (setpriority(2), "C library/kernel")."""
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
    except OSError as error:
        _log.debug("the preview keeps its priority: %s", error)
