"""SSD without post-processing: a score for each class and a box for each prior, as the RFB-320 face detector gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from piaccel.errors import ModelError
from piaccel.frames import Geometry, Preprocess
from piaccel.tasks import Detections, Task
from piaccel.tasks._boxes import detections, from_centre, model_pixels
from piaccel.tasks._outputs import fit_labels
from piaccel.tasks._usual import usual
from piaccel.tensors import Array, TensorSpec

Numbers = tuple[float, ...]


@dataclass(frozen=True)
class SsdRawTask(Task):
    """Scores (1, n, 1 + classes) with the background first and boxes (1, n, 4), in any order.

    Boxes are either x1, y1, x2, y2 of 0..1, or regressions to priors; the defaults are RFB-320's.
    Source: github.com/Linzaer/Ultra-Light-Fast-Generic-Face-Detector-1MB, vision/utils/box_utils.py.
    """

    kind = "detection"

    threshold: float = 0.7
    """Boxes below this score are left out."""
    iou: float = 0.3
    """Of two boxes of a class that overlap by more than this, the better stays."""
    limit: int = 300
    """At most so many boxes."""
    decoded: bool | None = None
    """Whether the graph has turned regressions into corners; None looks at the values."""
    strides: Numbers = (8, 16, 32, 64)
    """Input pixels for one cell of each feature map."""
    min_boxes: tuple[Numbers, ...] = ((10, 16, 24), (32, 48), (64, 96), (128, 192, 256))
    """Sides of each feature map's square priors in input pixels."""
    centre_variance: float = 0.1
    size_variance: float = 0.2

    @classmethod
    def recognises(cls, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> bool:
        if len(outputs) != 2:
            return False
        if {spec.name for spec in outputs} == {"boxes", "scores"}:
            return True  # ncnn tells no shapes
        a, b = (spec.shape for spec in outputs)
        return len(a) == len(b) == 3 and a[:2] == b[:2] and a[1] != 1 and (a[2] == 4) != (b[2] == 4)

    @classmethod
    def usual_preprocess(cls, image: TensorSpec) -> Preprocess:
        return usual(image, size=(240, 320), mean=(127.0,), std=(128.0,))

    def decode(self, outputs: Mapping[str, Array], geometry: Geometry, labels: Sequence[str]) -> Detections:
        scores, boxes = _sort(outputs)
        if scores.min() < -0.01 or scores.max() > 1.01:
            raise ModelError(f"scores reach from {scores.min():.3g} to {scores.max():.3g}, ssd_raw expects 0..1")
        classes = scores.shape[1] - 1
        labels = fit_labels(labels, classes) or (("face",) if classes == 1 else ())
        confidence = scores[:, 1] if classes == 1 else scores[:, 1:].max(axis=1)
        sure = np.flatnonzero(confidence >= self.threshold)
        class_id = scores[sure, 1:].argmax(axis=1)
        decoded = self.decoded if self.decoded is not None else _are_corners(boxes)
        xyxy = model_pixels(boxes[sure], geometry) if decoded else self._from_priors(boxes, sure, geometry)
        return detections(xyxy, confidence[sure], class_id, geometry, labels, iou=self.iou, limit=self.limit)

    def _from_priors(self, boxes: Array, which: Array, geometry: Geometry) -> NDArray[np.float32]:
        prior = priors(geometry.model_size, self.strides, self.min_boxes)
        if len(prior) != len(boxes):
            raise ModelError(
                f"{len(boxes)} boxes do not fit {len(prior)} priors of an input of {geometry.model_size}",
                hint="set the task's strides and min_boxes",
            )
        boxes, prior = boxes[which], prior[which]
        centre = boxes[:, :2] * self.centre_variance * prior[:, 2:] + prior[:, :2]
        return from_centre(centre, np.exp(boxes[:, 2:] * self.size_variance) * prior[:, 2:])


@lru_cache(maxsize=8)
def priors(size: tuple[int, int], strides: Numbers, min_boxes: tuple[Numbers, ...]) -> NDArray[np.float32]:
    """Return (n, 4) centre x, centre y, width, height in pixels of an input of ``size`` (h, w), row by row."""
    maps = []
    for stride, sides in zip(strides, min_boxes, strict=True):
        y, x = np.mgrid[: -(-size[0] // stride), : -(-size[1] // stride)]
        centres = np.stack((x.ravel(), y.ravel()), axis=1) * stride + stride / 2
        squares = np.repeat(np.asarray(sides)[:, np.newaxis], 2, axis=1)
        cells = np.broadcast_to(centres[:, np.newaxis], (len(centres), len(sides), 2))
        maps.append(np.concatenate((cells, np.broadcast_to(squares, cells.shape)), axis=2).reshape(-1, 4))
    width_height = np.array((size[1], size[0]) * 2)
    clipped: NDArray[np.float32] = np.clip(np.concatenate(maps), 0, width_height).astype(np.float32)
    return clipped


def _are_corners(boxes: Array) -> bool:
    return bool(np.mean(boxes[:, 2:] >= boxes[:, :2]) > 0.99)


def _sort(outputs: Mapping[str, Array]) -> tuple[Array, Array]:
    """Return scores (n, 1 + classes) and boxes (n, 4)."""
    if "scores" in outputs and "boxes" in outputs:
        scores, boxes = outputs["scores"], outputs["boxes"]
    else:
        # A stable sort: of two outputs with 4 columns the first is the boxes.
        boxes, *others = sorted(outputs.values(), key=lambda array: array.shape[-1:] != (4,))
        scores = others[0] if len(others) == 1 else np.empty(0)
    if scores.ndim != 3 or scores.shape[2] < 2 or boxes.shape != (*scores.shape[:2], 4):
        shapes = ", ".join(f"{name} {array.shape}" for name, array in outputs.items())
        raise ModelError(f"ssd_raw reads scores (1, n, 1 + classes) and boxes (1, n, 4), got {shapes}")
    return scores[0], boxes[0]
