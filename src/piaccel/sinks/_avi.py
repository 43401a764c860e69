"""JPEG pictures as a film: a RIFF AVI file with MJPG frames.

Layout: Microsoft, "AVI RIFF File Reference". OpenCV's writer would decode and encode each picture once more, and says
nothing when the disk is full.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

_KEYFRAME, _HAS_INDEX = 0x10, 0x10


def avi(pictures: Sequence[bytes], size: tuple[int, int], fps: float) -> bytes:
    """Return the file for JPEG pictures that are all of ``size`` (height, width) pixels."""
    height, width = size
    largest = max(map(len, pictures))
    main = struct.pack(
        "<14I", round(1e6 / fps), round(largest * fps), 0, _HAS_INDEX, len(pictures), 0, 1, largest, width, height,
        0, 0, 0, 0,
    )  # fmt: skip
    header = struct.pack(
        "<4s4sI2H8I4H", b"vids", b"MJPG", 0, 0, 0, 0, 1000, round(fps * 1000), 0, len(pictures), largest, 0xFFFFFFFF, 0,
        0, 0, width, height,
    )  # fmt: skip
    form = struct.pack("<I2i2H4s5I", 40, width, height, 1, 24, b"MJPG", width * height * 3, 0, 0, 0, 0)
    stream = _list(b"strl", _chunk(b"strh", header) + _chunk(b"strf", form))
    index, offset = [], 4
    for picture in pictures:
        index.append(struct.pack("<4s3I", b"00dc", _KEYFRAME, offset, len(picture)))
        offset += 8 + len(picture) + len(picture) % 2
    movie = _list(b"movi", b"".join(_chunk(b"00dc", picture) for picture in pictures))
    body = b"AVI " + _list(b"hdrl", _chunk(b"avih", main) + stream) + movie + _chunk(b"idx1", b"".join(index))
    return _chunk(b"RIFF", body)


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def _list(name: bytes, data: bytes) -> bytes:
    return _chunk(b"LIST", name + data)
