"""Looking at the frame tile by tile, so that what is small stays large enough for the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from piaccel.errors import OptionError
from piaccel.pipeline.engine import Engine
from piaccel.pipeline.lanes import Lane
from piaccel.pipeline.moved import answered_by, moved
from piaccel.pipeline.seams import Box, merged, stitched
from piaccel.tasks import Classification, Detections, Mask, Result

_KINDS = ("classification", "detection", "segmentation")


@dataclass(frozen=True, eq=False)
class Tiled(Result):
    """A classification of each tile."""

    kind = "tiles"

    xyxy: NDArray[np.float32]
    """(n, 4) left, top, right, bottom of each tile in frame pixels."""
    answers: tuple[Classification, ...]
    """n"""

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "tiles": [
                {"xyxy": [float(side) for side in box], "top": answer.to_dict()["top"]}
                for box, answer in zip(self.xyxy, self.answers, strict=True)
            ],
        }

    def lines(self) -> list[str]:
        order = np.argsort([-answer.top(1)[0].score for answer in self.answers], kind="stable")
        return [
            f"{best.score:6.1%}  {best.label}  [{', '.join(f'{side:.0f}' for side in self.xyxy[i])}]"
            for i in order
            for best in self.answers[i].top(1)
        ]

    def draw(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        from piaccel.tasks._draw import Canvas

        canvas = Canvas(image)
        best = [answer.top(1)[0] for answer in self.answers]
        canvas.tiles(self.xyxy, [each.class_id for each in best], [f"{each.label} {each.score:.2f}" for each in best])
        return canvas.image

    def findings(self) -> list[tuple[str, float]]:
        """The most likely class of each tile, best first."""
        found = [finding for answer in self.answers for finding in answer.findings()]
        return sorted(found, key=lambda finding: -finding[1])


@moved.register
def _(result: Tiled, left: int, top: int, size: tuple[int, int]) -> Result:
    offset = np.array((left, top, left, top), np.float32)
    return answered_by(result.backend, replace(result, xyxy=result.xyxy + offset))


class Tiles(Lane):
    """Asks ``inner`` about each tile of a grid that covers the frame, and makes one result of the answers.

    Tiles of equal size, of which neighbours share at least ``overlap`` of a side; the outer ones end at the frame's
    edges. Boxes are merged (``seams.merged``), masks stitched in the middle of the overlaps, classifications given for
    each tile (``Tiled``). ``whole_frame`` looks for objects larger than a tile in the whole frame too (detection only).
    Raises OptionError for another kind of result: a body on a seam cannot be put together again.
    """

    def __init__(
        self, inner: Lane, columns: int, rows: int, overlap: float = 0.2, *, whole_frame: bool = False
    ) -> None:
        if inner.kind not in _KINDS:
            raise OptionError(
                f"tiles do not go with results of kind {inner.kind!r}, only {', '.join(_KINDS)}",
                hint="leave tiles out, or look at a region (roi)",
            )
        if min(columns, rows) < 1 or columns * rows < 2:
            raise OptionError(
                f"{columns}x{rows} tiles: at least 2 are needed", hint="leave tiles out for the whole frame"
            )
        if not 0 <= overlap < 1:
            raise OptionError(f"overlap is {overlap:g}, it must be from 0 to below 1", hint="0.2 is usual")
        if whole_frame and inner.kind != "detection":
            raise OptionError(
                f"the whole frame beside its tiles goes with detection, not with {inner.kind}",
                hint="leave whole_frame out",
            )
        self.kind = Tiled.kind if inner.kind == "classification" else inner.kind
        self._inner = inner
        self._columns, self._rows = columns, rows
        self._overlap = overlap
        self._whole_frame = whole_frame

    def engines(self) -> list[Engine]:
        return self._inner.engines()

    def answer(self, image: NDArray[np.uint8], stages: dict[str, int]) -> Result:
        height, width = size = image.shape[:2]
        columns = spans(width, self._columns, self._overlap)
        rows = spans(height, self._rows, self._overlap)
        tiles = _boxes(columns, rows)
        if self._whole_frame:
            tiles.append((0, 0, width, height))
        answers = [self._inner.answer(image[top:bottom, left:right], stages) for left, top, right, bottom in tiles]
        result = self._joined(answers, tiles, _boxes(_cells(columns), _cells(rows)), (size[0], size[1]))
        return answered_by(answers[-1].backend, result)

    def _joined(self, answers: list[Result], tiles: list[Box], cells: list[Box], size: tuple[int, int]) -> Result:
        if self.kind == Tiled.kind:
            scored = tuple(answer for answer in answers if isinstance(answer, Classification))
            return Tiled(np.array(tiles, np.float32), scored)
        if self.kind == Mask.kind:
            return stitched([answer for answer in answers if isinstance(answer, Mask)], tiles, cells, size)
        placed = [moved(answer, left, top, size) for answer, (left, top, _, _) in zip(answers, tiles, strict=True)]
        return merged([each for each in placed if isinstance(each, Detections)], tiles, size)


def spans(length: int, count: int, overlap: float) -> list[tuple[int, int]]:
    """Return ``count`` (first, last + 1) of one length that cover 0..length, neighbours sharing ``overlap`` of one."""
    side = min(length, int(np.ceil(length / (count - (count - 1) * overlap))))
    starts = [i * (length - side) // max(1, count - 1) for i in range(count)]
    return [(start, start + side) for start in starts]


def _cells(parts: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Divide what the spans cover among them, in the middle of where two overlap."""
    borders = [parts[0][0], *((following[0] + part[1]) // 2 for part, following in pairwise(parts))]
    return list(zip(borders, [*borders[1:], parts[-1][1]], strict=True))


def _boxes(columns: Sequence[tuple[int, int]], rows: Sequence[tuple[int, int]]) -> list[Box]:
    return [(left, top, right, bottom) for top, bottom in rows for left, right in columns]
