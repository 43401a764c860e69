"""NanoDet-Plus is decoded by hand-made outputs."""

import numpy as np
import pytest
from numpy.typing import NDArray

from piaccel import tasks
from piaccel.errors import ModelError, OptionError
from piaccel.frames import Geometry
from piaccel.tasks.nanodet import NanoDetTask
from piaccel.tensors import TensorSpec

SIZE = (64, 96)
ROWS = 8 * 12 + 4 * 6 + 2 * 3 + 1 * 2
WHOLE = Geometry.fit(SIZE, SIZE, "stretch")


def raw(classes: int = 3) -> NDArray[np.float32]:
    """Nothing found: logits far below 0."""
    output = np.full((1, ROWS, classes + 32), -9, np.float32)
    output[..., classes:] = 0
    return output


def put(
    output: NDArray[np.float32], row: int, class_id: int, logit: float, sides: tuple[int, int, int, int]
) -> NDArray[np.float32]:
    """Put a box at a cell, its sides whole strides away."""
    classes = output.shape[2] - 32
    output[0, row, class_id] = logit
    for place, strides in enumerate(sides):
        output[0, row, classes + 8 * place + strides] = 60
    return output


def specs(rows: int = ROWS, columns: int = 35) -> tuple[list[TensorSpec], list[TensorSpec]]:
    image = TensorSpec("image", (1, 3, *SIZE), np.dtype(np.float32), "NCHW")
    return [image], [TensorSpec("output", (1, rows, columns), np.dtype(np.float32))]


def test_it_is_recognised_by_its_number_of_rows() -> None:
    assert tasks.recognise(*specs()) == "nanodet"
    assert not NanoDetTask.recognises(*specs(rows=ROWS - 1))
    assert not NanoDetTask.recognises(*specs(columns=32))


def test_a_box_is_as_far_from_its_cell_as_its_distributions_say() -> None:
    output = put(raw(), 12 * 3 + 5, 2, 2.0, (1, 2, 3, 4))  # stride 8, row 3, column 5: at (40, 24)
    found = NanoDetTask().decode({"output": output}, WHOLE, ("a", "b", "c"))
    np.testing.assert_allclose(found.xyxy, [[32, 8, 64, 56]], atol=1e-4)
    assert found.class_id.tolist() == [2]
    assert found.confidence[0] == pytest.approx(1 / (1 + np.exp(-2)))


def test_the_coarser_grids_follow_row_by_row() -> None:
    output = put(raw(), 96 + 6 * 1 + 2, 0, 5.0, (1, 1, 1, 1))  # stride 16, row 1, column 2: at (32, 16)
    output = put(output, ROWS - 1, 1, 4.0, (1, 0, 0, 1))  # stride 64, row 0, column 1: at (64, 0)
    found = NanoDetTask().decode({"output": output}, WHOLE, ())
    np.testing.assert_allclose(found.xyxy, [[16, 0, 48, 32], [0, 0, 64, 64]], atol=1e-4)


def test_a_side_between_two_strides_is_their_mean() -> None:
    output = put(raw(), 0, 0, 5.0, (0, 0, 1, 1))
    output[0, 0, 3 + 16 + 2] = 60  # right: as likely 1 as 2
    found = NanoDetTask().decode({"output": output}, WHOLE, ())
    np.testing.assert_allclose(found.xyxy, [[0, 0, 12, 8]], atol=1e-4)


def test_scores_that_are_probabilities_stay() -> None:
    output = put(raw(), 50, 1, 0.7, (1, 1, 1, 1))
    output[..., :3] = np.where(output[..., :3] < 0, 0, output[..., :3])
    assert NanoDetTask().decode({"output": output}, WHOLE, ()).confidence.tolist() == pytest.approx([0.7])
    logits = NanoDetTask(sigmoid=True, threshold=0.6).decode({"output": output}, WHOLE, ())
    assert logits.confidence.tolist() == pytest.approx([1 / (1 + np.exp(-0.7))])


def test_of_two_boxes_of_one_class_in_one_place_the_better_stays() -> None:
    output = put(put(raw(), 13, 0, 5.0, (0, 0, 4, 4)), 14, 0, 4.0, (1, 0, 3, 4))
    assert len(NanoDetTask().decode({"output": output}, WHOLE, ())) == 1
    assert len(NanoDetTask(iou=1).decode({"output": output}, WHOLE, ())) == 2


def test_nothing_found_is_no_box() -> None:
    assert len(NanoDetTask().decode({"output": raw()}, WHOLE, ())) == 0


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ModelError, match=rf"nanodet reads \(1, {ROWS}, classes \+ 32\), got \(1, 5, 35\)"):
        NanoDetTask().decode({"output": raw()[:, :5]}, WHOLE, ())
    with pytest.raises(ModelError, match="2 labels do not fit"):
        NanoDetTask().decode({"output": raw()}, WHOLE, ("a", "b"))
    with pytest.raises(OptionError, match="bins is 1"):
        NanoDetTask(bins=1)
