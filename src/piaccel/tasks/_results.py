"""What a model says about one frame: scores, boxes, a class for each pixel, points."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


class Result(ABC):
    """What a model says about one frame."""

    kind: ClassVar[str]
    backend: str | None = None
    """Who answered; the model fills it in."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain data that JSON can hold; boxes and points in frame pixels."""

    @abstractmethod
    def lines(self) -> list[str]:
        """Return the result as text, one finding a line, best first."""

    @abstractmethod
    def draw(self, image: Image) -> Image:
        """Return a copy of the uint8 RGB ``image`` with the result drawn on it."""

    @abstractmethod
    def findings(self) -> list[tuple[str, float]]:
        """Return what was found, as (label, score) with the best first: what a rule such as "a crack" is asked of."""


class Ranked(NamedTuple):
    """One class of a classification."""

    class_id: int
    label: str
    score: float


@dataclass(frozen=True, eq=False)
class Classification(Result):
    """A score for each class."""

    kind = "classification"

    scores: NDArray[np.float32]
    """(n,), the probability of each class."""
    labels: Sequence[str] = ()
    """n names, or none."""
    shown: int = 5
    """How many classes ``top``, ``to_dict``, ``lines`` and ``draw`` give."""

    def top(self, k: int | None = None) -> list[Ranked]:
        """Return the ``k`` most likely classes, best first."""
        count = min(self.shown if k is None else k, self.scores.size)
        best = np.argpartition(self.scores, self.scores.size - count)[self.scores.size - count :]
        best = best[np.lexsort((best, -self.scores[best]))]
        return [Ranked(int(i), label_of(self.labels, int(i)), float(self.scores[i])) for i in best]

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "top": [ranked._asdict() for ranked in self.top()]}

    def lines(self) -> list[str]:
        return [f"{ranked.score:6.1%}  {ranked.label}" for ranked in self.top()]

    def draw(self, image: Image) -> Image:
        from piaccel.tasks._draw import Canvas

        canvas = Canvas(image)
        canvas.bars([(ranked.label, ranked.score) for ranked in self.top()])
        return canvas.image

    def findings(self) -> list[tuple[str, float]]:
        """The most likely class."""
        return [(ranked.label, ranked.score) for ranked in self.top(1)]


@dataclass(frozen=True, eq=False)
class Detections(Result):
    """Boxes, best first."""

    kind = "detection"

    xyxy: NDArray[np.float32]
    """(n, 4) left, top, right, bottom in frame pixels."""
    confidence: NDArray[np.float32]
    """(n,) 0..1"""
    class_id: NDArray[np.int64]
    """(n,)"""
    labels: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.confidence)

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "boxes": [
                {
                    "class_id": int(class_id),
                    "label": label_of(self.labels, int(class_id)),
                    "score": float(score),
                    "xyxy": [float(side) for side in box],
                }
                for box, score, class_id in zip(self.xyxy, self.confidence, self.class_id, strict=True)
            ],
        }

    def lines(self) -> list[str]:
        return [
            f"{score:6.1%}  {label_of(self.labels, int(class_id))}  [{', '.join(f'{side:.0f}' for side in box)}]"
            for box, score, class_id in zip(self.xyxy, self.confidence, self.class_id, strict=True)
        ] or ["nothing found"]

    def draw(self, image: Image) -> Image:
        from piaccel.tasks._draw import Canvas

        canvas = Canvas(image)
        texts = [
            f"{label_of(self.labels, int(i))} {score:.2f}"
            for i, score in zip(self.class_id, self.confidence, strict=True)
        ]
        canvas.boxes(self.xyxy, self.class_id.tolist(), texts)
        return canvas.image

    def findings(self) -> list[tuple[str, float]]:
        """Each box."""
        return [
            (label_of(self.labels, int(i)), float(score))
            for i, score in zip(self.class_id, self.confidence, strict=True)
        ]


@dataclass(frozen=True, eq=False)
class Mask(Result):
    """A class for each pixel of the frame."""

    kind = "segmentation"

    class_id: NDArray[np.uint8] | NDArray[np.uint16]
    """(H, W) of the frame."""
    labels: Sequence[str] = ()
    background: int = 0
    """The class that is not drawn."""

    def shares(self) -> list[Ranked]:
        """Return the classes there are with their share of the frame, largest first."""
        counts = np.bincount(self.class_id.ravel())
        order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
        return [Ranked(int(i), label_of(self.labels, int(i)), float(counts[i] / self.class_id.size)) for i in order]

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "size": list(self.class_id.shape),
            "classes": [{"class_id": i, "label": label, "share": share} for i, label, share in self.shares()],
        }

    def lines(self) -> list[str]:
        return [f"{share:6.1%}  {label}" for _, label, share in self.shares()]

    def draw(self, image: Image) -> Image:
        from piaccel.tasks._draw import Canvas

        canvas = Canvas(image)
        canvas.overlay(self.class_id, self.background)
        shown = [part for part in self.shares() if part.class_id != self.background and part.score >= 0.001]
        canvas.legend([(part.class_id, f"{part.label} {part.score:.1%}") for part in shown])
        return canvas.image

    def findings(self) -> list[tuple[str, float]]:
        """Each class but the background, with its share of the frame."""
        return [(part.label, part.score) for part in self.shares() if part.class_id != self.background]


@dataclass(frozen=True, eq=False)
class Keypoints(Result):
    """The points of each body, best body first."""

    kind = "pose"

    xy: NDArray[np.float32]
    """(n, k, 2) in frame pixels."""
    confidence: NDArray[np.float32]
    """(n, k) 0..1"""
    names: Sequence[str] = ()
    """k names, or none."""
    skeleton: Sequence[tuple[int, int]] = ()
    """Pairs of points that ``draw`` joins."""
    threshold: float = 0.3
    """``lines`` and ``draw`` leave out points below this confidence."""

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "poses": [
                [
                    {
                        "name": label_of(self.names, k),
                        "x": float(xy[k, 0]),
                        "y": float(xy[k, 1]),
                        "score": float(confidence[k]),
                    }
                    for k in range(len(xy))
                ]
                for xy, confidence in zip(self.xy, self.confidence, strict=True)
            ],
        }

    def lines(self) -> list[str]:
        return [
            f"{confidence[k]:6.1%}  {label_of(self.names, k)}  ({xy[k, 0]:.0f}, {xy[k, 1]:.0f})"
            for xy, confidence in zip(self.xy, self.confidence, strict=True)
            for k in np.argsort(-confidence, kind="stable")
            if confidence[k] >= self.threshold
        ] or ["nobody found"]

    def draw(self, image: Image) -> Image:
        from piaccel.tasks._draw import Canvas

        canvas = Canvas(image)
        for body in reversed(range(len(self.xy))):
            canvas.pose(self.xy[body], self.confidence[body] >= self.threshold, self.skeleton, body)
        return canvas.image

    def findings(self) -> list[tuple[str, float]]:
        """Each body of which a point is sure enough, with the mean confidence of such points."""
        sure = [each[each >= self.threshold] for each in self.confidence]
        return [("person", float(each.mean())) for each in sure if each.size]


def label_of(labels: Sequence[str], class_id: int) -> str:
    """Return the class's name, or "class 7" where it has none."""
    return labels[class_id] if 0 <= class_id < len(labels) else f"class {class_id}"
