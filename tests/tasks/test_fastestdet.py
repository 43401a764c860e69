from __future__ import annotations

import numpy as np
import pytest

from piaccel import tasks
from piaccel.errors import ModelError
from piaccel.frames import Geometry
from piaccel.tasks.fastestdet import FastestDetTask
from piaccel.tensors import TensorSpec

F32 = np.dtype(np.float32)
GEOMETRY = Geometry((704, 704), (352, 352), (0.5, 0.5))


def cells(classes: int = 3) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """A box of 64x32 model pixels centred at (104, 56), in the cell of row 3 and column 6."""
    output = np.full((1, 5 + classes, 22, 22), 0.01, np.float32)
    x, y, w, h = 104 / 16 - 6, 56 / 16 - 3, 64 / 352, 32 / 352
    output[0, 1:3, 3, 6] = np.arctanh([x, y])
    output[0, 3:5, 3, 6] = np.log([w / (1 - w), h / (1 - h)])
    output[0, 0, 3, 6], output[0, 6, 3, 6] = 0.9, 0.8
    return output


def test_the_true_box_comes_back() -> None:
    result = FastestDetTask().decode({"758": cells()}, GEOMETRY, ["a", "b", "c"])
    np.testing.assert_allclose(result.xyxy, [[144, 80, 272, 144]], atol=0.01)
    assert result.confidence[0] == pytest.approx(0.9**0.6 * 0.8**0.4)
    assert result.to_dict()["boxes"][0]["label"] == "b"


def test_labels_and_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ModelError, match="2 labels do not fit an output of 3 classes"):
        FastestDetTask().decode({"758": cells()}, GEOMETRY, ["a", "b"])
    with pytest.raises(ModelError, match=r"fastestdet reads .* got \(1, 5\)"):
        FastestDetTask().decode({"758": np.zeros((1, 5))}, GEOMETRY, [])


def test_a_map_of_cells_at_a_stride_of_16_is_recognised() -> None:
    image = TensorSpec("input.1", (1, 3, 352, 352), F32, "NCHW")
    assert tasks.recognise([image], [TensorSpec("758", (1, 85, 22, 22), F32)]) == "fastestdet"
    assert tasks.recognise([image], [TensorSpec("758", (1, 85, 44, 44), F32)]) == "segmentation"


def test_pixels_go_in_as_bgr_of_0_to_1() -> None:
    preprocess = FastestDetTask.usual_preprocess(TensorSpec("x", (1, 3, 352, 352), F32, "NCHW"))
    tensor, _ = preprocess(np.full((4, 4, 3), (0, 51, 255), np.uint8))
    np.testing.assert_allclose(tensor[0, :, 0, 0], [1, 0.2, 0])
