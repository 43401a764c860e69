"""Detectors whose boxes HailoRT has suppressed: one output (1, classes, 5, boxes of a class)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from piaccel.errors import ModelError
from piaccel.frames import Geometry, Preprocess
from piaccel.tasks import Detections, Task
from piaccel.tasks._boxes import detections, model_pixels
from piaccel.tasks._outputs import fit_labels, only
from piaccel.tasks._usual import usual
from piaccel.tensors import Array, TensorSpec

VALUES = 5


@dataclass(frozen=True)
class HailoNmsTask(Task):
    """For each class, boxes as columns y_min, x_min, y_max, x_max (of 0..1 of the input) and score; 0 where none is.

    There is no background class. Source: hailort, pyhailort.py, ``tf_format``; the compiler's ``nms_postprocess``.
    """

    kind = "detection"

    threshold: float = 0.4
    """Boxes below this score are left out; the file has a threshold of its own, often 0.2."""
    limit: int = 300
    """At most so many boxes."""

    @classmethod
    def recognises(cls, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> bool:
        return len(outputs) == 1 and _fits(outputs[0].shape) and "nms" in outputs[0].name.lower()

    @classmethod
    def usual_preprocess(cls, image: TensorSpec) -> Preprocess:
        return usual(image, size=(640, 640), std=(255.0,), resize="letterbox")

    def decode(self, outputs: Mapping[str, Array], geometry: Geometry, labels: Sequence[str]) -> Detections:
        table = only(outputs, "hailo_nms")
        if not _fits(table.shape):
            raise ModelError(f"hailo_nms reads one output (1, classes, 5, boxes), got {table.shape}")
        labels = fit_labels(labels, table.shape[1])
        class_id, place = np.nonzero(table[0, :, 4] >= self.threshold)
        rows = table[0, class_id, :, place]
        xyxy = model_pixels(rows[:, [1, 0, 3, 2]], geometry)
        return detections(xyxy, rows[:, 4], class_id, geometry, labels, iou=None, limit=self.limit)


def _fits(shape: Sequence[int | None]) -> bool:
    return len(shape) == 4 and shape[0] in (1, None) and shape[2] == VALUES
