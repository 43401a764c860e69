from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from piaccel.frames import Geometry
from piaccel.tasks._boxes import detections, from_centre, nms

Box = tuple[float, float, float, float]


def overlap(a: Box, b: Box) -> float:
    shared = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union else 0.0


def naive(boxes: list[Box], scores: list[float], classes: list[int], iou: float, limit: int) -> list[int]:
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: (-scores[i], i)):
        if all(classes[i] != classes[k] or overlap(boxes[i], boxes[k]) <= iou for k in kept):
            kept.append(i)
    return kept[:limit]


# Whole pixels: every overlap is exact in float32, so that the two may not differ by rounding.
side = st.integers(0, 40)
found = st.tuples(side, side, side, side, st.integers(0, 20), st.integers(0, 2))


@settings(deadline=None, max_examples=300)
@given(st.lists(found, max_size=40), st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), st.integers(1, 50))
def test_suppression_keeps_what_the_plain_definition_keeps(rows: list[Any], iou: float, limit: int) -> None:
    boxes = [(x, y, x + w, y + h) for x, y, w, h, _, _ in rows]
    scores, classes = [row[4] / 20 for row in rows], [row[5] for row in rows]
    kept = nms(np.reshape(boxes, (-1, 4)), np.array(scores), np.array(classes), iou, limit)
    assert kept.tolist() == naive(boxes, scores, classes, iou, limit)


def test_many_boxes_are_suppressed_as_few_are() -> None:
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 300, (1200, 2))
    boxes = np.concatenate((corners, corners + rng.integers(5, 60, (1200, 2))), axis=1)
    scores, classes = rng.integers(0, 1000, 1200) / 1000, rng.integers(0, 3, 1200)
    plain = naive([tuple(box) for box in boxes.tolist()], scores.tolist(), classes.tolist(), 0.3, 2000)
    assert len(plain) > 300
    assert nms(boxes, scores, classes, 0.3, 2000).tolist() == plain
    assert nms(boxes, scores, classes, 0.3, 300).tolist() == plain[:300]


def test_boxes_of_different_classes_do_not_suppress_each_other() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 10], [1, 0, 10, 10]])
    assert nms(boxes, np.array([0.5, 0.9, 0.8]), np.array([1, 2, 2]), 0.5, 9).tolist() == [1, 0]


def test_of_boxes_without_area_none_is_lost() -> None:
    assert len(nms(np.zeros((3, 4)), np.ones(3), np.zeros(3), 0.5, 9)) == 3


def test_centres_and_sizes_become_corners() -> None:
    np.testing.assert_array_equal(from_centre(np.array([[10, 20]]), np.array([[4, 6]])), [[8, 17, 12, 23]])


def test_detections_come_best_first_in_frame_pixels_clipped_to_the_frame() -> None:
    geometry = Geometry((100, 200), (50, 50), (0.25, 0.5))
    boxes = np.array([[0, 0, 10, 10], [40, 40, 60, 60]])
    result = detections(boxes, np.array([0.5, 0.9]), np.array([0, 1]), geometry, ("a", "b"), iou=None, limit=5)
    np.testing.assert_array_equal(result.xyxy, [[160, 80, 200, 100], [0, 0, 40, 20]])
    assert [array.dtype.name for array in (result.xyxy, result.confidence, result.class_id)] == [
        "float32",
        "float32",
        "int64",
    ]
    assert result.lines() == [" 90.0%  b  [160, 80, 200, 100]", " 50.0%  a  [0, 0, 40, 20]"]


def test_at_most_limit_boxes_are_kept() -> None:
    boxes = np.arange(10)[:, np.newaxis] * 20 + np.array([0, 0, 10, 10])
    geometry = Geometry((300, 300), (300, 300))
    for iou in (None, 0.5):
        result = detections(boxes, np.linspace(0, 1, 10), np.zeros(10, int), geometry, (), iou=iou, limit=3)
        np.testing.assert_array_equal(result.xyxy[:, 0], [180, 160, 140])
