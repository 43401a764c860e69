"""Whether a runtime gives the reference's answer: a fast wrong answer is wrong, not fast.

Each variant is given the same pictures through its own preprocessing. Compared are the numbers (cosine similarity and
the largest difference, of the class scores for a classification, of the dequantized outputs otherwise) and, what
decides, the answers: the same top-1, the same boxes, mask or keypoints.

Two float32 files must agree closely (``TIGHT``): runtimes only reorder additions, so scores move in the fifth digit; a
cosine below 0.999 means another preprocessing, layout or precision. Where either side is quantized or of a precision
nobody states, the bounds are ``LOOSE``: a box matches at IoU 0.5 (COCO's and PASCAL VOC's bound for "the same object"),
a score or a coordinate may move by 0.1 or 0.05 of its range, as 8-bit kernels of different CPUs do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from piaccel.bench import Agreement
from piaccel.tasks import Detections
from piaccel.tensors import Array

if TYPE_CHECKING:
    from piaccel.bench.measure import Answer

FLOAT32 = ("fp32", "float32", "f32")
CERTAIN = 0.5
"""Boxes and keypoints below this confidence may come and go."""
VISIBLE = 0.01
"""Part of the picture that a class of a mask must cover to count: a small object is little of the mask, yet all of the
answer."""


@dataclass(frozen=True)
class Bounds:
    """How much may differ before it is another answer."""

    cosine: float
    tie: float
    """Two classes whose reference scores differ by less are as good as each other; margin at a task's threshold too."""
    overlap: float
    """Intersection over union of the same box, or of the same class of a mask."""
    share: float
    """Part of the boxes, or of the pixels of a mask, that must be the same."""
    distance: float
    """Between the same keypoint, as part of the picture's sides."""


TIGHT = Bounds(cosine=0.999, tie=0.01, overlap=0.9, share=0.98, distance=0.01)
LOOSE = Bounds(cosine=0.9, tie=0.1, overlap=0.5, share=0.9, distance=0.05)


def bounds_for(*precisions: str) -> Bounds:
    """Return the bounds for two variants of these precisions."""
    return TIGHT if all(precision.lower() in FLOAT32 for precision in precisions) else LOOSE


def compare(reference: Sequence[Answer], candidate: Sequence[Answer], bounds: Bounds) -> Agreement:
    """Compare the answers to the same pictures, in order."""
    broken = _not_finite(candidate)
    if broken:
        return Agreement(False, None, None, False, broken)
    pairs = list(zip(reference, candidate, strict=True))
    details = [detail for ours, theirs in pairs for detail in [_difference(ours, theirs, bounds)] if detail]
    numbers = [_numbers(ours, theirs) for ours, theirs in pairs]
    cosine = min((each[0] for each in numbers if each), default=None)
    error = max((each[1] for each in numbers if each), default=None)
    same_answer = not details
    far = cosine is not None and cosine < bounds.cosine and _numbers_decide(reference, bounds)
    if far and same_answer:
        details.append(f"cosine {cosine:.4f}, at least {bounds.cosine:g} expected")
    return Agreement(not details, cosine, error, same_answer, "; ".join(details))


def _numbers_decide(reference: Sequence[Answer], bounds: Bounds) -> bool:
    """Whether the same answer from distant numbers is wrong all the same.

    Not where boxes were found again: a graph that ends in a suppression of its own may give them in another order.
    """
    boxes = any(isinstance(answer.result, Detections) and len(answer.result) for answer in reference)
    return _is_classification(reference) or (bounds is TIGHT and not boxes)


def _difference(reference: Answer, candidate: Answer, bounds: Bounds) -> str:
    """Say how the answers differ, '' when they are the same."""
    kind = reference.result.kind
    if kind != candidate.result.kind:
        return f"{candidate.result.kind} instead of {kind}"
    judge = _JUDGES.get(kind)
    return judge(reference, candidate, bounds) if judge else ""


def _classification(reference: Answer, candidate: Answer, bounds: Bounds) -> str:
    ours, theirs = _scores(reference), _scores(candidate)
    if ours.shape != theirs.shape:
        return f"{theirs.size} classes instead of {ours.size}"
    best, found = int(ours.argmax()), int(theirs.argmax())
    if best == found or ours[best] - ours[found] <= bounds.tie:
        return ""
    labels = getattr(reference.result, "labels", ()) or ()
    names = [labels[index] if index < len(labels) else str(index) for index in (found, best)]
    return f"top-1 {names[0]} instead of {names[1]}"


def _detection(reference: Answer, candidate: Answer, bounds: Bounds) -> str:
    certain = max(CERTAIN, reference.threshold + bounds.tie)
    missed, wanted = _unmatched(reference.result, candidate.result, certain, bounds.overlap)
    added, found = _unmatched(candidate.result, reference.result, certain, bounds.overlap)
    texts = []
    if missed > (1 - bounds.share) * wanted:
        texts.append(f"{missed} of {wanted} boxes missing")
    if added > (1 - bounds.share) * found:
        texts.append(f"{added} of {found} boxes are not the reference's")
    return ", ".join(texts)


def _unmatched(wanted: Any, others: Any, certain: float, overlap: float) -> tuple[int, int]:
    """Count the certain boxes of ``wanted`` that have no partner of their class in ``others``, and all certain ones."""
    sure = np.flatnonzero(np.asarray(wanted.confidence) >= certain)
    free = np.ones(len(others.confidence), bool)
    missing = 0
    for index in sure[np.argsort(-np.asarray(wanted.confidence)[sure], kind="stable")]:
        same = free & (np.asarray(others.class_id) == wanted.class_id[index])
        overlaps = np.where(same, _overlaps(wanted.xyxy[index], others.xyxy), -1.0)
        if len(overlaps) and overlaps.max() >= overlap:
            free[overlaps.argmax()] = False
        else:
            missing += 1
    return missing, len(sure)


def _overlaps(box: Array, boxes: Array) -> NDArray[np.float64]:
    """Intersection over union of one box with many, xyxy."""
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    corner = np.maximum(boxes[:, :2], box[:2])
    opposite = np.minimum(boxes[:, 2:], box[2:])
    common = np.prod(np.clip(opposite - corner, 0, None), axis=1)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) + np.prod(box[2:] - box[:2])
    overlaps: NDArray[np.float64] = common / np.maximum(areas - common, 1e-9)
    return overlaps


def _segmentation(reference: Answer, candidate: Answer, bounds: Bounds) -> str:
    ours, theirs = (np.asarray(answer.result.class_id) for answer in (reference, candidate))  # type: ignore[attr-defined]
    if ours.shape != theirs.shape:
        return f"a mask of {theirs.shape} instead of {ours.shape}"
    same = float(np.mean(ours == theirs))
    if same < bounds.share:
        return f"{same:.1%} of the mask is the same, {bounds.share:.0%} expected"
    for index in np.union1d(ours, theirs):
        here, there = ours == index, theirs == index
        overlap = float(np.sum(here & there) / np.sum(here | there))
        if overlap < bounds.overlap and max(here.mean(), there.mean()) >= VISIBLE:
            return f"class {index} of the mask overlaps by {overlap:.0%}, {bounds.overlap:.0%} expected"
    return ""


def _pose(reference: Answer, candidate: Answer, bounds: Bounds) -> str:
    ours, theirs = _keypoints(reference), _keypoints(candidate)
    if ours.shape != theirs.shape:
        return f"{theirs.shape[:-1]} keypoints instead of {ours.shape[:-1]}"
    height, width = reference.frame_size
    sure = np.asarray(reference.result.confidence) >= CERTAIN  # type: ignore[attr-defined]
    moved = np.abs(ours - theirs) / np.asarray((width, height))
    worst = float(moved[sure].max(initial=0.0))
    return "" if worst <= bounds.distance else f"a keypoint lies {worst:.0%} of the picture away"


_JUDGES: dict[str, Callable[[Answer, Answer, Bounds], str]] = {
    "classification": _classification,
    "detection": _detection,
    "segmentation": _segmentation,
    "pose": _pose,
}


def _scores(answer: Answer) -> NDArray[np.float64]:
    return np.asarray(answer.result.scores, np.float64)  # type: ignore[attr-defined]


def _keypoints(answer: Answer) -> NDArray[np.float64]:
    return np.asarray(answer.result.xy, np.float64)  # type: ignore[attr-defined]


def _is_classification(answers: Sequence[Answer]) -> bool:
    return all(answer.result.kind == "classification" for answer in answers)


def _numbers(reference: Answer, candidate: Answer) -> tuple[float, float] | None:
    """Return the smallest cosine and the largest difference; None where nothing can be laid side by side.

    A classification's scores are compared, not its outputs: one file may end in a softmax that another lacks.
    """
    if _is_classification((reference, candidate)):
        pairs = [(_scores(reference), _scores(candidate))]
    else:
        pairs = _paired(reference.outputs, candidate.outputs)
    pairs = [pair for pair in pairs if pair[0].size == pair[1].size]
    if not pairs:
        return None
    return min(_cosine(*pair) for pair in pairs), max(float(np.abs(ours - theirs).max()) for ours, theirs in pairs)


def _paired(
    reference: Mapping[str, Array], candidate: Mapping[str, Array]
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Lay the floating-point outputs side by side: by name, else the next one of the same size."""
    left = dict(candidate)
    pairs = []
    for name, ours in reference.items():
        same_size = (other for other, array in left.items() if array.size == ours.size)
        partner = name if name in left and left[name].size == ours.size else next(same_size, None)
        if partner is None:
            continue
        theirs = left.pop(partner)
        if ours.dtype.kind == theirs.dtype.kind == "f":  # class maps are judged as answers, not as numbers
            pairs.append((ours.astype(np.float64).ravel(), _like(theirs, ours.shape).astype(np.float64).ravel()))
    return pairs


def _like(array: Array, shape: tuple[int, ...]) -> Array:
    """Bring NCHW and NHWC together."""
    if array.ndim == len(shape) == 4 and array.shape != shape:
        for order in ((0, 2, 3, 1), (0, 3, 1, 2)):
            if tuple(array.shape[axis] for axis in order) == shape:
                return array.transpose(order)
    return array


def _cosine(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> float:
    product = math.sqrt(float(ours @ ours) * float(theirs @ theirs))
    if product == 0:
        return 1.0 if not ours.any() and not theirs.any() else 0.0
    return min(1.0, float(ours @ theirs) / product)


def _not_finite(answers: Sequence[Answer]) -> str:
    for answer in answers:
        for name, array in answer.outputs.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                return f"output {name!r} holds NaN or infinite values"
    return ""


def is_finite(answers: Sequence[Answer]) -> bool:
    """Say whether all outputs are numbers."""
    return not _not_finite(answers)
