from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from piaccel import tasks
from piaccel.errors import ModelError
from piaccel.frames import Geometry, Preprocess
from piaccel.tasks.classification import ClassificationTask
from piaccel.tensors import Quantization, TensorSpec

F32 = np.dtype(np.float32)
GEOMETRY = Geometry((10, 10), (10, 10))
NAMES = ["good", "scratched", "chipped", "hole missing"]


def decode(scores: Any, labels: list[str] = [], **options: Any) -> tasks.Classification:  # noqa: B006 - read only
    return ClassificationTask(**options).decode({"out": np.asarray(scores, np.float32)}, GEOMETRY, labels)


def test_probabilities_are_taken_as_they_are_best_first() -> None:
    result = decode([[0.1, 0.6, 0.05, 0.25]], NAMES, top=2)
    assert [(r.class_id, r.label) for r in result.top()] == [(1, "scratched"), (3, "hole missing")]
    assert result.lines() == [" 60.0%  scratched", " 25.0%  hole missing"]
    assert result.to_dict()["top"][0] == {"class_id": 1, "label": "scratched", "score": pytest.approx(0.6)}
    assert [r.class_id for r in result.top(9)] == [1, 3, 0, 2]


@pytest.mark.parametrize("logits", [[2.0, -1.0, 0.5, 7.0], [0.2, 0.1, 0.9, 0.8], [800.0, 900.0, 0.0, -900.0]])
def test_logits_go_through_softmax(logits: list[float]) -> None:
    exact = np.exp(np.array(logits) - max(logits))
    np.testing.assert_allclose(decode([logits]).scores, exact / exact.sum(), rtol=1e-5, atol=1e-30)


def test_an_8_bit_output_whose_rounding_does_not_sum_to_1_is_still_probabilities() -> None:
    scores = np.zeros((1, 1001), np.float32)
    scores[0, 5] = 0.6
    np.testing.assert_array_equal(decode(scores).scores, scores[0])


def test_softmax_can_be_switched() -> None:
    np.testing.assert_allclose(decode([[0.9, 0.8]], softmax=False).scores, [0.9, 0.8])
    np.testing.assert_allclose(decode([[1.0, 0.0]], softmax=True).scores, [0.731, 0.269], atol=1e-3)


def test_equal_scores_are_ordered_by_class() -> None:
    assert [r.class_id for r in decode([[0.25] * 4]).top()] == [0, 1, 2, 3]


@pytest.mark.parametrize("shape", [(1, 4), (1, 1, 1, 4), (1, 4, 1, 1), (4,)])
def test_the_shapes_of_a_classification_are_read(shape: tuple[int, ...]) -> None:
    assert decode(np.array([0.7, 0.1, 0.1, 0.1]).reshape(shape), NAMES).top()[0].label == "good"


def test_the_background_of_imagenet_may_be_in_the_labels_or_in_the_model_alone() -> None:
    names = [f"n{i}" for i in range(1000)]
    thousand, with_background = np.zeros((1, 1000)), np.zeros((1, 1001))
    thousand[0, 7] = with_background[0, 8] = 1
    assert decode(thousand, names).top()[0].label == "n7"
    assert decode(with_background, names).top()[0].label == "n7"
    assert decode(thousand, ["background", *names]).top()[0].label == "n7"
    assert decode(with_background, ["background", *names]).top()[0].label == "n7"


def test_labels_that_do_not_fit_are_named_with_both_counts() -> None:
    with pytest.raises(ModelError, match="3 labels do not fit an output of 4 classes"):
        decode([[0.7, 0.1, 0.1, 0.1]], NAMES[:3])
    with pytest.raises(ModelError, match="5 labels do not fit an output of 4 classes"):
        decode([[0.7, 0.1, 0.1, 0.1]], ["bad", *NAMES])


def test_a_class_without_a_label_is_shown_by_its_number() -> None:
    assert decode([[0.0, 1.0]]).top(1)[0].label == "class 1"


def test_several_outputs_are_no_classification() -> None:
    with pytest.raises(ModelError, match="reads one output, the model has 2: a, b"):
        ClassificationTask().decode({"a": np.zeros(3), "b": np.zeros(3)}, GEOMETRY, [])


def test_raw_pixels_pass_straight_into_a_quantized_input() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    for dtype, scale, zero_point, flip in (
        ("uint8", 1 / 128, 128, 0),
        ("uint8", 2 / 255, 127, 0),
        ("int8", 2 / 255, -1, 0x80),
    ):
        spec = TensorSpec("x", (1, 8, 8, 3), np.dtype(dtype), "NHWC", Quantization((scale,), (zero_point,)))
        tensor, _ = ClassificationTask.usual_preprocess(spec)(pixels)
        np.testing.assert_array_equal(tensor.view(np.uint8)[0] ^ flip, pixels)


def test_float_inputs_get_the_habits_of_their_layout() -> None:
    nhwc = ClassificationTask.usual_preprocess(TensorSpec("x", (1, 96, 96, 3), F32, "NHWC"))
    assert (nhwc.size, nhwc.mean, nhwc.std) == ((96, 96), (127.5,), (127.5,))
    nchw = ClassificationTask.usual_preprocess(TensorSpec("x", (None, 3, None, None), F32, "NCHW"))
    assert nchw == Preprocess((224, 224), mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375), layout="NCHW")
