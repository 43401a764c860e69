"""A line across the picture whose crossings are counted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from piaccel.errors import OptionError
from piaccel.pipeline.region import are_fractions
from piaccel.tensors import Array

_CLEAR = 0.1
"""How far beyond the line a centre must be, as part of its box's side: a box that trembles on it counts once."""


class Tripwire:
    """``ends`` is (x1, y1, x2, y2): fractions of the frame where all four are at most 1, pixels otherwise.

    Left and right are those of somebody who walks on the floor of the picture from the first end to the second: down
    is on the right of a line that is drawn from left to right. Raises OptionError for what is no line.
    """

    def __init__(self, name: str, ends: Sequence[float]) -> None:
        numbers = np.array([float(each) for each in ends])
        if len(numbers) != 4 or not np.isfinite(numbers).all() or numbers.min() < 0:
            raise OptionError(f"line {name!r} has no two ends", hint="write [x1, y1, x2, y2], such as [0, 0.5, 1, 0.5]")
        if np.array_equal(numbers[:2], numbers[2:]):
            raise OptionError(f"line {name!r} begins where it ends")
        self.name = name
        self._numbers = numbers
        self.fractions = are_fractions(numbers.tolist())

    def sides(
        self, centre: Array, size: Array, frame_size: tuple[int, int]
    ) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
        """Return for boxes, given by their centres and sizes (n, 2): -1 left, 1 right, 0 on the line; and whether they
        are between the line's ends. ``frame_size`` is (height, width).
        """
        ends = self._numbers
        if self.fractions:
            ends = ends * np.array((*frame_size[::-1], *frame_size[::-1]))
        along = ends[2:] - ends[:2]
        length = float(np.hypot(*along))
        off = centre - ends[:2]
        away = (along[0] * off[:, 1] - along[1] * off[:, 0]) / length  # y points down: positive is on the right
        place = (off @ along) / length**2
        clear = np.abs(away) > _CLEAR * size.mean(axis=1)
        return np.where(clear, np.sign(away), 0).astype(np.int8), (place >= 0) & (place <= 1)
