from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from piaccel import tasks
from piaccel.errors import ModelError
from piaccel.frames import Geometry
from piaccel.tasks.ssd import SsdTask
from piaccel.tasks.ssd_raw import SsdRawTask, priors
from piaccel.tensors import TensorSpec

F32 = np.dtype(np.float32)
GEOMETRY = Geometry((480, 640), (240, 320), (0.5, 0.5))

POST = {
    "boxes": np.array([[[0.1, 0.2, 0.5, 0.6], [0.0, 0.0, 1.2, 0.5], [0, 0, 0, 0]]], np.float32),
    "classes": np.array([[2, 0, 0]], np.float32),
    "scores": np.array([[0.9, 0.5, 0.0]], np.float32),
    "count": np.array([2], np.float32),
}
FOUND = [" 90.0%  dog  [128, 48, 384, 240]", " 50.0%  cat  [0, 0, 320, 480]"]


@pytest.mark.parametrize("order", [*itertools.permutations(POST)])
def test_the_four_outputs_are_read_in_any_order_under_any_name(order: tuple[str, ...]) -> None:
    outputs = {f"StatefulPartitionedCall:{i}": POST[name] for i, name in enumerate(order)}
    assert SsdTask().decode(outputs, GEOMETRY, ["cat", "cow", "dog"]).lines() == FOUND


def test_names_tell_scores_from_classes_where_the_values_do_not() -> None:
    whole = {**POST, "scores": np.ones((1, 3), np.float32), "classes": np.array([[1, 1, 0]], np.float32)}
    renamed = {f"detection_{name}": whole[name] for name in ("scores", "boxes", "count", "classes")}
    assert SsdTask().decode(renamed, GEOMETRY, []).class_id.tolist() == [1, 1]
    in_order = {f"TFLite_Detection_PostProcess:{i}": whole[name] for i, name in enumerate(POST)}
    assert SsdTask().decode(in_order, GEOMETRY, []).class_id.tolist() == [1, 1]


def test_a_background_in_front_of_the_labels_is_no_class_of_the_graph() -> None:
    assert SsdTask().decode(POST, GEOMETRY, ["???", "cat", "cow", "dog"]).lines() == FOUND
    assert SsdTask(class_offset=1).decode(POST, GEOMETRY, ["???", "cat", "cow", "dog"]).lines() == FOUND


def test_the_count_and_the_threshold_limit_the_boxes() -> None:
    one = {**POST, "count": np.array([1], np.float32)}
    assert len(SsdTask(threshold=0.0).decode(one, GEOMETRY, [])) == 1
    assert len(SsdTask(threshold=0.6).decode(POST, GEOMETRY, [])) == 1


def test_too_few_labels_are_refused() -> None:
    with pytest.raises(ModelError, match="2 labels do not fit an output with class number 2"):
        SsdTask().decode(POST, GEOMETRY, ["cat", "cow"])


def test_other_outputs_are_refused_with_their_shapes() -> None:
    with pytest.raises(ModelError, match=r"ssd reads boxes .* got boxes \(1, 3, 4\), classes \(1, 3\)"):
        SsdTask().decode({"boxes": POST["boxes"], "classes": POST["classes"]}, GEOMETRY, [])


@pytest.mark.parametrize("order", [*itertools.permutations(POST)])
def test_the_four_outputs_are_recognised(order: tuple[str, ...]) -> None:
    image = TensorSpec("x", (1, 300, 300, 3), np.dtype(np.uint8), "NHWC")
    outputs = [TensorSpec(f"out:{i}", POST[name].shape, F32) for i, name in enumerate(order)]
    assert tasks.recognise([image], outputs) == "ssd"
    unshaped = [TensorSpec(f"TFLite_Detection_PostProcess:{i}", (), F32) for i in range(4)]
    assert tasks.recognise([image], unshaped) == "ssd"


# Boxes of pixels of the 320x240 input, far from each other.
FACES = np.array([[40, 40, 60, 66], [100, 30, 180, 120], [230, 100, 262, 140]], np.float32)


def raw(faces: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """Encode boxes as regressions to the prior that fits each best (box_utils.convert_boxes_to_locations)."""
    prior = priors((240, 320), (8, 16, 32, 64), ((10, 16, 24), (32, 48), (64, 96), (128, 192, 256)))
    scores = np.tile(np.array([0.99, 0.01], np.float32), (len(prior), 1))
    boxes = np.random.default_rng(0).normal(0, 1, (len(prior), 4)).astype(np.float32)
    for i, (x1, y1, x2, y2) in enumerate(faces):
        centre, size = np.array([(x1 + x2) / 2, (y1 + y2) / 2]), np.array([x2 - x1, y2 - y1])
        at = np.argmin(np.abs(prior - np.concatenate((centre, size))).sum(axis=1))
        boxes[at, :2] = (centre - prior[at, :2]) / prior[at, 2:] / 0.1
        boxes[at, 2:] = np.log(size / prior[at, 2:]) / 0.2
        scores[at] = 0.1 * i + 0.05, 0.95 - 0.1 * i
    return {"scores": scores[np.newaxis], "boxes": boxes[np.newaxis]}


def decoded(faces: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
    outputs = raw(faces)
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 0.8, (4420, 2))
    outputs["boxes"] = np.concatenate((corner, corner + rng.uniform(0.01, 0.2, (4420, 2))), axis=1)[np.newaxis]
    at = np.argsort(-outputs["scores"][0, :, 1], kind="stable")[: len(faces)]
    outputs["boxes"][0, at] = faces / np.array([320, 240, 320, 240])
    return outputs


@pytest.mark.parametrize("make", [raw, decoded])
def test_the_true_faces_come_back_from_regressions_and_from_corners(make: Any) -> None:
    outputs = make(FACES)
    scores, boxes = outputs["scores"], outputs["boxes"]
    for named in (outputs, {"a": scores, "b": boxes}, {"a": boxes, "b": scores}):
        result = SsdRawTask().decode(named, GEOMETRY, [])
        np.testing.assert_allclose(result.xyxy, FACES * 2, atol=0.01)
        assert result.lines()[0] == " 95.0%  face  [80, 80, 120, 132]"
    assert SsdRawTask().decode(outputs, GEOMETRY, ["background", "head"]).labels == ["head"]


def test_the_priors_are_those_of_the_original() -> None:
    prior = priors((240, 320), (8, 16, 32, 64), ((10, 16, 24), (32, 48), (64, 96), (128, 192, 256)))
    assert prior.shape == (4420, 4)
    np.testing.assert_array_equal(prior[:4], [[4, 4, 10, 10], [4, 4, 16, 16], [4, 4, 24, 24], [12, 4, 10, 10]])
    np.testing.assert_array_equal(prior[-1], [288, 224, 256, 240])  # clipped to the input, as the original does


def test_several_classes_are_kept_apart() -> None:
    outputs = {
        "scores": np.array([[[0.1, 0.1, 0.8], [0.1, 0.9, 0.0], [0.9, 0.1, 0.0]]], np.float32),
        "boxes": np.array([[[0.1, 0.1, 0.5, 0.5]] * 3], np.float32),
    }
    result = SsdRawTask().decode(outputs, GEOMETRY, ["background", "cat", "dog"])
    assert [line.split()[1] for line in result.lines()] == ["cat", "dog"]


def test_what_does_not_fit_is_refused() -> None:
    outputs = raw(FACES)
    with pytest.raises(ModelError, match=r"4420 boxes do not fit .* priors of an input of \(480, 640\)"):
        SsdRawTask().decode(outputs, Geometry((480, 640), (480, 640)), [])
    with pytest.raises(ModelError, match="scores reach from"):
        SsdRawTask().decode({**outputs, "scores": outputs["scores"] * 9}, GEOMETRY, [])
    with pytest.raises(ModelError, match=r"ssd_raw reads scores .* got scores \(1, 4420, 2\)"):
        SsdRawTask().decode({"scores": outputs["scores"]}, GEOMETRY, [])
    with pytest.raises(ModelError, match="3 labels do not fit an output of 1 classes"):
        SsdRawTask().decode(outputs, GEOMETRY, ["a", "b", "c"])


def test_raw_outputs_are_recognised() -> None:
    image = TensorSpec("input", (1, 3, 240, 320), F32, "NCHW")
    shaped = [TensorSpec("b", (1, 4420, 4), F32), TensorSpec("a", (1, 4420, 2), F32)]
    assert tasks.recognise([image], shaped) == "ssd_raw"
    named = [TensorSpec("boxes", (1, None), F32), TensorSpec("scores", (1, None), F32)]
    assert tasks.recognise([image], named) == "ssd_raw"
