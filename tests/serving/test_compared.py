"""When two answers are the same one."""

import copy
from typing import Any

import numpy as np
import pytest

from piaccel.serving import compared
from piaccel.serving.compared import ANSWER, LOOSE, TIGHT, agrees, agrees_tensors, difference
from piaccel.serving.messages import Tensor
from piaccel.tasks import Classification, Detections, Keypoints, Mask
from piaccel.tensors import Array

LABELS = ("washer", "gear", "nut")


def scores(*values: float, labels: tuple[str, ...] = LABELS) -> dict[str, Any]:
    return Classification(np.array(values, np.float32), labels).to_dict()


def boxes(*found: tuple[tuple[float, ...], float, int], labels: tuple[str, ...] = LABELS) -> dict[str, Any]:
    xyxy, confidence, class_id = zip(*found, strict=True) if found else ((), (), ())
    places = np.array(xyxy, np.float32).reshape(-1, 4)
    return Detections(places, np.array(confidence, np.float32), np.array(class_id, np.int64), labels).to_dict()


def mask(class_id: Array, labels: tuple[str, ...] = LABELS) -> dict[str, Any]:
    return compared.plain(Mask(class_id.astype(np.uint8), labels), class_id.shape)


def pose(xy: Array, names: tuple[str, ...] = ("nose", "ear"), sure: float = 0.9) -> dict[str, Any]:
    found = Keypoints(np.array([xy], np.float32), np.full((1, len(xy)), sure, np.float32), names)
    return compared.plain(found, (100, 200))


def test_the_class_at_the_top_decides_and_a_tie_does_not() -> None:
    assert difference("classification", scores(0.8, 0.1, 0.1), scores(0.7, 0.2, 0.1), LOOSE) == ""
    assert (
        difference("classification", scores(0.8, 0.1, 0.1), scores(0.1, 0.8, 0.1), ANSWER) == "gear instead of washer"
    )
    assert agrees("classification", scores(0.48, 0.46, 0.06), scores(0.44, 0.5, 0.06))
    assert not agrees("classification", scores(0.6, 0.3, 0.1), scores(0.3, 0.6, 0.1))


def test_labels_count_and_numbers_do_not() -> None:
    other = tuple(reversed(LABELS))
    assert not agrees("classification", scores(0.8, 0.1, 0.1), scores(0.8, 0.1, 0.1, labels=other))
    assert agrees("classification", scores(0.8, 0.1, 0.1), scores(0.1, 0.1, 0.8, labels=other))
    there = ((0, 0, 10, 10), 0.9, 0)
    assert not agrees("detection", boxes(there), boxes(there, labels=other))
    whole = np.zeros((40, 40))
    assert not agrees("segmentation", mask(whole), mask(whole, labels=other))
    assert agrees("segmentation", mask(whole), mask(whole + 2, labels=other))


def test_scores_move_little_between_float32_and_may_move_more_when_quantized() -> None:
    found = scores(0.7, 0.25, 0.05)
    assert "cosine" in difference("classification", scores(0.8, 0.1, 0.1), found, TIGHT)
    assert difference("classification", scores(0.8, 0.1, 0.1), found, LOOSE) == ""
    assert difference("classification", scores(0.8, 0.1, 0.1), scores(0.4, 0.3, 0.3), ANSWER) == ""


def test_a_box_that_is_missing_added_moved_or_of_another_label_is_told() -> None:
    one, two = ((0, 0, 10, 10), 0.9, 0), ((20, 20, 40, 40), 0.8, 1)
    wanted = boxes(one, two)
    assert difference("detection", wanted, boxes(two, one), LOOSE) == ""
    assert difference("detection", wanted, boxes(one), LOOSE) == "1 of 2 boxes missing (gear)"
    assert difference("detection", boxes(one), wanted, LOOSE) == "1 of 2 boxes not expected (gear)"
    assert difference("detection", wanted, boxes(one, ((22, 22, 42, 42), 0.8, 1)), LOOSE) == ""
    assert difference("detection", wanted, boxes(one, ((30, 30, 50, 50), 0.8, 1)), LOOSE)
    assert difference("detection", wanted, boxes(one, ((20, 20, 40, 40), 0.8, 2)), LOOSE)
    assert difference("detection", boxes(), boxes(), LOOSE) == ""
    assert difference("detection", boxes(), boxes(one), LOOSE)


def test_a_box_close_to_the_threshold_may_come_and_go() -> None:
    sure, faint = ((0, 0, 10, 10), 0.9, 0), ((20, 20, 40, 40), 0.68, 1)
    assert difference("detection", boxes(sure, faint), boxes(sure), LOOSE, threshold=0.65) == ""
    assert difference("detection", boxes(sure, faint), boxes(sure), LOOSE, threshold=0.4)
    assert difference("detection", boxes(sure), boxes(((0, 0, 10, 10), 0.3, 0)), LOOSE) == ""


def test_one_box_does_not_stand_for_two() -> None:
    one = ((0, 0, 10, 10), 0.9, 0)
    assert not agrees("detection", boxes(one, one), boxes(one))


def test_a_mask_is_compared_point_by_point() -> None:
    there = np.zeros((64, 96))
    there[:, :30] = 1
    moved = np.roll(there, 30, axis=1)
    assert difference("segmentation", mask(there), mask(there), TIGHT) == ""
    assert difference("segmentation", mask(there), mask(moved), LOOSE)
    assert difference("segmentation", mask(there), mask(np.zeros((64, 64))), LOOSE).startswith("a mask of [64, 64]")


def test_a_small_class_that_vanished_is_told() -> None:
    there = np.zeros((64, 64))
    there[:12, :12] = 2
    assert "nut of the mask overlaps by 0%" in difference("segmentation", mask(there), mask(there * 0), LOOSE)


def test_masks_without_points_are_compared_by_their_shares() -> None:
    there = np.zeros((64, 64))
    there[:, :32] = 1
    plain = mask(there)
    del plain["grid"]
    assert agrees("segmentation", plain, mask(1 - there))
    assert not agrees("segmentation", plain, mask(there * 0))


def test_a_keypoint_may_move_by_a_part_of_the_picture() -> None:
    places = np.array([[50, 50], [60, 40]], float)
    assert difference("pose", pose(places), pose(places + 1), TIGHT) == ""
    assert difference("pose", pose(places), pose(places + 30), LOOSE) == "nose lies 15% away"
    assert difference("pose", pose(places, sure=0.2), pose(places + 30), LOOSE) == ""
    assert difference("pose", pose(places), pose(places, names=("ear", "nose")), LOOSE) == "other keypoints"
    nobody = {"kind": "pose", "poses": []}
    assert difference("pose", pose(places), nobody, LOOSE) == "0 bodies instead of 1"


def test_another_kind_is_another_answer() -> None:
    assert difference("classification", scores(1, 0, 0), boxes(), LOOSE) == "detection instead of classification"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_no_answer(bad: float) -> None:
    there = ((0, 0, 10, 10), 0.9, 0)
    for kind, good in (("classification", scores(0.8, 0.1, 0.1)), ("detection", boxes(there))):
        spoilt = copy.deepcopy(good)
        next(iter(spoilt.get("top") or spoilt["boxes"]))["score"] = float(bad)
        assert "NaN" in difference(kind, good, spoilt, ANSWER)


def test_a_kind_of_another_package_is_compared_number_by_number() -> None:
    wanted = {"kind": "anomaly", "score": 0.2, "where": [{"x": 120.0, "label": "crack"}]}
    found = copy.deepcopy(wanted)
    assert agrees("anomaly", wanted, found)
    found["score"] = 0.25
    assert agrees("anomaly", wanted, found)
    found["score"] = 0.9
    assert difference("anomaly", wanted, found, LOOSE) == "score is 0.9 instead of 0.2"
    found = copy.deepcopy(wanted)
    found["where"][0]["label"] = "dent"  # type: ignore[index]
    assert difference("anomaly", wanted, found, LOOSE) == "where[0].label is 'dent' instead of 'crack'"
    assert "2 entries" in difference("anomaly", wanted, {**wanted, "where": [1, 2]}, LOOSE)
    assert "holds kind, score" in difference("anomaly", wanted, {"kind": "anomaly", "score": 0.2}, LOOSE)


def tensors(*arrays: Array) -> list[Tensor]:
    return [Tensor.of(f"out{i}", array) for i, array in enumerate(arrays)]


def test_raw_scores_agree_when_their_highest_class_is_the_same() -> None:
    a = np.array([[0.1, 0.7, 0.2]], np.float32)
    assert agrees_tensors(tensors(a), tensors(a * 0.9))
    assert not agrees_tensors(tensors(a), tensors(a[:, [1, 0, 2]]))
    whole = np.array([[3, 120, 7]], np.uint8)
    assert agrees_tensors(tensors(whole), tensors(whole // 2))


def test_other_raw_outputs_agree_when_they_point_the_same_way() -> None:
    a = np.random.default_rng(1).normal(size=(1, 20, 4)).astype(np.float32)
    assert agrees_tensors(tensors(a), tensors(a * 1.01))
    assert not agrees_tensors(tensors(a), tensors(-a))
    zeros = np.zeros_like(a)
    assert agrees_tensors(tensors(zeros), tensors(zeros))
    assert not agrees_tensors(tensors(zeros), tensors(a))


def test_raw_maps_of_classes_agree_when_most_points_are_the_same() -> None:
    a = np.arange(400, dtype=np.int64).reshape(1, 20, 20) // 100
    b = a.copy()
    b[0, 0] = 3
    assert agrees_tensors(tensors(a), tensors(b))
    b[0, :4] = 3
    assert not agrees_tensors(tensors(a), tensors(b))


def test_raw_outputs_of_other_names_shapes_or_kinds_do_not_agree() -> None:
    a = np.ones((1, 3), np.float32)
    assert not agrees_tensors(tensors(a), tensors(a, a))
    assert not agrees_tensors(tensors(a), tensors(np.ones((1, 4), np.float32)))
    assert not agrees_tensors(tensors(a), tensors(a.astype(np.uint8)))
    assert not agrees_tensors(tensors(a), [Tensor.of("other", a)])
    assert agrees_tensors(tensors(a, a * 2), tensors(a, a * 2)[::-1])


def test_raw_outputs_with_nan_agree_with_nothing() -> None:
    a = np.array([[0.1, np.nan]], np.float32)
    assert not agrees_tensors(tensors(a), tensors(a))


def test_texts_agree_when_they_are_equal() -> None:
    a = Tensor("text", "BYTES", (1,), b"\x02\0\0\0hi")
    assert agrees_tensors([a], [Tensor("text", "BYTES", (1,), memoryview(b"\x02\0\0\0hi"))])
    assert not agrees_tensors([a], [Tensor("text", "BYTES", (1,), b"\x02\0\0\0ho")])
