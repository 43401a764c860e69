"""Whether two answers say the same, as plain data: what a golden sample expects, what another version answered.

Classes are told apart by their labels, never by their numbers: two networks may number the same classes in another
order, and labels in the wrong order are the fault that numbers hide. The bounds are those of
``piaccel.bench.agreement``, which says where they come from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from piaccel.bench.agreement import CERTAIN, LOOSE, TIGHT, VISIBLE, Bounds, bounds_for
from piaccel.serving.messages import Tensor
from piaccel.tasks import Keypoints, Mask, Result

__all__ = ["ANSWER", "LOOSE", "TIGHT", "Bounds", "agrees", "agrees_tensors", "bounds_for", "difference", "plain"]

ANSWER = replace(LOOSE, cosine=0.0)
"""For networks of another training: the answer counts, not how sure of it they are."""
_GRID = 32
"""A mask is compared at so many points of each side, the middles of as many equal parts."""

_TIE = 0.01
"""Raw scores that lie closer than this part of their range are as good as each other."""

_COUNTED = ("BOOL", "INT32", "INT64", "UINT32", "UINT64")
"""Datatypes of classes and counts; narrower integers are quantized numbers."""


def plain(result: Result, frame_size: tuple[int, int]) -> dict[str, Any]:
    """What ``difference`` compares: ``to_dict``, of a mask also the classes at a grid of points, and with keypoints the
    (height, width) of the picture.
    """
    told = result.to_dict()
    if isinstance(result, Keypoints):
        told["frame"] = list(frame_size)
    if isinstance(result, Mask):
        rows, columns = ((np.arange(_GRID) * 2 + 1) * side // (2 * _GRID) for side in result.class_id.shape)
        told["grid"] = result.class_id[np.ix_(rows, columns)].tolist()
    return told


def agrees(kind: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether two results of this kind, as ``Result.to_dict`` gives them, are the same answer."""
    return not difference(kind, a, b, ANSWER)


def difference(
    kind: str, expected: Mapping[str, Any], found: Mapping[str, Any], bounds: Bounds, threshold: float | None = None
) -> str:
    """Say how an answer differs from the expected one, "" where it is the same.

    ``threshold`` is the score below which the task drops a box: one close to it may come and go. A kind that is not
    ours is compared number by number, each of which may move by ``bounds.tie`` of its size.
    """
    if found.get("kind") != kind:
        return f"{found.get('kind')} instead of {kind}"
    if not _finite(found):
        return "it holds NaN or infinite values"
    judge = _JUDGES.get(kind)
    return _structure(expected, found, bounds) if judge is None else judge(expected, found, bounds, threshold or 0.0)


def agrees_tensors(a: Sequence[Tensor], b: Sequence[Tensor], cosine: float = LOOSE.cosine) -> bool:
    """Whether two networks' raw outputs say the same: the same class of a row of scores, else close numbers.

    Other names, shapes or kinds of numbers are another answer; the order is not looked at. Quantized outputs of
    different scales are compared like any numbers: the cosine does not see a scale.
    """
    others = {tensor.name: tensor for tensor in b}
    return {tensor.name for tensor in a} == set(others) and all(
        _same_tensor(tensor, others[tensor.name], cosine) for tensor in a
    )


def _same_tensor(a: Tensor, b: Tensor, cosine: float) -> bool:
    if a.shape != b.shape or a.datatype != b.datatype:
        return False
    if a.datatype in ("BYTES", "BF16"):
        return bytes(a.data) == bytes(b.data)
    ours, theirs = (tensor.array().astype(np.float64) for tensor in (a, b))
    if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        return False
    if len(a.shape) <= 2 and ours.size > 1 and (len(a.shape) < 2 or a.shape[0] == 1):
        return _same_class(ours.ravel(), theirs.ravel())
    if a.datatype in _COUNTED:
        return bool(np.mean(ours == theirs) >= LOOSE.share)
    return _cosine(ours.ravel(), theirs.ravel()) >= cosine


def _same_class(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> bool:
    gap = ours.max() - ours[int(theirs.argmax())]
    return bool(gap <= _TIE * np.ptp(ours))


def _cosine(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> float:
    product = math.sqrt(float(ours @ ours) * float(theirs @ theirs))
    if product == 0:
        return 1.0 if not ours.any() and not theirs.any() else 0.0
    return float(ours @ theirs) / product


def _classification(a: Mapping[str, Any], b: Mapping[str, Any], bounds: Bounds, _: float) -> str:
    ours, theirs = ({each["label"]: float(each["score"]) for each in told["top"]} for told in (a, b))
    if not ours or not theirs:
        return "" if not ours and not theirs else f"{len(theirs)} classes instead of {len(ours)}"
    best, found = next(iter(ours)), next(iter(theirs))
    if best != found and not (found in ours and ours[best] - ours[found] <= bounds.tie):
        return f"{found} instead of {best}"
    names = sorted(set(ours) | set(theirs))
    left, right = (np.array([scores.get(name, 0.0) for name in names]) for scores in (ours, theirs))
    close = _cosine(left, right)
    return "" if close >= bounds.cosine else f"scores with cosine {close:.4f}, at least {bounds.cosine:g} expected"


def _detection(a: Mapping[str, Any], b: Mapping[str, Any], bounds: Bounds, threshold: float) -> str:
    certain = max(CERTAIN, threshold + bounds.tie)
    missed, wanted = _unmatched(a["boxes"], b["boxes"], certain, bounds.overlap)
    added, found = _unmatched(b["boxes"], a["boxes"], certain, bounds.overlap)
    texts = []
    if len(missed) > (1 - bounds.share) * wanted:
        texts.append(f"{len(missed)} of {wanted} boxes missing ({missed[0]})")
    if len(added) > (1 - bounds.share) * found:
        texts.append(f"{len(added)} of {found} boxes not expected ({added[0]})")
    return ", ".join(texts)


def _unmatched(
    wanted: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]], certain: float, overlap: float
) -> tuple[list[str], int]:
    """The labels of certain boxes without a partner of their label in ``others``, and how many certain ones there are.

    A partner may be less certain, and serves one box only.
    """
    sure = sorted((box for box in wanted if box["score"] >= certain), key=lambda box: -float(box["score"]))
    free = list(others)
    missing: list[str] = []
    for box in sure:
        same = [other for other in free if other["label"] == box["label"]]
        partner = max(same, key=lambda other: _overlap(box["xyxy"], other["xyxy"]), default=None)
        if partner is not None and _overlap(box["xyxy"], partner["xyxy"]) >= overlap:
            free = [other for other in free if other is not partner]
        else:
            missing.append(str(box["label"]))
    return missing, len(sure)


def _overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two boxes, left, top, right, bottom."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0.0) * max(height, 0.0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common
    return common / union if union > 0 else 0.0


def _segmentation(a: Mapping[str, Any], b: Mapping[str, Any], bounds: Bounds, _: float) -> str:
    if list(a["size"]) != list(b["size"]):
        return f"a mask of {list(b['size'])} instead of {list(a['size'])}"
    ours, theirs = ({each["label"]: float(each["share"]) for each in told["classes"]} for told in (a, b))
    if "grid" in a and "grid" in b:
        return _grids(_labelled(a), _labelled(b), bounds)
    moved = sum(abs(ours.get(name, 0.0) - theirs.get(name, 0.0)) for name in set(ours) | set(theirs)) / 2
    return "" if moved <= 1 - bounds.share else f"{1 - moved:.1%} of the mask can be the same, {bounds.share:.0%} asked"


def _labelled(told: Mapping[str, Any]) -> NDArray[np.str_]:
    names = {each["class_id"]: each["label"] for each in told["classes"]}
    return np.array([[names.get(index, f"class {index}") for index in row] for row in told["grid"]], np.str_)


def _grids(ours: NDArray[np.str_], theirs: NDArray[np.str_], bounds: Bounds) -> str:
    if ours.shape != theirs.shape:
        return f"a mask of {theirs.shape} points instead of {ours.shape}"
    same = float(np.mean(ours == theirs))
    if same < bounds.share:
        return f"{same:.1%} of the mask is the same, {bounds.share:.0%} expected"
    for name in np.union1d(ours, theirs):
        here, there = ours == name, theirs == name
        overlap = float(np.sum(here & there) / np.sum(here | there))
        if overlap < bounds.overlap and max(here.mean(), there.mean()) >= VISIBLE:
            return f"{name} of the mask overlaps by {overlap:.0%}, {bounds.overlap:.0%} expected"
    return ""


def _pose(a: Mapping[str, Any], b: Mapping[str, Any], bounds: Bounds, _: float) -> str:
    """A point may move by ``bounds.distance`` of the picture's larger side; of the body's, where that is not told."""
    if len(a["poses"]) != len(b["poses"]):
        return f"{len(b['poses'])} bodies instead of {len(a['poses'])}"
    for body, other in zip(a["poses"], b["poses"], strict=True):
        names = [point["name"] for point in body]
        if names != [point["name"] for point in other]:
            return "other keypoints"
        places = np.array([[point["x"], point["y"]] for point in body], np.float64).reshape(-1, 2)
        found = np.array([[point["x"], point["y"]] for point in other], np.float64).reshape(-1, 2)
        sure = np.array([point["score"] >= CERTAIN for point in body], bool)
        if not sure.any():
            continue
        side = max(map(float, a.get("frame") or np.ptp(places[sure], axis=0)))
        moved = np.abs(places - found).max(axis=1) / max(side, 1.0) * sure
        if moved.max() > bounds.distance:
            return f"{names[int(moved.argmax())]} lies {moved.max():.0%} away"
    return ""


_JUDGES: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any], Bounds, float], str]] = {
    "classification": _classification,
    "detection": _detection,
    "segmentation": _segmentation,
    "pose": _pose,
}


def _structure(expected: Any, found: Any, bounds: Bounds, where: str = "") -> str:
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        if set(expected) != set(found):
            return f"{where or 'the result'} holds {', '.join(sorted(map(str, found)))}"
        parts = ((f"{where}.{key}".lstrip("."), expected[key], found[key]) for key in expected)
        return next((text for name, a, b in parts if (text := _structure(a, b, bounds, name))), "")
    if isinstance(expected, list | tuple) and isinstance(found, list | tuple):
        if len(expected) != len(found):
            return f"{where} has {len(found)} entries instead of {len(expected)}"
        pairs = enumerate(zip(expected, found, strict=True))
        return next((text for i, (a, b) in pairs if (text := _structure(a, b, bounds, f"{where}[{i}]"))), "")
    if _is_number(expected) and _is_number(found):
        moved = abs(expected - found)
        return "" if moved <= bounds.tie * max(abs(expected), 1.0) else f"{where} is {found:g} instead of {expected:g}"
    return "" if expected == found else f"{where} is {found!r} instead of {expected!r}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _finite(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_finite, value))
    return not isinstance(value, float) or math.isfinite(value)
