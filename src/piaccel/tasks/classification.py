"""One score for each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from piaccel.errors import ModelError
from piaccel.frames import Geometry, Preprocess
from piaccel.tasks import Classification, Task
from piaccel.tasks._outputs import fit_labels, only
from piaccel.tasks._usual import IMAGENET_MEAN, IMAGENET_STD, usual
from piaccel.tensors import Array, TensorSpec


@dataclass(frozen=True)
class ClassificationTask(Task):
    """One output of n >= 2 values: (1, n), (1, 1, 1, n) or (1, n, 1, 1)."""

    kind = "classification"

    top: int = 5
    """How many classes are shown."""
    softmax: bool | None = None
    """Whether the outputs are logits; None looks at the values: probabilities lie in 0..1 and sum to 1."""

    @classmethod
    def recognises(cls, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> bool:
        if len(outputs) != 1 or len(outputs[0].shape) not in (2, 4) or outputs[0].shape[0] not in (1, None):
            return False
        sizes = [size for size in outputs[0].shape[1:] if size != 1]
        return len(sizes) == 1 and sizes[0] is not None

    @classmethod
    def usual_preprocess(cls, image: TensorSpec) -> Preprocess:
        """Float inputs: ImageNet mean and deviation for NCHW (PyTorch's habit), [-1, 1] for NHWC (TensorFlow's)."""
        if image.layout == "NCHW":
            return usual(image, size=(224, 224), mean=IMAGENET_MEAN, std=IMAGENET_STD)
        return usual(image, size=(224, 224), mean=(127.5,), std=(127.5,))

    def decode(self, outputs: Mapping[str, Array], geometry: Geometry, labels: Sequence[str]) -> Classification:
        scores = np.asarray(only(outputs, "classification"), np.float32).ravel()
        if scores.size < 2:
            raise ModelError(f"classification needs at least 2 classes, the output has {scores.size}")
        labels = fit_labels(labels, scores.size)
        if self.softmax if self.softmax is not None else not _are_probabilities(scores):
            scores = np.exp(scores - scores.max())
            scores /= scores.sum()
        return Classification(scores, labels, self.top)


def _are_probabilities(scores: Array) -> bool:
    # An 8-bit output in steps of 1/256 is off by up to half a step for each class.
    slack = 0.02 + scores.size / 512
    return bool(scores.min() >= -1e-3 and scores.max() <= 1 + 1e-3 and abs(scores.sum() - 1) <= slack)
