"""What the families share in looking at outputs and labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from piaccel.errors import ModelError
from piaccel.tensors import Array

BACKGROUNDS = ("background", "__background__", "???")


def only(outputs: Mapping[str, Array], family: str) -> Array:
    """Return the one output. Raises ModelError when there are more or none."""
    if len(outputs) != 1:
        raise ModelError(f"{family} reads one output, the model has {len(outputs)}: {', '.join(outputs) or 'none'}")
    return next(iter(outputs.values()))


def fit_labels(labels: Sequence[str], classes: int) -> Sequence[str]:
    """Return ``labels`` so that label i belongs to class i; no labels are fine.

    ImageNet models come with 1000 classes or with 1001, a background first, and so do label files.
    Raises ModelError when the numbers do not fit.
    """
    if len(labels) in (0, classes):
        return labels
    if len(labels) == classes + 1 and labels[0].strip().lower() in BACKGROUNDS:
        return labels[1:]
    if len(labels) == 1000 and classes == 1001:
        return ["background", *labels]
    raise ModelError(
        f"{len(labels)} labels do not fit an output of {classes} classes",
        hint=f"give a label file with {classes} lines",
    )


def cover(labels: Sequence[str], class_id: Array) -> None:
    """Raise ModelError when there are labels, but too few for the classes found."""
    if labels and class_id.size and (highest := int(class_id.max())) >= len(labels):
        raise ModelError(
            f"{len(labels)} labels do not fit an output with class number {highest}",
            hint=f"give a label file with at least {highest + 1} lines",
        )
