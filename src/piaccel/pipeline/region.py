"""Looking at one part of the frame only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from piaccel.errors import InputError, OptionError
from piaccel.pipeline.engine import Engine
from piaccel.pipeline.lanes import Lane
from piaccel.pipeline.moved import moved
from piaccel.tasks import Result


class Region(Lane):
    """Hands on only a rectangle of the frame (a view, not a copy) and gives the result in the frame's pixels.

    ``box`` is (x, y, width, height) from the top left corner: fractions of the frame where all four are at most 1,
    whole pixels otherwise. A box in pixels that does not lie in the frame is an InputError of that frame: after a
    change of the camera's resolution it would mean another place. Raises OptionError for what is no such box.
    """

    def __init__(self, inner: Lane, box: Sequence[float]) -> None:
        self.kind = inner.kind
        self._inner = inner
        self._box = tuple(float(number) for number in box)
        self._text = f"region [{', '.join(f'{number:g}' for number in self._box)}]"
        if len(self._box) != 4 or not all(np.isfinite(self._box)) or min(self._box) < 0 or 0 in self._box[2:]:
            raise OptionError(
                f"{self._text} is not a box", hint="write [x, y, width, height], such as [0, 0.5, 1, 0.5]"
            )
        self._fractions = are_fractions(self._box)
        x, y, width, height = self._box
        if self._fractions and max(x + width, y + height) > 1 + 1e-6:
            raise OptionError(
                f"{self._text} reaches beyond the frame", hint="in fractions x + width and y + height are at most 1"
            )
        if not self._fractions and any(number % 1 for number in self._box):
            raise OptionError(
                f"{self._text} mixes fractions and pixels", hint="give four fractions of at most 1, or whole pixels"
            )

    def engines(self) -> list[Engine]:
        return self._inner.engines()

    def answer(self, image: NDArray[np.uint8], stages: dict[str, int]) -> Result:
        height, width = image.shape[:2]
        left, top, right, bottom = self.corners(width, height)
        part = image[top:bottom, left:right]
        return moved(self._inner.answer(part, stages), left, top, (height, width))

    def corners(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Return (left, top, right, bottom) in pixels of a frame of that size. Raises InputError when it is outside."""
        x, y, wide, high = self._box
        if self._fractions:
            left, right = _span(x, wide, width)
            top, bottom = _span(y, high, height)
            return left, top, right, bottom
        if x + wide > width or y + high > height:
            raise InputError(
                f"{self._text} does not lie in the frame of {width}x{height}",
                hint="give the region as fractions of the frame: they hold at every resolution",
            )
        return int(x), int(y), int(x + wide), int(y + high)


def are_fractions(numbers: Sequence[float]) -> bool:
    """Say whether numbers that mean a place in the frame are fractions of it; they are pixels otherwise."""
    return max(numbers) <= 1


def _span(start: float, length: float, whole: int) -> tuple[int, int]:
    """Return the (first, last + 1) pixel, at least one pixel."""
    first = min(round(start * whole), whole - 1)
    return first, min(max(round((start + length) * whole), first + 1), whole)
