"""MoveNet: the 17 points of a body after COCO, one body or up to six."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from piaccel.errors import ModelError
from piaccel.frames import Geometry, Preprocess
from piaccel.tasks import Keypoints, Task
from piaccel.tasks._outputs import only
from piaccel.tasks._usual import usual
from piaccel.tensors import Array, TensorSpec

NAMES = (
    *("nose", "left eye", "right eye", "left ear", "right ear", "left shoulder", "right shoulder"),
    *("left elbow", "right elbow", "left wrist", "right wrist", "left hip", "right hip"),
    *("left knee", "right knee", "left ankle", "right ankle"),
)
SKELETON = (
    *((0, 1), (0, 2), (1, 3), (2, 4), (0, 5), (0, 6)),
    *((5, 6), (5, 7), (7, 9), (6, 8), (8, 10)),
    *((5, 11), (6, 12), (11, 12), (11, 13), (13, 15), (12, 14), (14, 16)),
)
POINTS = len(NAMES)


@dataclass(frozen=True)
class MoveNetTask(Task):
    """One output of y, x, score for each point, coordinates of 0..1 of the input.

    Single pose (1, 1, 17, 3); multipose (1, 6, 56), where a box and the body's score follow the points.
    Source: tfhub.dev/google/movenet, model cards.
    """

    kind = "pose"

    threshold: float = 0.3
    """Points, and bodies of multipose, below this score are not shown."""

    @classmethod
    def recognises(cls, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> bool:
        return len(outputs) == 1 and outputs[0].shape in ((1, 1, POINTS, 3), (1, 6, POINTS * 3 + 5))

    @classmethod
    def usual_preprocess(cls, image: TensorSpec) -> Preprocess:
        """Pixels as they are, also for float inputs."""
        return usual(image, size=(192, 192))

    def decode(self, outputs: Mapping[str, Array], geometry: Geometry, labels: Sequence[str]) -> Keypoints:
        output = only(outputs, "movenet")
        if labels and len(labels) != POINTS:
            raise ModelError(f"{len(labels)} labels do not fit MoveNet's {POINTS} points", hint="leave the labels out")
        if output.shape[-2:] == (POINTS, 3):
            points = output.reshape(-1, POINTS, 3)
        elif output.shape[-1] == POINTS * 3 + 5:
            bodies = output.reshape(-1, POINTS * 3 + 5)
            bodies = bodies[bodies[:, -1] >= self.threshold]
            points = bodies[np.argsort(-bodies[:, -1], kind="stable"), : POINTS * 3].reshape(-1, POINTS, 3)
        else:
            raise ModelError(f"movenet reads (1, 1, {POINTS}, 3) or (1, 6, {POINTS * 3 + 5}), got {output.shape}")
        height, width = geometry.model_size
        xy = points[..., 1::-1] * np.array((width, height), np.float32)
        confidence = np.asarray(points[..., 2], np.float32)
        return Keypoints(geometry.to_frame(xy), confidence, labels or NAMES, SKELETON, self.threshold)
