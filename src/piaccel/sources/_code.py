"""A frame's index and time written into its pixels, so that the pixels prove which frame was answered.

A strip of 3 x 40 black and white cells at the top of the frame and the same strip at the bottom: 32 bits of index, 64
of time, 24 of checksum. The cells are fractions of the frame (1/40 of its width, 1/48 of its height): they survive
JPEG, video and resizing. A frame made of two shows two codes.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

_ROWS, _COLUMNS, _GRID_ROWS = 3, 40, 48
_CONTRAST = 48
SMALLEST = (96, 120)
"""(height, width) in which a cell has 2 x 3 pixels."""


@dataclass(frozen=True, slots=True)
class Code:
    """What a frame's pixels say."""

    index: int
    exposed_ns: int
    torn: bool | None
    """True where top and bottom are of different frames; None where only one of them could be read."""


def write_code(image: NDArray[np.uint8], index: int, exposed_ns: int) -> None:
    """Write the code over the top and the bottom 1/16 of a C-contiguous uint8 (H, W, 3) image of ``SMALLEST`` or more.

    ``index`` counts modulo 2**32; ``exposed_ns`` must not be negative.
    """
    height, width = image.shape[:2]
    lines = (_bits(index, exposed_ns) * np.uint8(255)).take(_column_of(width), axis=1)
    flat = image.reshape(height, width * 3)
    for first in (0, _GRID_ROWS - _ROWS):
        for row in range(_ROWS):
            flat[_edge(first + row, height) : _edge(first + row + 1, height)] = lines[row]


def read_code(image: NDArray[np.uint8]) -> Code | None:
    """Return what is written into a uint8 (H, W, 3) image of any size, or None where there is nothing to be read."""
    top, bottom = _read(image, 0), _read(image, _GRID_ROWS - _ROWS)
    found = top or bottom
    if found is None:
        return None
    return Code(*found, torn=None if top is None or bottom is None else top != bottom)


def _bits(index: int, exposed_ns: int) -> NDArray[np.uint8]:
    data = struct.pack(">IQ", index & 0xFFFFFFFF, exposed_ns)
    checked = data + (zlib.crc32(data) & 0xFFFFFF).to_bytes(3, "big")
    return np.unpackbits(np.frombuffer(checked, np.uint8)).reshape(_ROWS, _COLUMNS)


def _edge(row: int, height: int) -> int:
    return round(row * height / _GRID_ROWS)


@cache
def _column_of(width: int) -> NDArray[np.intp]:
    """The column of cells that each byte of a line belongs to."""
    return np.repeat((2 * np.arange(width) + 1) * _COLUMNS // (2 * width), 3)


def _read(image: NDArray[np.uint8], first: int) -> tuple[int, int] | None:
    height, width = image.shape[:2]
    if height < _GRID_ROWS or width < _COLUMNS:
        return None
    starts, stops = (((np.arange(_COLUMNS) + part) * width / _COLUMNS).round().astype(int) for part in (0.3, 0.7))
    stops = np.maximum(stops, starts + 1)
    cells = np.empty((_ROWS, _COLUMNS))
    for row in range(_ROWS):
        start = round((first + row + 0.3) * height / _GRID_ROWS)
        stop = max(start + 1, round((first + row + 0.7) * height / _GRID_ROWS))
        line = image[start:stop, :, 1].mean(axis=0)
        sums = np.concatenate(([0.0], np.cumsum(line)))
        cells[row] = (sums[stops] - sums[starts]) / (stops - starts)
    dark, bright = cells.min(), cells.max()
    if bright - dark < _CONTRAST:
        return None
    bits = cells > (dark + bright) / 2
    data = np.packbits(bits.astype(np.uint8)).tobytes()
    index, exposed_ns = struct.unpack(">IQ", data[:12])
    if (zlib.crc32(data[:12]) & 0xFFFFFF).to_bytes(3, "big") != data[12:]:
        return None
    return index, exposed_ns
