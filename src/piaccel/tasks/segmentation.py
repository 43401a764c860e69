"""A class for each pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from piaccel.errors import ModelError
from piaccel.frames import Geometry, Preprocess
from piaccel.tasks import Mask, Task
from piaccel.tasks._outputs import cover, fit_labels, only
from piaccel.tasks._usual import IMAGENET_MEAN, IMAGENET_STD, usual
from piaccel.tensors import Array, TensorSpec


@dataclass(frozen=True)
class SegmentationTask(Task):
    """One output: class numbers (1, H, W) or (1, H, W, 1), or scores (1, H, W, classes) or (1, classes, H, W)."""

    kind = "segmentation"

    background: int = 0
    """The class that is not drawn; -1 draws all."""

    @classmethod
    def recognises(cls, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> bool:
        if len(outputs) != 1 or len(inputs) != 1 or not outputs[0].shape:
            return False
        batch, *shape = outputs[0].shape
        height, width = inputs[0].image_size or (None, None)
        if batch not in (1, None) or None in shape or height is None or width is None:
            return False
        if shape in ([height, width], [height, width, 1], [1, height, width]):
            return True
        if len(shape) != 3:
            return False
        rows, columns, classes = shape if inputs[0].layout == "NHWC" else (*shape[1:], shape[0])
        # At a sixteenth and coarser the cells are a detector's.
        return min(rows or 0, columns or 0, classes or 0) > 1 and all(
            1 <= side / (cells or 1) < 16 for side, cells in ((height, rows), (width, columns))
        )

    @classmethod
    def usual_preprocess(cls, image: TensorSpec) -> Preprocess:
        """Float inputs: ImageNet mean and deviation for NCHW, [-1, 1] for NHWC."""
        if image.layout == "NCHW":
            return usual(image, size=(512, 512), mean=IMAGENET_MEAN, std=IMAGENET_STD)
        return usual(image, size=(513, 513), mean=(127.5,), std=(127.5,))

    def decode(self, outputs: Mapping[str, Array], geometry: Geometry, labels: Sequence[str]) -> Mask:
        output = only(outputs, "segmentation")
        if output.ndim == 4 and 1 in (output.shape[1], output.shape[3]):
            output = output[:, 0] if output.shape[1] == 1 else output[..., 0]
        if output.ndim == 4:
            scores = output[0] if _channels_last(output.shape, geometry) else output[0].transpose(1, 2, 0)
            labels = fit_labels(labels, scores.shape[2])
            class_id = _best(scores, geometry)
        elif output.ndim == 3:
            class_id = _numbers(output[0])
            cover(labels, class_id)
        else:
            raise ModelError(f"segmentation reads (1, h, w), (1, h, w, n) or (1, n, h, w), got {output.shape}")
        return Mask(_to_frame(class_id, geometry), labels, self.background)


def _channels_last(shape: tuple[int, ...], geometry: Geometry) -> bool:
    """Of the two ways to read (1, a, b, c), take the one whose grid has the ratio of the input's sides."""
    height, width = geometry.model_size
    last, first = abs(shape[1] * width - shape[2] * height), abs(shape[2] * width - shape[3] * height)
    return last < first if last != first else shape[3] < shape[1]


def _best(scores: Array, geometry: Geometry) -> Array:
    """Return the best class (h, w) of scores (h, w, n); a coarse grid is smoothed to the input's size first."""
    import cv2

    height, width = geometry.model_size
    dtype = np.uint8 if scores.shape[2] <= 256 else np.uint16
    if scores.shape[0] >= height:
        full: Array = scores.argmax(axis=2).astype(dtype)
        return full
    # A plane at a time: OpenCV 5 resizes at most 128 channels at once, and all planes at full size are much memory.
    best, highest = np.zeros((height, width), dtype), np.full((height, width), -np.inf, np.float32)
    for class_id, plane in enumerate(np.ascontiguousarray(scores.transpose(2, 0, 1), np.float32)):
        smooth = cv2.resize(plane, (width, height))
        np.copyto(best, dtype(class_id), where=smooth > highest)
        np.maximum(highest, smooth, out=highest)
    return best


def _numbers(output: Array) -> Array:
    """Return class numbers as they are; one score a pixel is a class of its own, above 0.5 or, of logits, above 0."""
    lowest, highest = output.min(), output.max()
    if output.dtype.kind == "f" and np.any(output % 1):
        return (output > (0.5 if lowest >= 0 and highest <= 1 else 0)).astype(np.uint8)
    if lowest < 0 or highest > np.iinfo(np.uint16).max:
        raise ModelError(f"segmentation reads class numbers, the output has {lowest:g} to {highest:g}")
    return output.astype(np.uint8 if highest < 256 else np.uint16)


def _to_frame(class_id: Array, geometry: Geometry) -> Array:
    """Return the class numbers at the frame's size, each pixel the nearest; what the model did not see is class 0."""
    import cv2

    rows, columns = (
        slice(round(span.start * have / model), round(span.stop * have / model))
        for span, have, model in zip(geometry.covered, class_id.shape, geometry.model_size, strict=True)
    )
    seen_rows, seen_columns = geometry.seen
    size = (seen_columns.stop - seen_columns.start, seen_rows.stop - seen_rows.start)
    seen = cv2.resize(class_id[rows, columns], size, interpolation=cv2.INTER_NEAREST_EXACT)
    if seen.shape == geometry.frame_size:
        return np.asarray(seen)
    whole = np.zeros(geometry.frame_size, class_id.dtype)
    whole[geometry.seen] = seen
    return whole
