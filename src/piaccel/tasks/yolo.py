"""YOLO heads: v5 with objectness, v8 and v11 without, v10 and v26 (or an export with NMS) end to end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from piaccel.errors import ModelError
from piaccel.frames import Geometry, Preprocess
from piaccel.tasks import Detections, Task
from piaccel.tasks._boxes import detections, from_centre, model_pixels
from piaccel.tasks._outputs import cover, fit_labels, only
from piaccel.tasks._usual import usual
from piaccel.tensors import Array, TensorSpec

STRIDES = (8, 16, 32, 64)
MOST_END_TO_END = 1000


@dataclass(frozen=True)
class YoloTask(Task):
    """One output, boxes in pixels of the input or of 0..1 (Ultralytics' TFLite exports):

    - (1, n, 5 + classes): centre x, y, width, height, objectness, class scores, three anchors a cell (v5, v7);
    - (1, 4 + classes, n): the same without objectness, one anchor a cell (v8, v9, v11, v12);
    - (1, n, 6): x1, y1, x2, y2, score, class, suppressed in the graph (v10, v26, ``export(nms=True)``).

    Source: docs.ultralytics.com, ultralytics/nn/modules/head.py and yolov5/models/yolo.py Detect.forward.
    """

    kind = "detection"

    threshold: float = 0.25
    """Boxes below this score are left out."""
    iou: float = 0.45
    """Of two boxes of a class that overlap by more than this, the better stays (not for end-to-end heads)."""
    limit: int = 300
    """At most so many boxes."""
    objectness: bool | None = None
    """Whether there is a column of objectness; None goes by the labels, then by the number of anchors."""
    normalised: bool | None = None
    """Whether boxes are of 0..1; None looks at the values."""

    @classmethod
    def recognises(cls, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> bool:
        if len(outputs) != 1 or len(inputs) != 1 or len(outputs[0].shape) != 3:
            return False
        batch, a, b = outputs[0].shape
        height, width = inputs[0].image_size or (None, None)
        if batch not in (1, None) or a is None or b is None:
            return False
        if b == 6 and 1 < a <= MOST_END_TO_END:
            return True
        if height is None or width is None:
            return False
        anchors = _anchors((height, width))
        return min(a, b) > 4 and max(a, b) in {*anchors, *(3 * count for count in anchors)}

    @classmethod
    def usual_preprocess(cls, image: TensorSpec) -> Preprocess:
        return usual(image, size=(640, 640), std=(255.0,), resize="letterbox")

    def decode(self, outputs: Mapping[str, Array], geometry: Geometry, labels: Sequence[str]) -> Detections:
        output = only(outputs, "yolo")
        if output.ndim != 3 or min(output.shape[1:]) < 5:
            raise ModelError(f"yolo reads (1, n, 5 + classes), (1, 4 + classes, n) or (1, n, 6), got {output.shape}")
        anchors = _anchors(geometry.model_size)
        count = output.shape[1]
        three_a_cell = max(output.shape[1:]) in {3 * cells for cells in anchors}
        if output.shape[2] == 6 and count <= MOST_END_TO_END and count not in anchors and not three_a_cell:
            return self._end_to_end(output[0], geometry, labels)
        columns = output[0] if output.shape[1] < output.shape[2] else output[0].T
        return self._head(columns, three_a_cell, geometry, labels)

    def _end_to_end(self, rows: Array, geometry: Geometry, labels: Sequence[str]) -> Detections:
        found = rows[rows[:, 4] >= self.threshold]
        class_id = np.rint(found[:, 5]).astype(np.int64)
        cover(labels, class_id)
        xyxy = self._pixels(found[:, :4], rows[:, :4], geometry)
        return detections(xyxy, found[:, 4], class_id, geometry, labels, iou=None, limit=self.limit)

    def _head(self, columns: Array, three_a_cell: bool, geometry: Geometry, labels: Sequence[str]) -> Detections:
        """``columns`` is (4 or 5 + classes, n)."""
        first = 5 if self._has_objectness(len(columns), three_a_cell, labels) else 4
        labels = fit_labels(labels, len(columns) - first)
        if first == 5:
            # Class scores are at most 1, so that only boxes with enough objectness need a look at them.
            columns = columns[:, columns[4] >= self.threshold]
            confidence = columns[4] * columns[5:].max(axis=0)
        else:
            confidence = columns[4:].max(axis=0)
        sure = confidence >= self.threshold
        found = columns[:, sure]
        xyxy = from_centre(found[:2].T, found[2:4].T)
        xyxy = self._pixels(xyxy, columns[:4], geometry)
        class_id = found[first:].argmax(axis=0)
        return detections(xyxy, confidence[sure], class_id, geometry, labels, iou=self.iou, limit=self.limit)

    def _has_objectness(self, columns: int, three_a_cell: bool, labels: Sequence[str]) -> bool:
        if self.objectness is not None:
            return self.objectness
        if labels and len(labels) in (columns - 4, columns - 5):
            return len(labels) == columns - 5
        return three_a_cell

    def _pixels(self, xyxy: Array, every_box: Array, geometry: Geometry) -> Array:
        normalised = self.normalised
        if normalised is None:
            normalised = every_box.size == 0 or float(every_box.max()) <= 2
        return model_pixels(xyxy, geometry) if normalised else xyxy


def _anchors(size: tuple[int, int]) -> tuple[int, ...]:
    """Numbers of cells on the maps of strides 8 to 32 and, where the sides of ``size`` (h, w) allow it, 8 to 64."""
    cells = [-(-size[0] // stride) * -(-size[1] // stride) for stride in STRIDES]
    whole = not any(side % STRIDES[-1] for side in size)  # Ultralytics' inputs are multiples of the coarsest stride
    return (sum(cells[:3]), sum(cells)) if whole else (sum(cells[:3]),)
