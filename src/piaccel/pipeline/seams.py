"""Making one result of what the tiles of a frame say: objects on a seam are counted once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from piaccel.tasks import Detections, Mask
from piaccel.tensors import Array

Box = tuple[int, int, int, int]
"""left, top, right, bottom in frame pixels."""
_SAME = 0.5
"""From how large a common part on two boxes are one object; SAHI's default (sahi/predict.py)."""
_SLACK = 0.03
"""A box that ends so close to its tile's border, as part of the tile's side, may be cut by it."""


def merged(parts: Sequence[Detections], tiles: Sequence[Box], size: tuple[int, int]) -> Detections:
    """Return the tiles' boxes (already in frame pixels) as one result, best first; ``size`` is (height, width).

    Only boxes of one class and of different tiles are compared. A box that touches a border of its tile inside the
    frame counts as cut. Boxes are taken whole ones first, then by score; one that is taken ends

    * a whole box with an intersection over union of at least 0.5 (non-maximum suppression),
    * a cut box of which it covers at least half: it has seen the whole object,
    * where it is cut itself, another cut box with an intersection over the smaller one of at least 0.5: both are pieces
      of one object, and it becomes the box around both.

    The last is the greedy merging of SAHI (sahi/postprocess/combine.py, GREEDYNMM with IOS 0.5); that whole boxes come
    first is ours: a fragment often scores higher than the object.
    """
    xyxy = np.concatenate([part.xyxy for part in parts])
    confidence = np.concatenate([part.confidence for part in parts])
    class_id = np.concatenate([part.class_id for part in parts])
    tile = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    cut = np.concatenate([_cut(part.xyxy, box, size) for part, box in zip(parts, tiles, strict=True)])

    area = _area(xyxy)
    waiting = np.ones(len(xyxy), bool)
    kept = []
    for i in np.lexsort((-confidence, cut)):
        if not waiting[i]:
            continue
        waiting[i] = False
        kept.append(i)
        others = np.flatnonzero(waiting & (class_id == class_id[i]) & (tile != tile[i]))
        while len(others):
            shared = _shared(xyxy[i], xyxy[others])
            of_other, of_this = area[others], _area(xyxy[i])
            if cut[i]:
                base = np.minimum(of_other, of_this)
            else:
                base = np.where(cut[others], of_other, of_other + of_this - shared)
            same = (shared >= _SAME * base) & (shared > 0)
            waiting[others[same]] = False
            if not (cut[i] and same.any()):
                break
            pieces = np.vstack((xyxy[i], xyxy[others[same]]))
            xyxy[i] = (*pieces[:, :2].min(axis=0), *pieces[:, 2:].max(axis=0))
            confidence[i] = max(confidence[i], confidence[others[same]].max())
            others = others[~same]
    best = np.array(kept, np.intp)
    best = best[np.argsort(-confidence[best], kind="stable")]
    return Detections(xyxy[best], confidence[best], class_id[best], parts[0].labels)


def stitched(parts: Sequence[Mask], tiles: Sequence[Box], cells: Sequence[Box], size: tuple[int, int]) -> Mask:
    """Return one mask of the frame's ``size`` (height, width): each tile gives the pixels of its cell."""
    dtype = np.result_type(*(part.class_id for part in parts))
    class_id = np.full(size, parts[0].background, dtype)
    for part, (x, y, _, _), (left, top, right, bottom) in zip(parts, tiles, cells, strict=True):
        class_id[top:bottom, left:right] = part.class_id[top - y : bottom - y, left - x : right - x]
    return Mask(class_id, parts[0].labels, parts[0].background)


def _cut(xyxy: Array, tile: Box, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Say for each box whether it touches a border of its tile that is not one of the frame."""
    left, top, right, bottom = tile
    height, width = size
    slack_x, slack_y = _SLACK * (right - left), _SLACK * (bottom - top)
    inside = np.array((left > 0, top > 0, right < width, bottom < height))
    near = np.stack(
        (
            xyxy[:, 0] <= left + slack_x,
            xyxy[:, 1] <= top + slack_y,
            xyxy[:, 2] >= right - slack_x,
            xyxy[:, 3] >= bottom - slack_y,
        ),
        axis=1,
    )
    touches: NDArray[np.bool_] = (near & inside).any(axis=1)
    return touches


def _area(xyxy: Array) -> Array:
    area: Array = (xyxy[..., 2] - xyxy[..., 0]) * (xyxy[..., 3] - xyxy[..., 1])
    return area


def _shared(box: Array, others: Array) -> Array:
    """Return the area that ``box`` (4,) has in common with each of ``others`` (n, 4)."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared: Array = np.maximum(sides, 0).prod(axis=1)
    return shared
