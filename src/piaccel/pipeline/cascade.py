"""Asking a second model about what a first one found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from piaccel.errors import OptionError
from piaccel.pipeline.engine import Engine
from piaccel.pipeline.lanes import Lane
from piaccel.pipeline.moved import answered_by, moved
from piaccel.tasks import Classification, Detections, Result


@dataclass(frozen=True, eq=False)
class Cascaded(Result):
    """Boxes, and what the second model says of those it was asked about."""

    kind = "cascade"

    found: Detections
    """All boxes of the first model."""
    asked: tuple[int, ...]
    """The indices in ``found`` of the boxes that the second model was asked about."""
    answers: tuple[Result, ...]
    """What it said of each, in frame pixels."""
    left_out: int = 0
    """Boxes it should have been asked about and was not: there were more than the cascade's ``most``."""

    def to_dict(self) -> dict[str, Any]:
        answers = {i: answer.to_dict() for i, answer in zip(self.asked, self.answers, strict=True)}
        plain = self.found.to_dict()
        boxes = [{**box, "then": answers.get(i)} for i, box in enumerate(plain.pop("boxes"))]
        return {**plain, "kind": self.kind, "boxes": boxes, "left_out": self.left_out}

    def lines(self) -> list[str]:
        answers = {i: answer.lines() for i, answer in zip(self.asked, self.answers, strict=True)}
        lines = []
        for i, line in enumerate(self.found.lines()):
            lines += [line, *(f"        {each}" for each in answers.get(i, []))]
        if self.left_out:
            lines.append(f"{self.left_out} more were left out")
        return lines

    def draw(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        from piaccel.tasks._draw import Canvas

        texts, colours = [], []
        answers = dict(zip(self.asked, self.answers, strict=True))
        for i, box in enumerate(self.found.to_dict()["boxes"]):
            number = f" #{box['track']}" if box.get("track") else ""
            answer = answers.get(i)
            if isinstance(answer, Classification):
                best = answer.top(1)[0]
                texts.append(f"{box['label']}{number}: {best.label} {best.score:.2f}")
                colours.append(best.class_id)
            else:
                texts.append(f"{box['label']}{number} {box['score']:.2f}")
                colours.append(box["class_id"])
        canvas = Canvas(image)
        canvas.boxes(self.found.xyxy, colours, texts)
        drawn = canvas.image
        for answer in self.answers:
            if not isinstance(answer, Classification):
                drawn = answer.draw(drawn)
        return drawn

    def findings(self) -> list[tuple[str, float]]:
        """What the second model found in all boxes, best first."""
        found = [finding for answer in self.answers for finding in answer.findings()]
        return sorted(found, key=lambda finding: -finding[1])


@moved.register
def _(result: Cascaded, left: int, top: int, size: tuple[int, int]) -> Result:
    found = moved(result.found, left, top, size)
    assert isinstance(found, Detections)
    answers = tuple(moved(answer, left, top, size) for answer in result.answers)
    return answered_by(result.backend, replace(result, found=found, answers=answers))


class Cascade(Lane):
    """Finds boxes with ``first``, cuts each out with a margin, and asks ``second`` about it.

    Asked about are the boxes of ``labels`` (all where that is empty) with at least ``min_score``, at most ``most`` a
    frame, the best first: that bounds how long a frame takes. ``margin`` is added on each side as part of the box's
    width and height, and ends at the frame's edge. Raises OptionError where the first model finds no boxes, knows no
    such label, or the second gives masks.
    """

    kind = Cascaded.kind

    def __init__(
        self,
        first: Lane,
        second: Lane,
        labels: Sequence[str] = (),
        min_score: float = 0.0,
        margin: float = 0.1,
        most: int = 8,
    ) -> None:
        if first.kind != Detections.kind:
            raise OptionError(
                f"a cascade begins with boxes, the first model gives results of kind {first.kind!r}",
                hint="take a detection model first",
            )
        if second.kind == "segmentation":
            raise OptionError("a cascade's second model may not give masks", hint="use roi or tiles with that model")
        if not 0 <= min_score <= 1:
            raise OptionError(f"a cascade's min_score is {min_score:g}, it must be 0..1")
        if not 0 <= margin <= 10:
            raise OptionError(f"a cascade's margin is {margin:g}, it must be 0..10", hint="0.1 adds 10 % on each side")
        if most < 1:
            raise OptionError(f"a cascade asks about at most {most} boxes, it must be 1 or more")
        known = {label for engine in first.engines()[:1] for label in engine.model.labels}
        unknown = [label for label in labels if label not in known]
        if known and unknown:
            raise OptionError(
                f"the first model has no label {unknown[0]!r}", hint=f"its labels are {', '.join(sorted(known)[:20])}"
            )
        self._first, self._second = first, second
        self._labels = frozenset(labels)
        self._min_score = min_score
        self._margin = margin
        self._most = most

    def engines(self) -> list[Engine]:
        return [*self._first.engines(), *self._second.engines()]

    def answer(self, image: NDArray[np.uint8], stages: dict[str, int]) -> Result:
        height, width = image.shape[:2]
        found = self._first.answer(image, stages)
        assert isinstance(found, Detections)
        wanted = [
            i
            for i, (label, score) in enumerate(found.findings())
            if score >= self._min_score and (not self._labels or label in self._labels)
        ]
        answers = []
        for i in wanted[: self._most]:
            left, top, right, bottom = self._crop(found.xyxy[i], width, height)
            answer = self._second.answer(image[top:bottom, left:right], stages)
            answers.append(moved(answer, left, top, (height, width)))
        asked = tuple(wanted[: self._most])
        return answered_by(found.backend, Cascaded(found, asked, tuple(answers), len(wanted) - len(asked)))

    def _crop(self, box: NDArray[np.float32], width: int, height: int) -> tuple[int, int, int, int]:
        """Return (left, top, right, bottom) of the box with its margin, at least one pixel of the frame."""
        x, y, right, bottom = map(float, box)
        wide, high = (right - x) * self._margin, (bottom - y) * self._margin
        first_x = int(np.clip(np.floor(x - wide), 0, width - 1))
        first_y = int(np.clip(np.floor(y - high), 0, height - 1))
        last_x = int(np.clip(np.ceil(right + wide), first_x + 1, width))
        last_y = int(np.clip(np.ceil(bottom + high), first_y + 1, height))
        return first_x, first_y, last_x, last_y
