from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from piaccel import tasks
from piaccel.errors import ModelError
from piaccel.frames import Geometry
from piaccel.tasks.segmentation import SegmentationTask
from piaccel.tensors import TensorSpec

F32 = np.dtype(np.float32)
SIZE = (64, 96)
CLASSES = np.zeros(SIZE, np.int64)
CLASSES[16:32, 24:48] = 2
SCORES = np.eye(5, dtype=np.float32)[CLASSES] * 3 - 1  # (h, w, 5)
FRAME = (128, 288)
GEOMETRY = Geometry.fit(FRAME, SIZE, "stretch")
EXPECTED = np.zeros(FRAME, np.uint8)
EXPECTED[32:64, 72:144] = 2


def decode(output: Any, geometry: Geometry = GEOMETRY, labels: list[str] = []) -> tasks.Mask:  # noqa: B006 - read only
    return SegmentationTask().decode({"out": output}, geometry, labels)


@pytest.mark.parametrize(
    "output",
    [
        CLASSES[np.newaxis],
        CLASSES[np.newaxis].astype(np.float32),
        CLASSES[np.newaxis, ..., np.newaxis].astype(np.uint8),
        CLASSES[np.newaxis, np.newaxis],
        SCORES[np.newaxis],
        SCORES.transpose(2, 0, 1)[np.newaxis],
    ],
    ids=lambda array: f"{array.dtype} {array.shape}",
)
def test_numbers_and_scores_become_a_mask_of_the_frames_size(output: np.ndarray[Any, Any]) -> None:
    mask = decode(output)
    np.testing.assert_array_equal(mask.class_id, EXPECTED)
    assert mask.class_id.dtype == np.uint8


def test_a_coarse_grid_of_scores_is_smoothed() -> None:
    coarse = SCORES[4::8, 4::8]
    assert coarse.shape == (8, 12, 5)
    mask = decode(coarse[np.newaxis])
    assert np.mean(mask.class_id == EXPECTED) > 0.99


def test_many_classes_on_a_small_square_grid_are_read_from_the_right_axis() -> None:
    geometry = Geometry((66, 66), (66, 66))
    scores = np.zeros((1, 33, 33, 150), np.float32)
    scores[..., 149] = 1
    assert np.all(decode(scores, geometry).class_id == 149)
    assert np.all(decode(scores.transpose(0, 3, 1, 2), geometry).class_id == 149)


def test_one_score_a_pixel_is_a_class_above_half_or_above_zero() -> None:
    score = np.where(CLASSES == 2, 0.9, 0.2)[np.newaxis, np.newaxis]
    np.testing.assert_array_equal(decode(score).class_id, EXPECTED // 2)
    np.testing.assert_array_equal(decode(score * 8 - 4).class_id, EXPECTED // 2)


def test_letterbox_bars_are_cut_off_and_what_a_crop_hides_is_class_0() -> None:
    ones = np.ones((1, *SIZE), np.int64)
    letterbox = Geometry.fit((100, 100), SIZE, "letterbox")
    ones[0, :, letterbox.covered[1]] = 2
    assert np.all(decode(ones, letterbox).class_id == 2)
    crop = Geometry.fit((100, 100), SIZE, "crop")
    mask = decode(np.ones((1, *SIZE), np.int64), crop)
    rows, _ = crop.seen
    assert mask.class_id.shape == (100, 100)
    assert np.all(mask.class_id[rows] == 1)
    assert not mask.class_id[: rows.start].any()


def test_shares_are_listed_largest_first() -> None:
    mask = decode(CLASSES[np.newaxis], labels=["background", "cat", "bird"])
    assert mask.lines() == [" 93.8%  background", "  6.2%  bird"]
    assert mask.to_dict() == {
        "kind": "segmentation",
        "size": [128, 288],
        "classes": [
            {"class_id": 0, "label": "background", "share": 0.9375},
            {"class_id": 2, "label": "bird", "share": 0.0625},
        ],
    }


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ModelError, match="2 labels do not fit an output with class number 2"):
        decode(CLASSES[np.newaxis], labels=["a", "b"])
    with pytest.raises(ModelError, match="4 labels do not fit an output of 5 classes"):
        decode(SCORES[np.newaxis], labels=["a", "b", "c", "d"])
    with pytest.raises(ModelError, match="reads class numbers, the output has -1 to 2"):
        decode(CLASSES[np.newaxis] * 1.0 - (CLASSES == 0))
    with pytest.raises(ModelError, match=r"got \(1, 9\)"):
        decode(np.zeros((1, 9)))


@pytest.mark.parametrize(
    ("layout", "shape"),
    [
        ("NHWC", (1, 513, 513)),
        ("NHWC", (1, 513, 513, 1)),
        ("NHWC", (1, 513, 513, 21)),
        ("NHWC", (1, 33, 33, 21)),
        ("NCHW", (1, 1, 513, 513)),
        ("NCHW", (1, 19, 129, 129)),
    ],
)
def test_class_maps_are_recognised(layout: Any, shape: tuple[int, ...]) -> None:
    image = TensorSpec("x", (1, 513, 513, 3) if layout == "NHWC" else (1, 3, 513, 513), F32, layout)
    assert tasks.recognise([image], [TensorSpec("out", shape, F32)]) == "segmentation"
