"""What the fake accelerator computes: the functions of ``hefs.FUNCTIONS``, from uint8 pictures to raw buffers."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from piaccel import formats
from piaccel.errors import PiaccelError
from piaccel.formats import hef
from piaccel.testing.hailo.hefs import CLASSES, MOST, SCALE, ZERO_POINT

from . import _errors
from ._pyhailort import FormatOrder, FormatType

RECORD = struct.Struct("<5fH")
_ORDERS = {
    "boxes": FormatOrder.HAILO_NMS_BY_CLASS,
    "scored": FormatOrder.HAILO_NMS_BY_SCORE,
    "masks": FormatOrder.HAILO_NMS_WITH_BYTE_MASK,
}


@dataclass(frozen=True)
class Stream:
    """One input or output as the file states it; ``shape`` is (height, width, features), (features) or ()."""

    name: str
    shape: tuple[int, ...]
    order: FormatOrder
    scale: float
    zero_point: float


class Network:
    """A HEF made by ``hefs.write``. Raises what the binding raises for a file that is broken."""

    def __init__(self, path: str) -> None:
        try:
            found = formats.read(Path(path))
        except PiaccelError as error:
            raise _errors.of(26) from error
        self.name = found.facts["network groups"]
        self.chips = hef.runs_on(found)
        self.inputs = [Stream(spec.name, _shape(spec.shape), FormatOrder.NHWC, 1.0, 0.0) for spec in found.inputs]
        self.outputs = [self._output(spec.name, _shape(spec.shape)) for spec in found.outputs]

    def _output(self, name: str, shape: tuple[int, ...]) -> Stream:
        if self.name in _ORDERS:
            return Stream(name, (), _ORDERS[self.name], 1.0, 0.0)
        if name.endswith("fc1"):
            return Stream(name, shape[2:], FormatOrder.NC, SCALE, ZERO_POINT)
        return Stream(name, shape, FormatOrder.NHWC, SCALE, ZERO_POINT)

    def answer(self, picture: Any, stream: Stream, type_: FormatType) -> Any:
        """The content of one output's buffer."""
        if stream.order is FormatOrder.HAILO_NMS_BY_CLASS:
            return by_class(boxes(picture))
        if stream.order is FormatOrder.HAILO_NMS_BY_SCORE:
            return by_score(boxes(picture))
        raw = 255 - picture if stream.order is FormatOrder.NHWC else picture.mean((0, 1)).astype(np.uint8)
        if type_ is FormatType.FLOAT32:
            return ((raw.astype(np.float32) - stream.zero_point) * stream.scale).astype(np.float32)
        return raw


def _shape(shape: tuple[int | None, ...]) -> tuple[int, ...]:
    return tuple(size or 0 for size in shape[1:])


def boxes(picture: Any) -> list[Any]:
    """For each class (n, 5) float32: y_min, x_min, y_max, x_max, score; as many and where the first pixel says."""
    found = []
    for number in range(CLASSES):
        value = int(picture[0, 0, number % picture.shape[2]])
        rows = [
            (0.1 * i, value / 512, 0.1 * i + 0.2, value / 512 + 0.25, 1 - 0.1 * i) for i in range(value % (MOST + 1))
        ]
        found.append(np.array(rows, np.float32).reshape(-1, 5))
    return found


def by_class(found: list[Any]) -> Any:
    """HAILO_NMS_BY_CLASS: for each class its count, then its boxes; what follows them is left as it was."""
    parts = [np.concatenate(([np.float32(len(rows))], rows.ravel())) for rows in found]
    return np.concatenate(parts).astype(np.float32)


def by_score(found: list[Any]) -> Any:
    """HAILO_NMS_BY_SCORE: uint16 count, then packed boxes with their class, best first."""
    rows = [(float(row[4]), number, row) for number, each in enumerate(found) for row in each]
    rows.sort(key=lambda row: -row[0])
    packed = struct.pack("<H", len(rows)) + b"".join(RECORD.pack(*row.tolist(), number) for _, number, row in rows)
    return np.frombuffer(packed, np.uint8)
