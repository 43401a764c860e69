"""Boxes that HailoRT has suppressed."""

import numpy as np
import pytest

from piaccel import tasks
from piaccel.errors import ModelError
from piaccel.frames import Geometry
from piaccel.tasks.hailo_nms import HailoNmsTask
from piaccel.tensors import Array, TensorSpec

SQUARE = Geometry((100, 200), (100, 100), (0.5, 1.0))
IMAGE = TensorSpec("net/input_layer1", (1, 640, 640, 3), np.dtype(np.uint8), "NHWC")


def table(*boxes: tuple[int, int, list[float]]) -> dict[str, Array]:
    made = np.zeros((1, 3, 5, 4), np.float32)
    for class_id, place, values in boxes:
        made[0, class_id, :, place] = values
    return {"net/yolov8_nms_postprocess": made}


def output(shape: tuple[int, ...], name: str = "net/yolov8_nms_postprocess") -> list[TensorSpec]:
    return [TensorSpec(name, shape, np.dtype(np.float32))]


def test_boxes_are_in_the_frame_s_pixels_with_their_class_best_first() -> None:
    outputs = table((2, 0, [0.1, 0.2, 0.3, 0.4, 0.5]), (0, 1, [0.0, 0.0, 1.0, 1.0, 0.9]))
    found = HailoNmsTask().decode(outputs, SQUARE, ["a", "b", "c"])
    np.testing.assert_allclose(found.xyxy, [[0, 0, 200, 100], [40, 10, 80, 30]], atol=1e-4)
    np.testing.assert_allclose(found.confidence, [0.9, 0.5])
    assert found.class_id.tolist() == [0, 2]
    assert found.class_id.dtype == np.int64
    assert found.labels[2] == "c"


def test_the_letterbox_is_undone() -> None:
    geometry = Geometry.fit((50, 100), (100, 100), "letterbox")
    found = HailoNmsTask().decode(table((1, 0, [0.25, 0.0, 0.75, 1.0, 0.8])), geometry, [])
    np.testing.assert_allclose(found.xyxy, [[0, 0, 100, 50]], atol=1e-4)


def test_boxes_below_the_threshold_are_left_out() -> None:
    outputs = table((0, 0, [0, 0, 1, 1, 0.39]), (1, 0, [0, 0, 1, 1, 0.41]))
    assert HailoNmsTask().decode(outputs, SQUARE, []).class_id.tolist() == [1]
    assert HailoNmsTask(threshold=0.3).decode(outputs, SQUARE, []).class_id.tolist() == [1, 0]


def test_no_boxes_are_an_empty_result() -> None:
    found = HailoNmsTask().decode(table(), SQUARE, [])
    assert found.xyxy.shape == (0, 4)


def test_at_most_the_limit_is_kept() -> None:
    outputs = table(*[(0, place, [0, 0, 1, 1, 0.5 + place / 10]) for place in range(4)])
    np.testing.assert_allclose(HailoNmsTask(limit=2).decode(outputs, SQUARE, []).confidence, [0.8, 0.7])


def test_too_few_labels_are_refused() -> None:
    with pytest.raises(ModelError, match="2 labels do not fit an output of 3 classes"):
        HailoNmsTask().decode(table(), SQUARE, ["a", "b"])


def test_another_output_is_refused() -> None:
    with pytest.raises(ModelError, match=r"got \(1, 6, 4\)"):
        HailoNmsTask().decode({"x": np.zeros((1, 6, 4), np.float32)}, SQUARE, [])


@pytest.mark.parametrize("classes", [1, 3, 80])
@pytest.mark.parametrize("most", [2, 20, 100])
def test_no_other_family_claims_such_an_output(classes: int, most: int) -> None:
    assert tasks.recognise([IMAGE], output((1, classes, 5, most))) == "hailo_nms"


@pytest.mark.parametrize(
    ("shape", "name"),
    [((1, 80, 4, 100), "net/nms"), ((1, 80, 80, 5), "net/nms"), ((1, 5, 100), "net/nms"), ((1, 64, 5, 5), "net/conv9")],
)
def test_outputs_that_only_look_alike_are_not_recognised(shape: tuple[int, ...], name: str) -> None:
    assert not HailoNmsTask.recognises([IMAGE], output(shape, name))


def test_pictures_are_letterboxed_and_an_8_bit_input_takes_them_as_they_are() -> None:
    usual = HailoNmsTask.usual_preprocess(IMAGE)
    assert usual.resize == "letterbox"
    picture = np.full((640, 640, 3), 77, np.uint8)
    np.testing.assert_array_equal(usual(picture)[0], picture[None])
