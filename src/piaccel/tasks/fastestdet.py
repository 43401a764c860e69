"""FastestDet: one anchor-free map of cells at a stride of 16."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from piaccel.errors import ModelError
from piaccel.frames import Geometry, Preprocess
from piaccel.tasks import Detections, Task
from piaccel.tasks._boxes import detections, from_centre, model_pixels
from piaccel.tasks._outputs import fit_labels, only
from piaccel.tasks._usual import usual
from piaccel.tensors import Array, TensorSpec

STRIDE = 16


@dataclass(frozen=True)
class FastestDetTask(Task):
    """One output (1, 5 + classes, H / 16, W / 16): objectness, x, y, width, height, class scores.

    Source: github.com/dog-qiuqiu/FastestDet, utils/tool.py: the offset in the cell is tanh, the size of the image
    sigmoid, the score objectness^0.6 * class^0.4.
    """

    kind = "detection"

    threshold: float = 0.65
    """Boxes below this score are left out."""
    iou: float = 0.45
    """Of two boxes of a class that overlap by more than this, the better stays."""
    limit: int = 300
    """At most so many boxes."""

    @classmethod
    def recognises(cls, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> bool:
        if len(outputs) != 1 or len(inputs) != 1 or len(outputs[0].shape) != 4:
            return False
        _, channels, *cells = outputs[0].shape
        height, width = inputs[0].image_size or (None, None)
        if channels is None or height is None or width is None or inputs[0].layout != "NCHW":
            return False
        return channels > 5 and cells == [height // STRIDE, width // STRIDE]

    @classmethod
    def usual_preprocess(cls, image: TensorSpec) -> Preprocess:
        return usual(image, size=(352, 352), std=(255.0,), colour="BGR")

    def decode(self, outputs: Mapping[str, Array], geometry: Geometry, labels: Sequence[str]) -> Detections:
        output = only(outputs, "fastestdet")
        if output.ndim != 4 or output.shape[1] < 6:
            raise ModelError(f"fastestdet reads (1, 5 + classes, h, w), got {output.shape}")
        labels = fit_labels(labels, output.shape[1] - 5)
        cells = output[0].reshape(output.shape[1], -1)
        confidence = np.clip(cells[0], 0, None) ** 0.6 * np.clip(cells[5:].max(axis=0), 0, None) ** 0.4
        sure = np.flatnonzero(confidence >= self.threshold)
        found = cells[:, sure]
        rows, columns = np.divmod(sure, output.shape[3])
        grid = np.array((output.shape[3], output.shape[2]), np.float32)
        centre = (np.stack((columns, rows), axis=1) + np.tanh(found[1:3].T)) / grid
        size = 1 / (1 + np.exp(-found[3:5].T))
        xyxy = model_pixels(from_centre(centre, size), geometry)
        class_id = found[5:].argmax(axis=0)
        return detections(xyxy, confidence[sure], class_id, geometry, labels, iou=self.iou, limit=self.limit)
