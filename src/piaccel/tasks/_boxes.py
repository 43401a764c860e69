"""What the detectors share: non-maximum suppression and the way from model boxes to a result."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from piaccel.frames import Geometry
from piaccel.tasks import Detections
from piaccel.tensors import Array


def nms(xyxy: Array, confidence: Array, class_id: Array, iou: float, limit: int) -> NDArray[np.intp]:
    """Return the indices of the boxes to keep, best first, at most ``limit``.

    Greedy: a box goes when it overlaps a better one of its own class by more than ``iou``; of equals the first stays.
    """
    left = np.argsort(-confidence, kind="stable")
    corners = xyxy.astype(np.float32)
    areas = np.maximum(corners[:, 2] - corners[:, 0], 0) * np.maximum(corners[:, 3] - corners[:, 1], 0)
    kept: list[int] = []
    while left.size and len(kept) < limit:
        best, left = left[0], left[1:]
        kept.append(best)
        others = corners[left]
        width = np.minimum(others[:, 2], corners[best, 2]) - np.maximum(others[:, 0], corners[best, 0])
        height = np.minimum(others[:, 3], corners[best, 3]) - np.maximum(others[:, 1], corners[best, 1])
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        overlaps = shared > iou * (areas[left] + areas[best] - shared)
        left = left[~(overlaps & (class_id[left] == class_id[best]))]
    return np.array(kept, np.intp)


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
