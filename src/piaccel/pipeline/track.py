"""Knowing an object again from frame to frame."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from piaccel.errors import OptionError, UnavailableError
from piaccel.pipeline.cascade import Cascaded
from piaccel.pipeline.moved import answered_by
from piaccel.pipeline.tripwire import Tripwire
from piaccel.tasks import Detections, Result
from piaccel.tensors import Array

_SURE_IOU = 0.5
"""How much a box of low score must overlap a track's place; the value of ByteTrack's second round."""
_FRAME_S = 1 / 30
"""Time from frame to frame where the source does not tell when they were exposed."""
_MOST = 1000
"""Tracks that are kept; beyond, those that were seen longest ago go."""

# How things move, in the box's own size: how far off a measured centre is, how fast a speed changes (a second's worth),
# how fast a thing may be when it is first seen. The first as in DeepSORT (kalman_filter.py: 1/20).
_OFF, _SWERVE, _SPEED = 0.05, 1.0, 5.0


class Crossing(NamedTuple):
    """A track went over a line in this frame."""

    line: str
    track: int
    to: str
    """left or right"""


@dataclass(frozen=True, eq=False)
class Tracked(Detections):
    """Boxes with the numbers of their tracks."""

    track: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """(n,) from 1; 0 where a box belongs to no track (yet)."""
    counts: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """For each line how often it was crossed since the start: (to the left, to the right)."""
    crossed: tuple[Crossing, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        plain = super().to_dict()
        for box, track in zip(plain["boxes"], self.track, strict=True):
            box["track"] = int(track) or None
        if self.counts:
            plain["lines"] = {name: {"to_left": left, "to_right": right} for name, (left, right) in self.counts.items()}
            plain["crossed"] = [crossing._asdict() for crossing in self.crossed]
        return plain

    def lines(self) -> list[str]:
        if not len(self):
            return super().lines()
        return [f"{_number(track)}{line}" for track, line in zip(self.track, super().lines(), strict=True)]

    def draw(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        from piaccel.tasks._draw import Canvas

        canvas = Canvas(image)
        texts = [
            f"{_number(track)}{label} {score:.2f}"
            for track, (label, score) in zip(self.track, Detections.findings(self), strict=True)
        ]
        canvas.boxes(self.xyxy, self.track.tolist(), texts)
        return canvas.image

    def findings(self) -> list[tuple[str, float]]:
        """Each box, and each line that was crossed in this frame by its name."""
        return [*super().findings(), *((crossing.line, 1.0) for crossing in self.crossed)]


@dataclass(frozen=True, kw_only=True)
class Options:
    lost_s: float = 2.0
    """How long a track that is not seen is looked for where it should be by its speed; then it is gone for ever. Longer
    than the time between two frames."""
    confirm: int = 2
    """In how many frames on end a thing must be seen until it gets its number."""
    min_iou: float = 0.2
    """How much a box must overlap the place where its track is expected."""
    new_score: float = 0.5
    """Boxes below only continue a track that was seen in the frame before."""
    lines: dict[str, tuple[float, float, float, float]] = field(default_factory=dict)
    """Lines whose crossings are counted (``Tripwire``)."""

    def __post_init__(self) -> None:
        if not 0 <= self.lost_s <= 3600:
            raise OptionError(f"track: lost is {self.lost_s:g} s, it must be from 0 to 1 h")
        if not 1 <= self.confirm <= 100:
            raise OptionError(f"track: confirm is {self.confirm}, it must be 1..100")
        if not 0 < self.min_iou < 1:
            raise OptionError(f"track: min_iou is {self.min_iou:g}, it must be between 0 and 1")


class Tracker:
    """Gives boxes of one class that are one object the same number, in the order of the frames.

    ByteTrack (Zhang et al., 2022, arXiv:2110.06864) in the time of the frames: in three rounds boxes are joined with
    the tracks they overlap most, all pairs of a round at once (the assignment problem, solved by ``lap``). First good
    boxes with confirmed tracks; then poor boxes with those of them that were seen in the last frame; then good boxes
    that are left with tracks not confirmed yet. What is left of the good ones begins tracks. A Kalman filter of
    constant speed, which takes the time between two frames as it is, tells where each track should be.

    For one thread. Raises UnavailableError where ``lap`` is not installed, OptionError for lines that are none.
    """

    kinds = (Detections.kind, Cascaded.kind)
    """The kinds of results it can follow."""

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()
        try:
            self._lap: Any = importlib.import_module("lap")
        except ImportError as error:
            raise UnavailableError(
                f"tracking needs lap, which cannot be imported: {error}", hint="pip install 'piaccel[track]'"
            ) from error
        self._wires = [Tripwire(name, ends) for name, ends in self.options.lines.items()]
        self._counts = np.zeros((len(self._wires), 2), np.int64)
        self._last = 0
        self._exposed_ns: int | None = None
        self._now_s = 0.0
        self._frame = 0
        self._tracks = np.zeros(
            0,
            [
                ("id", np.int64),  # 0 until it is confirmed
                ("class_id", np.int64),
                ("hits", np.int64),
                ("seen", np.int64),  # the last frame and its time
                ("seen_s", np.float64),
                ("centre", np.float64, 2),
                ("speed", np.float64, 2),
                ("size", np.float64, 2),
                ("error", np.float64, 3),  # variance of the place, covariance, variance of the speed
                ("sides", np.int8, (len(self._wires),)),  # of each line it was last seen clear of
            ],
        )

    def __len__(self) -> int:
        """Tracks that are kept: those in the picture and those looked for."""
        return len(self._tracks)

    def update(
        self, result: Result, exposed_ns: int | None = None, frame_size: tuple[int, int] | None = None
    ) -> Result:
        """Return the frame's boxes as ``Tracked``; a cascade's result with its boxes so. Another kind comes back as is.

        ``frame_size`` (height, width) is needed for lines given as fractions: they do not count without it.
        """
        if isinstance(result, Cascaded):
            return answered_by(
                result.backend, replace(result, found=self._follow(result.found, exposed_ns, frame_size))
            )
        if isinstance(result, Detections):
            return self._follow(result, exposed_ns, frame_size)
        return result

    def _follow(self, found: Detections, exposed_ns: int | None, frame_size: tuple[int, int] | None) -> Tracked:
        self._advance(exposed_ns)
        xyxy = found.xyxy.astype(np.float64)
        sound = np.isfinite(xyxy).all(axis=1) & (xyxy[:, 2:] > xyxy[:, :2]).all(axis=1)
        good = sound & (found.confidence >= self.options.new_score)
        of_box = np.full(len(found), -1)

        tracks = self._tracks
        confirmed, fresh = tracks["id"] > 0, tracks["seen"] == self._frame - 1
        self._join(of_box, xyxy, found.class_id, good, confirmed, self.options.min_iou)
        self._join(of_box, xyxy, found.class_id, sound & ~good, confirmed & fresh, _SURE_IOU)
        self._join(of_box, xyxy, found.class_id, good, ~confirmed, self.options.min_iou)

        matched = np.flatnonzero(of_box >= 0)
        self._correct(of_box[matched], xyxy[matched])
        new = np.flatnonzero(good & (of_box < 0))
        of_box[new] = len(tracks) + np.arange(len(new))
        self._tracks = np.concatenate((tracks, self._begun(xyxy[new], found.class_id[new])))
        self._number_confirmed()
        crossed = self._cross(frame_size)
        numbers = np.where(of_box >= 0, self._tracks["id"][of_box], 0) if len(self._tracks) else np.zeros_like(of_box)
        self._forget()

        counts = {
            wire.name: (int(left), int(right)) for wire, (left, right) in zip(self._wires, self._counts, strict=True)
        }
        fields = (found.xyxy, found.confidence, found.class_id, found.labels)
        return answered_by(found.backend, Tracked(*fields, numbers.astype(np.int64), counts, crossed))

    def _advance(self, exposed_ns: int | None) -> None:
        """Let time pass and move the tracks on; a clock that goes backwards stands still."""
        passed_s = _FRAME_S
        if exposed_ns is not None and self._exposed_ns is not None:
            passed_s = max(0.0, (exposed_ns - self._exposed_ns) / 1e9)
        self._exposed_ns = exposed_ns
        self._frame += 1
        self._now_s += passed_s
        tracks = self._tracks[self._now_s - self._tracks["seen_s"] <= self.options.lost_s]
        error, swerve = tracks["error"], (_SWERVE * _side(tracks["size"])) ** 2
        tracks["centre"] += tracks["speed"] * passed_s
        error[:, 0] += 2 * passed_s * error[:, 1] + passed_s**2 * error[:, 2] + swerve * passed_s**3 / 3
        error[:, 1] += passed_s * error[:, 2] + swerve * passed_s**2 / 2
        error[:, 2] += swerve * passed_s
        self._tracks = tracks

    def _join(self, of_box: Array, xyxy: Array, class_id: Array, boxes: Array, tracks: Array, min_iou: float) -> None:
        """Give boxes of a mask that have no track yet those of the tracks' mask that no box has; both by index."""
        free = tracks.copy()
        free[of_box[of_box >= 0]] = False
        rows, columns = np.flatnonzero(free), np.flatnonzero(boxes & (of_box < 0))
        if not (len(rows) and len(columns)):
            return
        those = self._tracks[rows]
        half = those["size"] / 2
        iou = _iou(np.hstack((those["centre"] - half, those["centre"] + half)), xyxy[columns])
        iou[those["class_id"][:, np.newaxis] != class_id[columns]] = 0
        _, column_of_row, _ = self._lap.lapjv(1 - iou, extend_cost=True, cost_limit=1 - min_iou)
        paired = column_of_row >= 0
        of_box[columns[column_of_row[paired]]] = rows[paired]

    def _correct(self, rows: Array, xyxy: Array) -> None:
        tracks = self._tracks[rows]
        centre, size = _centres(xyxy)
        error = tracks["error"]
        place, both, speed = error.T
        off = (_OFF * _side(size)) ** 2
        gain_place, gain_speed = place / (place + off), both / (place + off)
        gone = centre - tracks["centre"]
        tracks["centre"] += gain_place[:, np.newaxis] * gone
        tracks["speed"] += gain_speed[:, np.newaxis] * gone
        tracks["error"] = np.stack(((1 - gain_place) * place, (1 - gain_place) * both, speed - gain_speed * both), 1)
        tracks["size"] = size
        tracks["hits"] += 1
        tracks["seen"], tracks["seen_s"] = self._frame, self._now_s
        self._tracks[rows] = tracks

    def _begun(self, xyxy: Array, class_id: Array) -> Array:
        tracks: Array = np.zeros(len(xyxy), self._tracks.dtype)
        tracks["centre"], tracks["size"] = _centres(xyxy)
        tracks["class_id"] = class_id
        tracks["hits"] = 1
        tracks["seen"], tracks["seen_s"] = self._frame, self._now_s
        tracks["error"][:, 0] = (_OFF * _side(tracks["size"])) ** 2
        tracks["error"][:, 2] = (_SPEED * _side(tracks["size"])) ** 2
        return tracks

    def _number_confirmed(self) -> None:
        due = np.flatnonzero((self._tracks["id"] == 0) & (self._tracks["hits"] >= self.options.confirm))
        self._tracks["id"][due] = self._last + 1 + np.arange(len(due))
        self._last += len(due)

    def _cross(self, frame_size: tuple[int, int] | None) -> tuple[Crossing, ...]:
        """Note the side of each line that tracks seen in this frame are on, and count those that changed it."""
        crossed = []
        seen = np.flatnonzero(self._tracks["seen"] == self._frame)
        tracks = self._tracks[seen]
        for i, wire in enumerate(self._wires):
            if wire.fractions and frame_size is None:
                continue
            side, between = wire.sides(tracks["centre"], tracks["size"], frame_size or (1, 1))
            before = tracks["sides"][:, i]
            over = (tracks["id"] > 0) & between & (before * side == -1)
            tracks["sides"][:, i] = np.where(side != 0, side, before)
            self._counts[i] += np.count_nonzero(over & (side < 0)), np.count_nonzero(over & (side > 0))
            crossed += [
                Crossing(wire.name, int(track), "left" if to < 0 else "right")
                for track, to in zip(tracks["id"][over], side[over], strict=True)
            ]
        self._tracks[seen] = tracks
        return tuple(crossed)

    def _forget(self) -> None:
        """Drop what was never confirmed and is not seen, and the oldest of too many."""
        tracks = self._tracks
        tracks = tracks[(tracks["id"] > 0) | (tracks["seen"] == self._frame)]
        if len(tracks) > _MOST:
            tracks = tracks[np.sort(np.argsort(-tracks["seen"], kind="stable")[:_MOST])]
        self._tracks = tracks


def _number(track: np.int64) -> str:
    return f"#{track} " if track else ""


def _centres(xyxy: Array) -> tuple[Array, Array]:
    """Return (n, 2) centres and (n, 2) widths and heights."""
    return (xyxy[:, :2] + xyxy[:, 2:]) / 2, xyxy[:, 2:] - xyxy[:, :2]


def _side(size: Array) -> Array:
    """Return the side of the square as large as each box (n, 2)."""
    side: Array = np.sqrt(size.prod(axis=-1))
    return side


def _iou(these: Array, those: Array) -> Array:
    """Return the intersection over union of each pair of boxes: (n, 4) and (m, 4) give (n, m)."""
    a, b = these[:, np.newaxis], those[np.newaxis]
    sides = np.maximum(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0)
    shared = sides.prod(axis=-1)
    total = (a[..., 2:] - a[..., :2]).prod(axis=-1) + (b[..., 2:] - b[..., :2]).prod(axis=-1)
    iou: Array = shared / (total - shared)
    return iou
