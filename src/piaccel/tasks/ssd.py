"""SSD with its post-processing in the graph: the four outputs of TFLite_Detection_PostProcess."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from piaccel.errors import ModelError
from piaccel.frames import Geometry, Preprocess
from piaccel.tasks import Detections, Task
from piaccel.tasks._boxes import detections, model_pixels
from piaccel.tasks._outputs import BACKGROUNDS, cover
from piaccel.tasks._usual import usual
from piaccel.tensors import Array, TensorSpec


@dataclass(frozen=True)
class SsdTask(Task):
    """Boxes (1, n, 4), classes (1, n), scores (1, n) and their count (1), in any order of outputs.

    Source: tensorflow/lite/kernels/detection_postprocess.cc.
    """

    kind = "detection"

    threshold: float = 0.4
    """Boxes below this score are left out."""
    class_offset: int = 0
    """Added to the graph's class numbers to get the label's."""
    limit: int = 100
    """At most so many boxes."""
    box_order: Literal["yx", "xy"] = "yx"
    """Boxes are y1, x1, y2, x2, or x1, y1, x2, y2."""
    pixels: bool = False
    """Whether boxes are in pixels of the model's input; else of 0..1."""

    @classmethod
    def recognises(cls, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> bool:
        if len(outputs) != 4:
            return False
        if all("detection" in spec.name.lower() for spec in outputs):
            return True  # the operator's outputs may have no shape before the first run
        shapes = sorted((spec.shape for spec in outputs), key=len)
        ranks = [len(shape) for shape in shapes]
        return ranks in ([1, 2, 2, 3], [0, 2, 2, 3]) and shapes[3][2] == 4 and shapes[1] == shapes[2] == shapes[3][:2]

    @classmethod
    def usual_preprocess(cls, image: TensorSpec) -> Preprocess:
        return usual(image, size=(300, 300), mean=(127.5,), std=(127.5,))

    def decode(self, outputs: Mapping[str, Array], geometry: Geometry, labels: Sequence[str]) -> Detections:
        boxes, classes, scores, count = _sort(outputs)
        sure = np.flatnonzero(scores[:count] >= self.threshold)
        class_id = np.rint(classes[sure]).astype(np.int64) + self.class_offset
        if labels and labels[0].strip().lower() in BACKGROUNDS and not self.class_offset:
            labels = labels[1:]
        cover(labels, class_id)
        found = boxes[sure] if self.box_order == "xy" else boxes[sure][:, [1, 0, 3, 2]]
        xyxy = found if self.pixels else model_pixels(found, geometry)
        return detections(xyxy, scores[sure], class_id, geometry, labels, iou=None, limit=self.limit)


def _sort(outputs: Mapping[str, Array]) -> tuple[Array, Array, Array, int]:
    """Return boxes (n, 4), classes (n,), scores (n,) and the count."""
    boxes = [array for array in outputs.values() if array.ndim == 3 and array.shape[2] == 4]
    counts = [array for array in outputs.values() if array.ndim < 2 and array.size == 1]
    rows = {name: array[0] for name, array in outputs.items() if array.ndim == 2}
    if not (len(boxes) == len(counts) == 1 and len(rows) == 2):
        shapes = ", ".join(f"{name} {array.shape}" for name, array in outputs.items())
        raise ModelError(f"ssd reads boxes (1, n, 4), classes (1, n), scores (1, n) and a count, got {shapes}")
    (first_name, first), (second_name, second) = rows.items()
    # TensorFlow 1 gives classes before scores, TensorFlow 2 the other way round: trust names, then values.
    named = "score" in first_name.lower() or "class" in second_name.lower()
    if named or (np.any(first % 1) and not np.any(second % 1)):
        first, second = second, first
    return boxes[0][0], first, second, int(counts[0].flat[0])
