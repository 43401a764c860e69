from __future__ import annotations

import json

import numpy as np
import pytest

from piaccel import tasks
from piaccel.tasks.movenet import NAMES, SKELETON

RNG = np.random.default_rng(0)
BOXES = np.array([[10, 20, 60, 70], [-5, -5, 30, 30], [50, 40, 500, 400]], np.float32)
RESULTS = [
    tasks.Classification(np.array([0.1, 0.7, 0.2], np.float32), ["é", "", "日本"]),
    tasks.Detections(BOXES, np.array([0.9, 0.8, 0.7], np.float32), np.array([0, 1, 90]), ["a", "b"]),
    tasks.Detections(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64)),
    tasks.Mask(RNG.integers(0, 3, (80, 120)).astype(np.uint8), ["a", "b", "c"]),
    tasks.Mask(np.zeros((80, 120), np.uint8)),
    tasks.Keypoints(
        RNG.uniform(0, 80, (2, 17, 2)).astype(np.float32), RNG.random((2, 17)).astype(np.float32), NAMES, SKELETON
    ),
    tasks.Keypoints(np.empty((0, 17, 2), np.float32), np.empty((0, 17), np.float32), NAMES, SKELETON),
]
IDS = [f"{result.kind} {i}" for i, result in enumerate(RESULTS)]


@pytest.mark.parametrize("result", RESULTS, ids=IDS)
def test_a_result_is_plain_json_and_lines_of_text(result: tasks.Result) -> None:
    assert json.loads(json.dumps(result.to_dict()))["kind"] == result.kind
    assert all(isinstance(line, str) and "\n" not in line for line in result.lines())


@pytest.mark.parametrize("result", RESULTS, ids=IDS)
def test_drawing_leaves_the_picture_alone_and_returns_a_new_one(result: tasks.Result) -> None:
    image = np.full((80, 120, 3), 128, np.uint8)
    drawn = result.draw(image)
    assert np.all(image == 128)
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8
    nothing = isinstance(result, tasks.Mask) and not result.class_id.any()
    nothing = nothing or (isinstance(result, tasks.Detections | tasks.Keypoints) and not len(result.confidence))
    assert np.array_equal(drawn, image) == nothing


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (24, 600), (2160, 3840)])
def test_any_picture_can_be_drawn_on(size: tuple[int, int]) -> None:
    image = np.zeros((*size, 3), np.uint8)
    for result in RESULTS:
        if not isinstance(result, tasks.Mask):
            result.draw(image)
    tasks.Mask(np.ones(size, np.uint8)).draw(image)


def test_an_image_that_is_a_view_can_be_drawn_on() -> None:
    image = np.zeros((80, 240, 3), np.uint8)[:, ::-2]
    assert RESULTS[1].draw(image).any()


def test_a_class_without_a_label_is_shown_by_its_number() -> None:
    assert RESULTS[1].lines()[2].split("  ")[1] == "class 90"
