from __future__ import annotations

import numpy as np
import pytest

from piaccel import tasks
from piaccel.errors import ModelError
from piaccel.frames import Geometry
from piaccel.tasks.movenet import NAMES, MoveNetTask
from piaccel.tensors import TensorSpec

GEOMETRY = Geometry((400, 200), (192, 192), (192 / 200, 192 / 400))
POINTS = np.stack((np.linspace(0, 1, 17), np.linspace(0.5, 0, 17), np.linspace(1, 0, 17)), axis=1).astype(np.float32)


def test_points_come_back_in_frame_pixels_best_first() -> None:
    pose = MoveNetTask().decode({"out": POINTS.reshape(1, 1, 17, 3)}, GEOMETRY, [])
    np.testing.assert_allclose(pose.xy[0], np.stack((POINTS[:, 1] * 200, POINTS[:, 0] * 400), axis=1), atol=1e-3)
    np.testing.assert_array_equal(pose.confidence[0], POINTS[:, 2])
    assert pose.lines()[0] == "100.0%  nose  (100, 0)"
    assert len(pose.lines()) == 12  # those of 0.3 and more
    assert [point["name"] for point in pose.to_dict()["poses"][0]] == list(NAMES)


def test_multipose_gives_the_bodies_above_the_threshold_best_first() -> None:
    bodies = np.zeros((1, 6, 56), np.float32)
    bodies[0, :, :51] = POINTS.ravel()
    bodies[0, :, 55] = 0.1, 0.5, 0.0, 0.9, 0.2, 0.29
    bodies[0, 3, 0] = 0.25
    pose = MoveNetTask().decode({"out": bodies}, GEOMETRY, [])
    assert pose.xy.shape == (2, 17, 2)
    np.testing.assert_allclose(pose.xy[:, 0], [[100, 100], [100, 0]])
    empty = MoveNetTask(threshold=0.95).decode({"out": bodies}, GEOMETRY, [])
    assert empty.xy.shape == (0, 17, 2)
    assert empty.lines() == ["nobody found"]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ModelError, match=r"movenet reads .* got \(1, 17, 2\)"):
        MoveNetTask().decode({"out": np.zeros((1, 17, 2))}, GEOMETRY, [])
    with pytest.raises(ModelError, match="2 labels do not fit MoveNet's 17 points"):
        MoveNetTask().decode({"out": POINTS.reshape(1, 1, 17, 3)}, GEOMETRY, ["a", "b"])


@pytest.mark.parametrize("shape", [(1, 1, 17, 3), (1, 6, 56)])
def test_poses_are_recognised(shape: tuple[int, ...]) -> None:
    image = TensorSpec("x", (1, 192, 192, 3), np.dtype(np.uint8), "NHWC")
    assert tasks.recognise([image], [TensorSpec("out", shape, np.dtype(np.float32))]) == "movenet"
