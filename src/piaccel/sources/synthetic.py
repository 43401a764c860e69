"""Frames on an absolute schedule, with index and time in their pixels; no camera is needed.

``synthetic``, ``synthetic:fps=30,size=1280x720``, ``synthetic:pictures/,fps=15``: a picture or a folder of pictures is
the background, so that a model's answers mean something.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from piaccel import images, sources
from piaccel.errors import InputError, NotFoundError, OptionError, UnavailableError
from piaccel.frames import Frame, Geometry, Pool
from piaccel.sources import _code
from piaccel.sources._code import Code as Code
from piaccel.sources._code import read_code as read_code

_MOST_PICTURES = 32
_BACK_NS = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class Options(sources.Options):
    fps: float = 30.0
    """0: as fast as it is read; then it is not live and skips nothing."""
    size: tuple[int, int] = (1280, 720)
    """WIDTHxHEIGHT, as cameras are written."""
    frames: int = 0
    """It ends after so many of the schedule; 0: never."""
    stall_at: int = 0
    """A fault, once: from this index on it is silent for ``silence``. Of this and the next three, 0 means never."""
    silence_s: float = 2.0
    lose_at: int = 0
    """A fault, once: it is lost at this index."""
    resize_at: int = 0
    """From this index on its frames have half the height and width."""
    back_at: int = 0
    """A fault: the exposure of this index lies a second too early."""


class Synthetic(sources.Source):
    """Frame i is exposed at t0 + i/fps. Like a sensor it does not wait: who reads late misses indices.

    With fps=0 each frame is exposed when it is read.
    """

    options = Options
    delivery_clock = "schedule"

    def __init__(
        self,
        target: str,
        options: sources.Options,
        clock: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(target, options)
        self._chosen = chosen = cast(Options, options)
        _check(chosen)
        self._clock, self._sleep = clock, sleep
        self.live = chosen.fps > 0
        self._pool = Pool()
        self._pictures: list[NDArray[np.uint8]] = []
        self._backgrounds: list[NDArray[np.uint8]] = []
        self._opened = False
        self._t0 = self._next = 0
        self._stalled = self._lost = False
        self._silent_until = 0

    def open(self) -> None:
        """Start the schedule. Raises NotFoundError or OptionError when the background is no picture."""
        if not self._pictures:
            self._pictures = _read(self.target)
        self.fps = self._chosen.fps or None
        self._lay(self._size_at(0))
        self._t0, self._next = self._clock(), 0
        self._opened = True

    def read(self) -> Frame | None:
        """Wait for the next exposure. Raises UnavailableError where a fault was asked for."""
        if not self._opened:
            raise UnavailableError(f"{self} is closed")
        index, exposed_ns = self._exposure()
        chosen = self._chosen
        if chosen.stall_at and index >= chosen.stall_at and not self._stalled:
            self._stalled = True
            self._silent_until = self._clock() + round(chosen.silence_s * 1e9)
        if self._clock() < self._silent_until:
            self._be_silent()
            index, exposed_ns = self._exposure()
        if chosen.lose_at and index >= chosen.lose_at and not self._lost:
            self._lost = True
            raise UnavailableError(f"{self}: lost at frame {index}, as asked for")
        if chosen.frames and index >= chosen.frames:
            return None
        self._wait_until(exposed_ns)
        self._next = index + 1
        if chosen.back_at and index == chosen.back_at:
            exposed_ns = max(0, exposed_ns - _BACK_NS)
        return Frame(self._picture(index, exposed_ns), index, exposed_ns)

    def close(self) -> None:
        self._opened = False

    def __str__(self) -> str:
        return f"synthetic:{self.target}".rstrip(":")

    def _exposure(self) -> tuple[int, int]:
        """The next index and its time; where that is more than a period ago, those of the newest exposure."""
        now_ns = self._clock()
        if not self._chosen.fps:
            return self._next, now_ns
        index = max(self._next, int((now_ns - self._t0) * self._chosen.fps / 1e9))
        return index, self._t0 + round(index * 1e9 / self._chosen.fps)

    def _wait_until(self, moment_ns: int) -> None:
        while (left_ns := moment_ns - self._clock()) > 0:
            self._sleep(left_ns / 1e9)

    def _be_silent(self) -> None:
        given_up_ns = self._clock() + round(self._chosen.stall_s * 1e9)
        self._wait_until(min(self._silent_until, given_up_ns))
        if self._silent_until > given_up_ns:
            raise UnavailableError(f"{self}: no frame for {self._chosen.stall_s:g} s")

    def _picture(self, index: int, exposed_ns: int) -> NDArray[np.uint8]:
        if (size := self._size_at(index)) != self.size:
            self._lay(size)
        image = self._pool.take(*size)
        np.copyto(image, self._backgrounds[index % len(self._backgrounds)])
        _code.write_code(image, index, exposed_ns)
        return image

    def _size_at(self, index: int) -> tuple[int, int]:
        width, height = self._chosen.size
        resized = self._chosen.resize_at and index >= self._chosen.resize_at
        return (height // 2, width // 2) if resized else (height, width)

    def _lay(self, size: tuple[int, int]) -> None:
        """Make backgrounds of a size: the middle of each picture, without changing its sides' ratio."""
        if size != self.size or not self._backgrounds:
            self._backgrounds = [_cropped(picture, size) for picture in self._pictures] or [_pattern(*size)]
        self.size = size


def _check(chosen: Options) -> None:
    if not 0 <= chosen.fps <= 1e6:
        raise OptionError(f"synthetic: fps is {chosen.fps:g}, expected 0 (as fast as it is read) or more")
    width, height = chosen.size
    if chosen.resize_at:
        width, height = width // 2, height // 2
    if height < _code.SMALLEST[0] or width < _code.SMALLEST[1]:
        raise OptionError(
            f"synthetic: frames of {width}x{height} have no room for the code in their pixels",
            hint=f"take at least {_code.SMALLEST[1]}x{_code.SMALLEST[0]}",
        )
    for name in ("frames", "stall_at", "silence_s", "lose_at", "resize_at", "back_at"):
        if getattr(chosen, name) < 0:
            raise OptionError(f"synthetic: {name.removesuffix('_s')} is {getattr(chosen, name)}, expected 0 or more")


def _read(target: str) -> list[NDArray[np.uint8]]:
    if not target:
        return []
    try:
        return [images.read_image(path) for path in images.find_images([target])[:_MOST_PICTURES]]
    except NotFoundError:
        raise
    except InputError as error:
        raise OptionError(f"synthetic: {error}", hint=error.hint) from error


def _cropped(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    import cv2

    height, width = picture.shape[:2]
    seen = picture[Geometry.fit((height, width), size, "crop").seen]
    return np.asarray(cv2.resize(seen, size[::-1], interpolation=cv2.INTER_AREA), np.uint8)


def _pattern(height: int, width: int) -> NDArray[np.uint8]:
    """Shades and a grid: something to be seen, compressed and resized."""
    y, x = np.mgrid[:height, :width]
    image = np.stack([x * 255 // width, y * 255 // height, (x // 32 + y // 32) % 2 * 96 + 80], axis=-1)
    return np.ascontiguousarray(image, np.uint8)
