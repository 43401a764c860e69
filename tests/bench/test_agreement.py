"""Same answer or not: what may differ, and what may not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from piaccel.bench.agreement import LOOSE, TIGHT, bounds_for, compare
from piaccel.bench.measure import Answer
from piaccel.tasks import Classification, Detections, Keypoints, Mask, Result
from piaccel.tensors import Array

SIZE = (480, 640)


def answer(result: Result, threshold: float = 0.0, **outputs: Array) -> Answer:
    return Answer(outputs, result, SIZE, threshold)


def scores(*values: float, labels: tuple[str, ...] = ("cat", "dog", "cow")) -> Answer:
    array = np.array(values, np.float32)
    return answer(Classification(array, labels), out=array[np.newaxis])


def boxes(*rows: tuple[float, float, float, float, float, int], threshold: float = 0.3) -> Answer:
    table = np.array(rows, np.float64).reshape(-1, 6)
    found = Detections(table[:, :4].astype(np.float32), table[:, 4].astype(np.float32), table[:, 5].astype(np.int64))
    return answer(found, threshold)


def points(xy: NDArray[np.float32], confidence: float = 0.9) -> Answer:
    return answer(Keypoints(xy, np.full(xy.shape[:2], confidence, np.float32)))


def test_equal_answers_agree_exactly() -> None:
    found = compare([scores(0.8, 0.1, 0.1)], [scores(0.8, 0.1, 0.1)], TIGHT)
    assert found.agrees
    assert found.cosine == 1.0
    assert found.max_abs_error == 0.0


def test_another_top_1_is_wrong_and_both_classes_are_named() -> None:
    found = compare([scores(0.8, 0.1, 0.1)], [scores(0.1, 0.8, 0.1)], LOOSE)
    assert not found.agrees
    assert not found.same_answer
    assert "top-1 dog instead of cat" in found.detail


def test_one_wrong_picture_among_right_ones_is_wrong() -> None:
    right, wrong = scores(0.8, 0.1, 0.1), scores(0.1, 0.8, 0.1)
    assert not compare([right, right, right], [right, wrong, right], LOOSE).agrees


def test_two_classes_as_good_as_each_other_in_the_reference_may_change_places() -> None:
    assert compare([scores(0.42, 0.40, 0.1)], [scores(0.40, 0.42, 0.1)], LOOSE).agrees
    assert not compare([scores(0.46, 0.40, 0.1)], [scores(0.40, 0.46, 0.1)], TIGHT).agrees


def test_the_same_top_1_with_scores_far_away_is_wrong_for_float32() -> None:
    found = compare([scores(0.8, 0.1, 0.1)], [scores(0.5, 0.3, 0.2)], TIGHT)
    assert not found.agrees
    assert found.same_answer
    assert "cosine" in found.detail
    assert compare([scores(0.8, 0.1, 0.1)], [scores(0.6, 0.25, 0.15)], LOOSE).agrees


def test_logits_and_probabilities_are_compared_as_scores() -> None:
    probabilities = np.array([0.7, 0.2, 0.1], np.float32)
    with_softmax = answer(Classification(probabilities), out=probabilities)
    without = answer(Classification(probabilities), out=np.log(probabilities) * 5)
    assert compare([with_softmax], [without], TIGHT).agrees


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_outputs_that_are_no_numbers_are_wrong_whatever_they_decode_to(value: float) -> None:
    broken = scores(0.8, 0.1, 0.1)
    broken.outputs["out"][0, 2] = value
    found = compare([scores(0.8, 0.1, 0.1)], [broken], LOOSE)
    assert not found.agrees
    assert found.cosine is None
    assert "NaN or infinite" in found.detail


def test_the_same_boxes_in_another_order_agree() -> None:
    first, second = (10, 10, 110, 110, 0.9, 1), (200, 200, 300, 300, 0.8, 2)
    assert compare([boxes(first, second)], [boxes(second, first)], TIGHT).agrees


def test_a_missing_box_an_added_box_and_another_class_are_wrong() -> None:
    first, second = (10, 10, 110, 110, 0.9, 1), (200, 200, 300, 300, 0.8, 2)
    missing = compare([boxes(first, second)], [boxes(first)], LOOSE)
    assert "1 of 2 boxes missing" in missing.detail
    assert "not the reference's" in compare([boxes(first)], [boxes(first, second)], LOOSE).detail
    assert not compare([boxes(first)], [boxes((*first[:5], 2))], LOOSE).agrees


def test_a_moved_box_is_the_same_for_int8_and_another_for_float32() -> None:
    here, there = (0, 0, 100, 100, 0.9, 1), (15, 0, 115, 100, 0.9, 1)  # IoU 0.74
    assert compare([boxes(here)], [boxes(there)], LOOSE).agrees
    assert not compare([boxes(here)], [boxes(there)], TIGHT).agrees


def test_a_box_near_the_threshold_may_vanish() -> None:
    sure, unsure = (10, 10, 110, 110, 0.9, 1), (200, 200, 300, 300, 0.72, 2)
    assert compare([boxes(sure, unsure, threshold=0.7)], [boxes(sure, threshold=0.7)], LOOSE).agrees


def test_one_box_cannot_stand_for_two() -> None:
    twice = (10, 10, 110, 110, 0.9, 1)
    assert not compare([boxes(twice, twice)], [boxes(twice)], LOOSE).agrees


def test_nothing_found_by_both_is_the_same_answer() -> None:
    assert compare([boxes()], [boxes()], TIGHT).agrees


def test_masks_agree_up_to_their_edges() -> None:
    ours, theirs = np.zeros((10, 100), np.uint8), np.zeros((10, 100), np.uint8)
    ours[:, :40] = theirs[:, :45] = 3
    assert compare([answer(Mask(ours))], [answer(Mask(theirs))], LOOSE).agrees
    found = compare([answer(Mask(ours))], [answer(Mask(theirs))], TIGHT)
    assert not found.agrees
    assert "95.0%" in found.detail
    assert not compare([answer(Mask(ours))], [answer(Mask(theirs[:5]))], LOOSE).agrees


@pytest.mark.parametrize("turned", [False, True])
def test_a_small_object_that_only_one_mask_has_is_another_answer(turned: bool) -> None:
    empty, defect = np.zeros((100, 100), np.uint8), np.zeros((100, 100), np.uint8)
    defect[40:52, 40:52] = 3  # 1.4 % of the picture: the masks are the same in 98.6 % of it
    ours, theirs = (defect, empty) if turned else (empty, defect)
    for bounds in (TIGHT, LOOSE):
        found = compare([answer(Mask(ours))], [answer(Mask(theirs))], bounds)
        assert not found.agrees
        assert "class 3 of the mask overlaps by 0%" in found.detail


def test_a_few_pixels_of_another_class_are_no_object() -> None:
    ours, theirs = np.zeros((100, 100), np.uint8), np.zeros((100, 100), np.uint8)
    theirs[:5, :10] = 3
    assert compare([answer(Mask(ours))], [answer(Mask(theirs))], TIGHT).agrees


def test_boxes_that_the_graph_itself_gives_in_another_order_agree() -> None:
    first, second = (10, 10, 110, 110, 0.9, 1), (200, 200, 300, 300, 0.9, 2)
    table = np.array([first, second], np.float32)
    ours, theirs = boxes(first, second), boxes(second, first)
    ours.outputs["out"], theirs.outputs["out"] = table, table[::-1]
    found = compare([ours], [theirs], TIGHT)
    assert found.agrees
    assert found.cosine is not None
    assert found.cosine < TIGHT.cosine


def test_float32_outputs_far_away_are_wrong_where_nothing_is_found() -> None:
    ours, theirs = boxes(), boxes()
    ours.outputs["out"], theirs.outputs["out"] = np.eye(2, dtype=np.float32), np.ones((2, 2), np.float32)
    assert not compare([ours], [theirs], TIGHT).agrees


def test_keypoints_may_move_a_little_and_unsure_ones_anywhere() -> None:
    xy = np.full((1, 17, 2), 200, np.float32)
    assert compare([points(xy)], [points(xy + 20)], LOOSE).agrees
    assert not compare([points(xy)], [points(xy + 40)], LOOSE).agrees
    assert compare([points(xy, 0.2)], [points(xy + 300, 0.2)], LOOSE).agrees


def test_outputs_are_laid_side_by_side_across_layouts_and_names() -> None:
    nchw = np.random.default_rng(0).normal(size=(1, 4, 6, 5)).astype(np.float32)
    extra = np.ones((1, 7), np.float32)
    ours = answer(boxes().result, first=nchw, second=extra)
    theirs = answer(boxes().result, out1=extra, out0=np.ascontiguousarray(nchw.transpose(0, 2, 3, 1)))
    found = compare([ours], [theirs], TIGHT)
    assert found.agrees
    assert found.cosine == pytest.approx(1.0)
    assert found.max_abs_error == 0.0


def test_outputs_of_other_sizes_leave_only_the_answers_to_compare() -> None:
    ours = answer(boxes().result, out=np.ones((1, 4), np.float32))
    theirs = answer(boxes().result, out=np.ones((1, 5), np.float32))
    found = compare([ours], [theirs], TIGHT)
    assert found.agrees
    assert found.cosine is None


def test_float32_against_float32_is_held_to_the_tight_bounds() -> None:
    assert bounds_for("fp32", "float32") is TIGHT
    assert bounds_for("fp32", "int8") is LOOSE
    assert bounds_for("unknown", "fp32") is LOOSE
