"""A camera that is none: frames on an absolute schedule, each with its index and time in its pixels.

For trying a pipeline out, for measuring it and for testing what goes wrong: ``synthetic:fps=30,size=1280x720``,
``synthetic:demo/images,fps=30`` with pictures that a model knows, ``synthetic:fps=0`` as fast as it is read.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from piaccel import images
from piaccel.errors import OptionError, UnavailableError
from piaccel.frames import Frame, Pool
from piaccel.sources import Options, Source
from piaccel.sources._code import Writer

_NARROWEST = 112


@dataclass(frozen=True, kw_only=True)
class SyntheticOptions(Options):
    """How fast, how large, and what goes wrong when."""

    fps: float = 30.0
    """Frames a second; 0: as fast as they are read, none is ever lost."""
    size: tuple[int, int] = (1280, 720)
    """Width and height, as cameras' sizes are written."""
    frames: int = 0
    """How many there are, lost ones counted; 0: no end."""
    lose_at: int = -1
    """Before this frame the source is lost, once."""
    stall_at: int = -1
    """Before this frame there is a silence of ``stall_for_s``, once."""
    stall_for_s: float = 1.0
    resize_at: int = -1
    """From this frame on they are half as large."""
    back_at: int = -1
    """This frame's time of exposure lies an hour back."""


class Synthetic(Source):
    """Skips the frames that nobody was there for, as a sensor would: its index jumps."""

    options = SyntheticOptions
    chosen: SyntheticOptions
    delivery_clock = "schedule"

    def __init__(
        self,
        target: str,
        options: Options,
        *,
        clock: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(target, options)
        width, height = self.chosen.size
        if width < _NARROWEST or height < 8:
            raise OptionError(f"synthetic: {width}x{height} is too small for the code in it", hint="at least 112x8")
        if self.chosen.fps < 0:
            raise OptionError(
                f"synthetic: {self.chosen.fps:g} frames a second are none", hint="0 is as fast as possible"
            )
        self.live = self.chosen.fps > 0
        self._period_ns = 1e9 / self.chosen.fps if self.live else 0.0
        self._clock, self._sleep = clock, sleep
        self._lost = self._stalled = False
        self._at = 0
        self._pictures: list[NDArray[np.uint8]] = []
        self._backgrounds: list[NDArray[np.uint8]] = []
        self._pool = Pool()
        self._done = 0

    def open(self) -> None:
        if not self._pictures:
            paths = images.find_images([self.target]) if self.target else []
            self._pictures = [images.read_image(path) for path in paths] or [_pattern()]
        self._begin(*self.chosen.size)
        self.fps = self.chosen.fps or None
        self._start_ns = self._clock()
        self._at = 0

    def read(self) -> Frame | None:
        index = self._following()
        passed = self._done + index
        if self.chosen.frames and passed >= self.chosen.frames:
            return None
        if passed >= self.chosen.lose_at >= 0 and not self._lost:
            self._lost = True
            self._done = passed
            raise UnavailableError("synthetic: the source is lost, as asked for")
        if passed >= self.chosen.resize_at >= 0 and self.size == self.chosen.size[::-1]:
            self._begin(max(_NARROWEST, self.chosen.size[0] // 2), max(8, self.chosen.size[1] // 2))
        exposed = self._wait_for(index)
        if passed >= self.chosen.back_at >= 0 and passed == self.chosen.back_at:
            exposed -= 3_600_000_000_000
        assert self.size is not None
        image = self._pool.take(*self.size)
        np.copyto(image, self._backgrounds[index % len(self._backgrounds)])
        self._writer.write(image, index, exposed)
        self._at = index + 1
        return Frame(image, index, exposed)

    def close(self) -> None:
        self._backgrounds = []

    def _following(self) -> int:
        """The next frame; those that were due before nobody read them are lost. A driver keeps one."""
        if self.chosen.stall_at >= 0 and self._done + self._at >= self.chosen.stall_at and not self._stalled:
            self._stalled = True
            self._silence()
        if not self.live:
            return self._at
        due = int((self._clock() - self._start_ns) / self._period_ns)
        return max(self._at, due)

    def _silence(self) -> None:
        """A silence longer than ``stall_s`` is a lost source."""
        length = self.chosen.stall_for_s
        self._sleep(min(length, self.chosen.stall_s))
        if length > self.chosen.stall_s:
            self._done += self._at
            raise UnavailableError(f"synthetic: no frame for {self.chosen.stall_s:g} s")

    def _wait_for(self, index: int) -> int:
        """Sleep until the frame is exposed, and return when that was meant to be."""
        if not self.live:
            return self._clock()
        exposed = self._start_ns + round(index * self._period_ns)
        while (left := exposed - self._clock()) > 0:
            self._sleep(left / 1e9)
        return exposed

    def _begin(self, width: int, height: int) -> None:
        import cv2

        self.size = (height, width)
        self._writer = Writer(width)
        self._backgrounds = [cv2.resize(each, (width, height)) for each in self._pictures]  # type: ignore[misc]


def _pattern() -> NDArray[np.uint8]:
    """Soft colours and a grid: something to see, and not one value everywhere."""
    rows, columns = np.mgrid[0:180, 0:320]
    picture = np.stack([columns * 255 // 320, rows * 255 // 180, (columns + rows) % 256], axis=-1).astype(np.uint8)
    picture[::20] = picture[:, ::20] = 40
    return picture
