"""What the detectors share: non-maximum suppression and the way from model boxes to a result."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from piaccel.frames import Geometry
from piaccel.tasks import Detections
from piaccel.tensors import Array

_BLOCK = 256


def nms(xyxy: Array, confidence: Array, class_id: Array, iou: float, limit: int) -> NDArray[np.intp]:
    """Return the indices of the boxes to keep, best first, at most ``limit``.

    Greedy: a box goes when it overlaps a better one of its own class by more than ``iou``; of equals the first stays.
    """
    order = np.argsort(-confidence, kind="stable")
    xyxy = xyxy.astype(np.float32)
    kept = order[:0]
    # In blocks, so that the matrix of pairs stays small and a full result ends the work.
    for start in range(0, len(order), _BLOCK):
        block = order[start : start + _BLOCK]
        block = block[~_overlap(xyxy, class_id, kept, block, iou).any(axis=0)]
        pairs = _overlap(xyxy, class_id, block, block, iou)
        gone = np.zeros(len(block), bool)
        for i in range(len(block)):
            if not gone[i]:
                gone[i + 1 :] |= pairs[i, i + 1 :]
        kept = np.concatenate((kept, block[~gone]))
        if len(kept) >= limit:
            break
    return kept[:limit]


def _overlap(xyxy: Array, class_id: Array, these: Array, those: Array, iou: float) -> NDArray[np.bool_]:
    """Say for each pair of boxes, by index, whether they are of one class and overlap by more than ``iou``."""
    a, b = xyxy[these, np.newaxis], xyxy[those]
    width = np.minimum(a[..., 2], b[:, 2]) - np.maximum(a[..., 0], b[:, 0])
    height = np.minimum(a[..., 3], b[:, 3]) - np.maximum(a[..., 1], b[:, 1])
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    area_a, area_b = ((box[..., 2] - box[..., 0]) * (box[..., 3] - box[..., 1]) for box in (a, b))
    same_class = class_id[these, np.newaxis] == class_id[those]
    overlaps: NDArray[np.bool_] = same_class & (shared > iou * (area_a + area_b - shared))
    return overlaps


def from_centre(centre: Array, size: Array) -> NDArray[np.float32]:
    """Return (n, 4) x1, y1, x2, y2 from (n, 2) centres and (n, 2) widths and heights."""
    half = size / 2
    return np.concatenate((centre - half, centre + half), axis=1, dtype=np.float32)


def detections(
    xyxy: Array,
    confidence: Array,
    class_id: Array,
    geometry: Geometry,
    labels: Sequence[str],
    *,
    iou: float | None,
    limit: int,
) -> Detections:
    """Return boxes (n, 4) of model pixels as a result; ``iou`` is None where the graph has suppressed already."""
    if iou is None:
        kept = np.argsort(-confidence, kind="stable")[:limit]
    else:
        kept = nms(xyxy, confidence, class_id, iou, limit)
    return Detections(
        geometry.to_frame(xyxy[kept]),
        confidence[kept].astype(np.float32),
        class_id[kept].astype(np.int64),
        labels,
    )


def model_pixels(normalised: Array, geometry: Geometry) -> NDArray[np.float32]:
    """Return (n, 4) x, y, x, y of 0..1 in pixels of the model's input."""
    height, width = geometry.model_size
    return np.multiply(normalised, np.array((width, height, width, height), np.float32), dtype=np.float32)
