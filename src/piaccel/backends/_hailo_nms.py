"""Boxes that HailoRT has suppressed, from its raw buffers to one array (1, classes, 5, boxes of a class).

Rows are y_min, x_min, y_max, x_max and score, of 0..1 of the network's input. Source: hailort.h,
HAILO_FORMAT_ORDER_HAILO_NMS_BY_CLASS and _BY_SCORE; the layout is that of the binding's ``tf_format``. Read here and
not by the binding, whose conversions differ between 4.x and 5.x.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from piaccel.errors import ModelError
from piaccel.tensors import Array

RECORD = np.dtype([("box", "<f4", 4), ("score", "<f4"), ("class_id", "<u2")])
"""hailo_detection_t, packed: 22 bytes."""
MOST_BY_SCORE = 300
"""Boxes of a class where the file only states those of all classes."""

Shape = tuple[int, int, int, int]


def prepare(stream: Any, format_type: Any) -> None:
    """Choose the type of the buffer that its order needs. Raises ModelError for orders that are not read here."""
    order = stream.format.order.name
    if order == "HAILO_NMS_BY_SCORE":
        stream.set_format_type(format_type.UINT8)
    elif order not in ("HAILO_NMS_BY_CLASS", "HAILO_NMS"):
        raise ModelError(
            f"output {stream.name!r} is in the order {order}, which is not read here",
            hint="compile the network with boxes by class or by score, or without post-processing",
        )


def reader(stream: Any, hef: Any) -> tuple[Shape, Callable[[Array], Array]]:
    """Return the shape of the array and what makes it of a buffer."""
    told = next(info.nms_shape for info in hef.get_output_vstream_infos() if info.name == stream.name)
    classes, most = int(told.number_of_classes), int(told.max_bboxes_per_class)
    if stream.format.order.name == "HAILO_NMS_BY_SCORE":
        total = (stream.shape[0] - 2) // RECORD.itemsize
        most = most or min(total, MOST_BY_SCORE)
        return (1, classes, 5, most), lambda buffer: by_score(buffer, classes, most)
    return (1, classes, 5, most), lambda buffer: by_class(buffer, classes, most)


def by_class(buffer: Array, classes: int, most: int) -> Array:
    """From float32: for each class its count, then its boxes; what is behind them is not valid."""
    table = np.zeros((1, classes, 5, most), np.float32)
    at = 0
    for number in range(classes):
        count = min(int(buffer[at]), most)
        if count:
            table[0, number, :, :count] = buffer[at + 1 : at + 1 + 5 * count].reshape(count, 5).T
        at += 1 + 5 * count
    return table


def by_score(buffer: Array, classes: int, most: int) -> Array:
    """From bytes: a uint16 count, then as many records, best first; those beyond ``most`` of a class are left out."""
    table = np.zeros((1, classes, 5, most), np.float32)
    count = min(int(buffer[:2].view("<u2")[0]), (buffer.size - 2) // RECORD.itemsize)
    records = buffer[2 : 2 + count * RECORD.itemsize].view(RECORD)
    for number in np.unique(records["class_id"]):
        if number < classes:
            own = records[records["class_id"] == number][:most]
            table[0, number, :4, : len(own)] = own["box"].T
            table[0, number, 4, : len(own)] = own["score"]
    return table
