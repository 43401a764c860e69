"""Lanes that answer without a model, and lanes of real ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from piaccel import models
from piaccel.pipeline.engine import Engine
from piaccel.pipeline.gate import Gate
from piaccel.pipeline.lanes import Lane, Single
from piaccel.tasks import Classification, Detections, Result

Image = NDArray[np.uint8]


class Stub(Lane):
    """Answers with what a function says of the picture, and keeps the pictures it was asked about."""

    def __init__(self, kind: str, say: Callable[[Image], Result]) -> None:
        self.kind = kind
        self.seen: list[Image] = []
        self._say = say

    def answer(self, image: Image, stages: dict[str, int]) -> Result:
        self.seen.append(image)
        stages["inference"] = stages.get("inference", 0) + 1
        result = self._say(image)
        object.__setattr__(result, "backend", "stub")
        return result

    def engines(self) -> list[Engine]:
        return []


def single(path: Any, backend: str, **overrides: Any) -> Single:
    """A lane of a real model."""
    return Single(Engine(models.load(path, backend, threads=1, **overrides), Gate(1)), "test")


def detections(
    xyxy: Sequence[Sequence[float]],
    confidence: Sequence[float] | None = None,
    class_id: Sequence[int] | None = None,
    labels: Sequence[str] = ("a", "b"),
) -> Detections:
    boxes = np.array(xyxy, np.float32).reshape(-1, 4)
    n = len(boxes)
    return Detections(
        boxes,
        np.array([0.9] * n if confidence is None else confidence, np.float32),
        np.array([0] * n if class_id is None else class_id, np.int64),
        labels,
    )


def classification(*scores: float, labels: Sequence[str] = ("good", "crack")) -> Classification:
    return Classification(np.array(scores, np.float32), labels)


def numbered(height: int, width: int) -> Image:
    """A picture whose pixels say where they are, up to 255x255: column, row, 0."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.arange(width)
    image[..., 1] = np.arange(height)[:, np.newaxis]
    return image


def painted(image: Image) -> list[list[float]]:
    """The box around what is painted in blue in the picture, in a list; none where nothing is."""
    rows, columns = np.nonzero(image[..., 2])
    if not len(rows):
        return []
    return [[float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1)]]


def found_in(result: Result) -> list[tuple[str, float]]:
    """Its findings with scores that can be compared."""
    return [(label, round(score, 4)) for label, score in result.findings()]
