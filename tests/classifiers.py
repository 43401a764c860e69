"""A tiny ONNX classifier: the mean of each colour is its class' score. Red, green or blue: the answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LABELS = ("red", "green", "blue")


def colour(name: str, size: int = 8) -> NDArray[np.uint8]:
    """A picture, uint8 (size, size, 3) RGB, of one colour on grey."""
    picture = np.full((size, size, 3), 60, np.uint8)
    picture[..., LABELS.index(name)] = 220
    return picture


def onnx_classifier(path: Path, size: int | str = 8, classes: int = 3, order: tuple[int, ...] = (0, 1, 2)) -> Path:
    """Softmax over ``classes`` scores, (1, classes); ``order`` says which colour is which class (a wrong one lies)."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = np.zeros((classes, 3, 1, 1), np.float32)
    for index, channel in enumerate(order):
        weights[index, channel] = 4
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["image", "weights"], ["maps"], kernel_shape=[1, 1]),
            helper.make_node("GlobalAveragePool", ["maps"], ["means"]),
            helper.make_node("Flatten", ["means"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["scores"], axis=1),
        ],
        "colours",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 3, size, size))],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, (1, classes))],
        [numpy_helper.from_array(weights, "weights")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def labels_file(path: Path) -> Path:
    path.write_text("\n".join(LABELS) + "\n")
    return path
