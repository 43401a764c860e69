"""NanoDet-Plus: class scores and, for each side of a box, a distribution of its distance, without anchors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from piaccel.errors import ModelError, OptionError
from piaccel.frames import Geometry, Preprocess
from piaccel.tasks import Detections, Task
from piaccel.tasks._boxes import detections
from piaccel.tasks._outputs import fit_labels, only
from piaccel.tasks._usual import IMAGENET_MEAN, IMAGENET_STD, usual
from piaccel.tensors import Array, TensorSpec

STRIDES = (8, 16, 32, 64)


@dataclass(frozen=True)
class NanoDetTask(Task):
    """One output (1, n, classes + 4 * bins): n is one row for each cell of the grids at strides 8, 16, 32 and 64.

    Source: RangiLyu/nanodet, nanodet_plus_head.py; picamera2, devices/imx500/postprocess_nanodet.py.
    """

    kind = "detection"

    threshold: float = 0.4
    """Boxes below this score are left out."""
    iou: float = 0.6
    """Of two boxes of one class that overlap by more, the better stays."""
    limit: int = 100
    """At most so many boxes."""
    bins: int = 8
    """Distances of 0 to bins - 1 strides."""
    sigmoid: bool | None = None
    """Whether scores are logits; None looks at the values."""

    def __post_init__(self) -> None:
        if self.bins < 2:
            raise OptionError(f"bins is {self.bins}, expected 2 or more")

    @classmethod
    def recognises(cls, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> bool:
        if len(inputs) != 1 or len(outputs) != 1 or len(outputs[0].shape) != 3:
            return False
        height, width = inputs[0].image_size or (None, None)
        batch, rows, columns = outputs[0].shape
        if height is None or width is None or columns is None or batch not in (1, None):
            return False
        if height % STRIDES[-1] == width % STRIDES[-1] == 0:
            return False  # it could be a YOLO
        return rows == sum(h * w for h, w in _grids((height, width))) and columns > 4 * cls.bins

    @classmethod
    def usual_preprocess(cls, image: TensorSpec) -> Preprocess:
        mean, std = IMAGENET_MEAN[::-1], IMAGENET_STD[::-1]
        return usual(image, size=(416, 416), mean=mean, std=std, colour="BGR")

    def decode(self, outputs: Mapping[str, Array], geometry: Geometry, labels: Sequence[str]) -> Detections:
        output = only(outputs, "nanodet")
        cells = _cells(geometry.model_size)
        classes = output.shape[-1] - 4 * self.bins
        if output.ndim != 3 or output.shape[1] != len(cells) or classes < 1:
            raise ModelError(f"nanodet reads (1, {len(cells)}, classes + {4 * self.bins}), got {output.shape}")
        labels = fit_labels(labels, classes)
        scores, best = output[0, :, :classes], output[0, :, :classes].argmax(axis=1)
        confidence = scores[np.arange(len(scores)), best].astype(np.float32)
        if self.sigmoid if self.sigmoid is not None else scores.min() < 0 or scores.max() > 1:
            confidence = 1 / (1 + np.exp(-np.clip(confidence, -80, 80)))
        sure = np.flatnonzero(confidence >= self.threshold)
        distances = _expected(output[0, sure, classes:].reshape(len(sure), 4, self.bins)) * cells[sure, 2:]
        centre = cells[sure, :2]
        xyxy = np.concatenate((centre - distances[:, :2], centre + distances[:, 2:]), axis=1, dtype=np.float32)
        return detections(xyxy, confidence[sure], best[sure], geometry, labels, iou=self.iou, limit=self.limit)


def _grids(size: tuple[int, int]) -> list[tuple[int, int]]:
    return [(ceil(size[0] / stride), ceil(size[1] / stride)) for stride in STRIDES]


def _cells(size: tuple[int, int]) -> NDArray[np.float32]:
    """Return (n, 3) x, y and stride of each cell in pixels of the input, row by row, the finest grid first."""
    parts = []
    for stride, (rows, columns) in zip(STRIDES, _grids(size), strict=True):
        y, x = np.mgrid[:rows, :columns] * stride
        parts.append(np.stack((x.ravel(), y.ravel(), np.full(x.size, stride)), axis=1))
    return np.concatenate(parts).astype(np.float32)


def _expected(logits: Array) -> Array:
    """Return the mean of each distribution over 0, 1, ..., given as logits along the last axis."""
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True, initial=-np.inf))
    mean: Array = weights @ np.arange(logits.shape[-1], dtype=np.float32) / weights.sum(axis=-1)
    return mean
