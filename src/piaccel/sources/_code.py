"""A frame's index and time of exposure written into its pixels, so that a result proves which frame it is of.

Two equal rows of black and white blocks, one along the top of the frame and one along the bottom: 32 bits of index,
64 bits of time, 16 bits of checksum (CRC-16/CCITT). The blocks survive JPEG and video. Where the two rows differ, the
frame was torn: its halves are of two exposures.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BITS = 32 + 64 + 16
_MASK = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Code:
    """What the pixels say."""

    index: int
    exposed_ns: int
    torn: bool = False
    """Whether the bottom of the frame says something else, or nothing that can be read."""


class Writer:
    """Writes codes into frames of one width; nothing is allocated for a frame."""

    def __init__(self, width: int) -> None:
        if width < _BITS:
            raise ValueError(f"a frame of width {width} has no room for {_BITS} blocks")
        self._block = width // _BITS
        self.height = max(4, self._block)
        """Rows that a code takes at the top, and again at the bottom."""
        self._row = np.zeros((self._block * _BITS, 3), np.uint8)
        self._bits = np.zeros(_BITS, np.uint8)

    def write(self, image: NDArray[np.uint8], index: int, exposed_ns: int) -> None:
        """Write both rows into a uint8 (H, W, 3) image."""
        payload = (index & _MASK).to_bytes(4, "big") + exposed_ns.to_bytes(8, "big", signed=True)
        whole = payload + binascii.crc_hqx(payload, 0xFFFF).to_bytes(2, "big")
        self._bits[:] = np.unpackbits(np.frombuffer(whole, np.uint8))
        self._row.reshape(_BITS, -1)[:] = (self._bits * 255)[:, np.newaxis]
        width = len(self._row)
        image[: self.height, :width] = self._row
        image[-self.height :, :width] = self._row


def read_code(image: NDArray[np.uint8]) -> Code | None:
    """Return what the pixels of a uint8 (H, W, 3) image say; None where they hold no code (any more)."""
    height, width = image.shape[:2]
    if width < _BITS:
        return None
    block = width // _BITS
    rows = max(4, block)
    if height < 2 * rows:
        return None
    top = _decode(image[:rows, : block * _BITS], block)
    bottom = _decode(image[-rows:, : block * _BITS], block)
    found = top or bottom
    return None if found is None else Code(*found, torn=top != bottom)


def _decode(strip: NDArray[np.uint8], block: int) -> tuple[int, int] | None:
    inner = strip[1:-1].mean(axis=(0, 2)) if len(strip) > 2 else strip.mean(axis=(0, 2))
    bits = inner.reshape(_BITS, block).mean(axis=1) > 127
    whole = np.packbits(bits).tobytes()
    if binascii.crc_hqx(whole[:12], 0xFFFF).to_bytes(2, "big") != whole[12:]:
        return None
    return int.from_bytes(whole[:4], "big"), int.from_bytes(whole[4:12], "big", signed=True)
