from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from piaccel import backends, tasks
from piaccel.errors import ModelError
from piaccel.frames import Geometry
from piaccel.tasks.yolo import YoloTask
from piaccel.tensors import TensorSpec

F32 = np.dtype(np.float32)
SIZE = (160, 192)
ANCHORS = 20 * 24 + 10 * 12 + 5 * 6
GEOMETRY = Geometry.fit((320, 640), SIZE, "letterbox")

# x1, y1, x2, y2 in model pixels, score, class
TRUTH = np.array([[20, 70, 60, 110, 0.9, 2], [100, 60, 180, 100, 0.8, 0], [100, 62, 180, 102, 0.7, 1]], np.float32)
CLASSES = 3


def head(truth: np.ndarray[Any, Any], anchors: int, objectness: bool) -> np.ndarray[Any, Any]:
    """(1, anchors, 4 or 5 + classes) that holds each true box three times: once right, twice a bit off and weaker."""
    rng = np.random.default_rng(0)
    first = 5 if objectness else 4
    rows = np.zeros((anchors, first + CLASSES), np.float32)
    rows[:, :4] = rng.uniform(5, 150, (anchors, 4))
    rows[:, 4:] = rng.uniform(0, 0.2, (anchors, first + CLASSES - 4))
    for i, (x1, y1, x2, y2, score, class_id) in enumerate(truth):
        for copy in range(3):
            row = rows[7 + 50 * i + copy]
            row[:4] = (x1 + x2) / 2 + copy, (y1 + y2) / 2, x2 - x1, y2 - y1
            row[4:] = 0.01
            row[first + int(class_id)] = score - 0.05 * copy
            if objectness:
                row[4], row[first + int(class_id)] = 0.95, (score - 0.05 * copy) / 0.95
    return rows[np.newaxis]


def normalise(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    rows = rows.copy()
    rows[..., :4] /= np.array((SIZE[1], SIZE[0]) * 2, np.float32)
    return rows


V5, V8 = head(TRUTH, 3 * ANCHORS, True), head(TRUTH, ANCHORS, False).transpose(0, 2, 1)
END_TO_END = np.zeros((1, 300, 6), np.float32)
END_TO_END[0, :3] = TRUTH
END_TO_END[0, 3:, :4] = np.random.default_rng(1).uniform(0, 150, (297, 4))
HEADS = {
    "v5": V5,
    "v5, normalised": normalise(V5),
    "v8": V8,
    "v8, normalised": normalise(V8.transpose(0, 2, 1)).transpose(0, 2, 1),
    "v8, columns last": V8.transpose(0, 2, 1),
    "end to end": END_TO_END,
    "end to end, normalised": normalise(END_TO_END),
}


def decode(output: np.ndarray[Any, Any], labels: list[str] = [], **options: Any) -> tasks.Detections:  # noqa: B006 - read only
    return YoloTask(**options).decode({"output0": output}, GEOMETRY, labels)


@pytest.mark.parametrize("output", HEADS.values(), ids=HEADS)
def test_the_true_boxes_come_back_from_every_head(output: np.ndarray[Any, Any]) -> None:
    for labels in ([], ["person", "car", "dog"]):
        result = decode(output, labels)
        assert result.class_id.tolist() == [2, 0, 1]
        np.testing.assert_allclose(result.confidence, TRUTH[:, 4], atol=1e-3)
        np.testing.assert_allclose(result.xyxy, GEOMETRY.to_frame(TRUTH[:, :4]), atol=0.05)


def test_a_small_head_of_one_class_is_not_taken_for_an_end_to_end_one() -> None:
    geometry = Geometry((96, 96), (96, 96))
    rows = np.zeros((1, 3 * (144 + 36 + 9), 6), np.float32)
    rows[0, 5] = 40, 40, 20, 10, 0.9, 0.9
    result = YoloTask().decode({"x": rows}, geometry, [])
    np.testing.assert_allclose(result.xyxy, [[30, 35, 50, 45]])


def test_an_empty_picture_gives_no_boxes() -> None:
    for output in HEADS.values():
        result = decode(output * np.float32(0))
        assert len(result) == 0
        assert result.lines() == ["nothing found"]
        assert result.to_dict() == {"kind": "detection", "boxes": []}


def test_the_labels_tell_whether_there_is_objectness() -> None:
    rows = np.zeros((1, ANCHORS, 8), np.float32)
    rows[0, 3] = 50, 80, 20, 20, 0.9, 0.0, 1.0, 0.0
    assert decode(rows, ["a", "b", "c"]).class_id.tolist() == [1]
    assert decode(rows, ["a", "b", "c", "d"]).class_id.tolist() == [2]
    assert decode(rows, objectness=True).confidence[0] == pytest.approx(0.9)


def test_options_override_what_the_values_say() -> None:
    tiny = np.zeros((1, 300, 6), np.float32)
    tiny[0, 0] = 0.2, 0.2, 1.5, 1.5, 0.9, 0
    assert decode(tiny, normalised=False).xyxy.max() < 6
    assert len(decode(END_TO_END, threshold=0.85)) == 1
    assert len(decode(V8, limit=2)) == 2
    assert len(decode(V8, iou=1.0)) == 9


def test_labels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ModelError, match="80 labels do not fit an output of 3 classes"):
        decode(V8, ["x"] * 80)
    with pytest.raises(ModelError, match="2 labels do not fit an output with class number 2"):
        decode(END_TO_END, ["a", "b"])


def test_an_output_of_another_shape_is_refused() -> None:
    with pytest.raises(ModelError, match=r"yolo reads .* got \(1, 85, 22, 22\)"):
        decode(np.zeros((1, 85, 22, 22), np.float32))


@pytest.mark.parametrize("name", HEADS)
def test_a_head_is_recognised_by_its_number_of_anchors(name: str) -> None:
    inputs = [TensorSpec("images", (1, 3, *SIZE), F32, "NCHW")]
    assert tasks.recognise(inputs, [TensorSpec("output0", HEADS[name].shape, F32)]) == "yolo"


@pytest.mark.parametrize("shape", [(1, 84, 8400), (1, 25200, 85), (1, 300, 6), (1, 102000, 85), (1, 34000, 84)])
def test_published_output_shapes_are_recognised(shape: tuple[int, ...]) -> None:
    size = 1280 if shape[1] > 30000 else 640
    inputs = [TensorSpec("images", (1, size, size, 3), F32, "NHWC")]
    assert tasks.recognise(inputs, [TensorSpec("output0", shape, F32)]) == "yolo"


def test_the_usual_preprocessing_is_a_letterbox_of_0_to_1() -> None:
    preprocess = YoloTask.usual_preprocess(TensorSpec("images", (1, 3, 640, 640), F32, "NCHW"))
    tensor, _ = preprocess(np.full((64, 128, 3), 255, np.uint8))
    assert tensor.shape == (1, 3, 640, 640)
    assert tensor[0, 0, 320, 320] == 1
    assert tensor[0, 0, 0, 0] == pytest.approx(114 / 255)


@pytest.mark.parametrize("name", ["v5", "v8", "end to end"])
def test_a_graph_is_recognised_and_decoded_through_a_runtime(name: str, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    value = onnx.numpy_helper.from_array(np.ascontiguousarray(HEADS[name]), "value")
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Sub", ["mean", "mean"], ["zero"]),
        helper.make_node("Add", ["value", "zero"], ["output0"]),
    ]
    image = helper.make_tensor_value_info("images", floats, (1, 3, *SIZE))
    output = helper.make_tensor_value_info("output0", floats, HEADS[name].shape)
    graph = helper.make_graph(nodes, "yolo", [image], [output], [value])
    path = tmp_path / "yolo.onnx"
    path.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    )
    backend = backends.get("onnxruntime")
    with backend.load(path, backend.options(threads=1)) as session:
        family = tasks.get(tasks.recognise(session.inputs, session.outputs) or "nothing")
        frame = np.zeros((320, 640, 3), np.uint8)
        tensor, geometry = family.usual_preprocess(session.inputs[0])(frame)
        result = family().decode(session.run({"images": tensor}), geometry, ["person", "car", "dog"])
    assert result.lines() == decode(HEADS[name], ["person", "car", "dog"]).lines()
