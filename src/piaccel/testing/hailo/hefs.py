"""Writes small Hailo executables that the fake ``hailo_platform`` runs, with the fields that the true compiler writes.

Layout: hailort hef.proto and hef_internal.hpp. The network's name says what the fake computes; see ``FUNCTIONS``.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

from piaccel.formats.hef import MAGIC, TAILS

ARCHITECTURES = {"HAILO8": 1, "HAILO8L": 3, "HAILO15M": 4, "HAILO10H": 5, "HAILO15H": 103, "HAILO15L": 6}
"""Numbers of ProtoHEFHwArch."""

FUNCTIONS: Mapping[str, str] = {
    "invert": "255 - picture",
    "mean": "the mean of each channel, rounded down",
    "both": "the two above",
    "boxes": "boxes by class",
    "scored": "the same boxes by score",
    "masks": "boxes with masks",
}
"""The networks that the fake knows."""

SCALE, ZERO_POINT = 0.5, 10
"""Quantization of every output but boxes."""
CLASSES, MOST = 3, 4
"""Classes of the detectors, and boxes of each class."""

_NMS, _NHWC, _NC = 9, 1, 6


def write(
    path: Path,
    function: str = "invert",
    *,
    architecture: str | int = "HAILO8L",
    size: tuple[int, int, int] = (6, 8, 3),
    version: int = 1,
    contexts: int = 1,
) -> Path:
    """Write a HEF that takes a uint8 picture of ``size`` (height, width, channels); return ``path``.

    ``architecture`` is a name of ``ARCHITECTURES`` or a number; ``version`` that of the header, 0 to 3;
    ``contexts`` the parts in which the network is loaded.
    """
    number = ARCHITECTURES[architecture] if isinstance(architecture, str) else architecture
    header = _field(1, number) + _field(2, 1_700_000_000) + _field(3, "3.31.0") + _field(4, version)
    proto = _field(1, header) + _field(2, _group(function, size, contexts))
    tails = {
        0: struct.pack(">I16s", 0, bytes(16)),
        1: struct.pack(">IQI", 0, 0, 0),
        2: struct.pack(">QQQQ", 0, 0, 0, 0),
        3: struct.pack(">QQIQQQ", 0, 0, 0, 0, 0, 0),
    }
    assert len(tails[version]) == TAILS[version]
    path.write_bytes(struct.pack(">III", MAGIC, version, len(proto)) + tails[version] + proto)
    return path


def _group(function: str, size: tuple[int, int, int], contexts: int) -> bytes:
    channels = size[2]
    picture = _pad(0, f"{function}/input_layer1", _NHWC, size, scale=1.0, zero_point=0.0)
    inverted = _pad(1, f"{function}/conv1", _NHWC, size)
    mean = _pad(2, f"{function}/fc1", _NC, (1, 1, channels))
    core = _field(3, b"") * contexts + _field(6, function)
    if function in ("invert", "mean", "both"):
        outputs = {"invert": [inverted], "mean": [mean], "both": [inverted, mean]}[function]
        ops = [_op("core", [picture], outputs, core=core)]
        edges = b""
    else:
        boxes = _field(1, 4) + _field(2, f"{function}/nms_postprocess") + _field(3, _NMS)
        boxes += _field(7, _field(1, CLASSES) + _field(2, MOST))
        joined = _pad(3, f"{function}/conv1", _NHWC, size)
        ops = [
            _op("core", [picture], [inverted], core=core),
            _op("nms", [joined], [boxes], nms=_field(3, MOST) + _field(4, CLASSES)),
        ]
        edges = _field(9, _field(1, 1) + _field(2, 3))
    return b"".join(_field(8, op) for op in ops) + edges + _field(10, function)


def _op(name: str, inputs: list[bytes], outputs: list[bytes], *, core: bytes = b"", nms: bytes = b"") -> bytes:
    pads = b"".join([_field(2, pad) for pad in inputs] + [_field(3, pad) for pad in outputs])
    return _field(1, name) + pads + (_field(4, core) if core else _field(5, nms))


def _pad(
    index: int,
    name: str,
    order: int,
    size: tuple[int, int, int],
    *,
    scale: float = SCALE,
    zero_point: float = ZERO_POINT,
) -> bytes:
    height, width, features = size
    numbers = _real(1, zero_point) + _real(2, scale)
    shape = _field(1, height) + _field(2, height) + _field(3, width) + _field(4, width)
    shape += _field(5, features) + _field(6, features)
    return _field(1, index) + _field(2, name) + _field(3, order) + _field(8, 1) + _field(5, numbers) + _field(6, shape)


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _real(number: int, value: float) -> bytes:
    return _varint(number << 3 | 5) + struct.pack("<f", value)


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
