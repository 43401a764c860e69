"""A video file, as fast as it is read or at its own pace: ``video:line.mp4,pace=real,loop=true``."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from piaccel import images, sources
from piaccel.errors import NotFoundError, OptionError, UnavailableError
from piaccel.frames import Frame
from piaccel.sources._capture import Capture

SUFFIXES = (".avi", ".h264", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv")
_USUAL_FPS = 25.0
_MOST_SKIPPED = 60
"""In one ``read``; a decoder slower than the video never catches up."""


@dataclass(frozen=True, kw_only=True)
class Options(sources.Options):
    pace: Literal["fast", "real"] = "fast"
    """fast: as fast as it is read, every frame. real: as a camera, exposed on the file's own time line; who reads late
    misses frames."""
    loop: bool = False


class Video(sources.Source):
    """Indices jump where the file's time line has a hole: frames that could not be decoded.

    A file whose frames do not lie on a steady grid (a phone's) tells nothing about lost frames; its indices just count.
    """

    options = Options

    def __init__(
        self,
        target: str,
        options: sources.Options,
        clock: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(target, options)
        self._chosen = cast(Options, options)
        self._clock, self._sleep = clock, sleep
        self.live = self._chosen.pace == "real"
        if self.live:
            self.delivery_clock = "schedule"
        self._capture: Capture | None = None
        self._ended = self._grabbed = False
        self._index, self._steady = -1, True
        self._t0_ns: int | None = None
        self._place_ns = self._base_ns = self._first_ns = 0

    @classmethod
    def accepts(cls, target: str) -> bool:
        path = Path(target)
        if "://" in target or path.suffix.lower() in images.SUFFIXES:
            return False
        return path.suffix.lower() in SUFFIXES or path.is_file()

    def open(self) -> None:
        """Open the file and decode its first frame. Raises NotFoundError, or OptionError when it is no video."""
        self.close()
        if not self.target:
            raise OptionError("video needs a file", hint="write video:FILE")
        if not Path(self.target).exists():
            raise NotFoundError(f"{self.target}: no such file")
        self._ended = False
        self._index, self._steady, self._t0_ns = -1, True, None
        self._place_ns = self._base_ns = 0
        self._start()
        assert self._capture is not None
        image = self._capture.image()
        if image is None:
            self.close()
            raise OptionError(f"{self.target}: its frames cannot be converted to RGB")
        self.size = (image.shape[0], image.shape[1])

    def read(self) -> Frame | None:
        """Return the next frame, None after the last. Raises UnavailableError when it is closed."""
        if self._ended:
            return None
        if self._capture is None:
            raise UnavailableError(f"{self} is closed")
        while self._advance():
            due_ns = self._due_ns()
            image = self._capture.image()
            if image is None:
                continue
            self.size = (image.shape[0], image.shape[1])
            return Frame(image, self._index, due_ns)
        self.close()
        self._ended = True
        return None

    def close(self) -> None:
        capture, self._capture = self._capture, None
        self._ended = False
        if capture is not None:
            capture.release()

    def _start(self) -> None:
        """Open the file at its beginning and grab the first frame."""
        if self._capture is not None:
            self._capture.release()
        try:
            self._capture = Capture(self.target, self._chosen.stall_s)
            self._grabbed = self._capture.grab()
        except UnavailableError:
            self._grabbed = False
        if not self._grabbed:
            self.close()
            raise OptionError(
                f"{self.target}: not a video that OpenCV can read, or one that is cut off",
                hint=f"ffmpeg -i {self.target} tells what is in it",
            )
        assert self._capture is not None
        self.fps = self._capture.fps
        self._first_ns = self._capture.position_ns()

    def _advance(self) -> bool:
        """Come to the next frame that is not late; False at the end."""
        period_ns = round(1e9 / (self.fps or _USUAL_FPS))
        for _ in range(_MOST_SKIPPED):
            if not self._next(period_ns):
                return False
            if not self.live or self._t0_ns is None or self._clock() <= self._t0_ns + self._place_ns + period_ns:
                break
        return True

    def _next(self, period_ns: int) -> bool:
        capture = self._capture
        assert capture is not None
        if not self._grabbed and not capture.grab():
            if not self._chosen.loop:
                return False
            self._base_ns = self._place_ns + period_ns
            self._start()
            assert self._capture is not None
            capture = self._capture
        self._grabbed = False
        place_ns = max(self._base_ns + capture.position_ns() - self._first_ns, self._place_ns)
        self._index += self._step((place_ns - self._place_ns) / period_ns) if self._index >= 0 else 1
        self._place_ns = place_ns
        return True

    def _step(self, periods: float) -> int:
        """How many frames of a steady grid the time line went on."""
        if abs(periods - round(periods)) > 0.1:
            self._steady = False
        return max(1, round(periods)) if self._steady and self.fps else 1

    def _due_ns(self) -> int:
        """When the frame is exposed: waits for it at the video's own pace."""
        now_ns = self._clock()
        if not self.live:
            return now_ns
        if self._t0_ns is None:
            self._t0_ns = now_ns - self._place_ns
        due_ns = self._t0_ns + self._place_ns
        while (left_ns := due_ns - self._clock()) > 0:
            self._sleep(left_ns / 1e9)
        return due_ns
