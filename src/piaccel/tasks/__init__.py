"""The seam between raw outputs and what they mean: results, and the families of outputs that yield them.

One file in this folder is one family of outputs (``classification``, ``ssd``, ``yolo``, ...); several families can
yield the same kind of result.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from piaccel import plugins
from piaccel.frames import Geometry, Preprocess
from piaccel.tensors import Array, TensorSpec

Image = NDArray[np.uint8]


class Result(ABC):
    """What a model says about one frame."""

    kind: ClassVar[str]

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain data that JSON can hold; boxes and points in frame pixels."""

    @abstractmethod
    def lines(self) -> list[str]:
        """Return the result as text, one finding a line, best first."""

    @abstractmethod
    def draw(self, image: Image) -> Image:
        """Return a copy of the uint8 RGB ``image`` with the result drawn on it."""


class Task(ABC):
    """A family of outputs. Subclasses are frozen dataclasses whose fields are the family's options.

    Every option has a default; a bundle's ``[task]`` table sets them by name.
    """

    kind: ClassVar[str]
    """The kind of its results: classification, detection, segmentation, pose, anomaly."""

    @classmethod
    @abstractmethod
    def recognises(cls, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> bool:
        """Say whether outputs of these names and shapes look like this family's."""

    @classmethod
    @abstractmethod
    def usual_preprocess(cls, image: TensorSpec) -> Preprocess:
        """Return the preprocessing that models of this family usually want, for a model without a manifest."""

    @abstractmethod
    def decode(self, outputs: Mapping[str, Array], geometry: Geometry, labels: Sequence[str]) -> Result:
        """Turn one frame's outputs (batch of one, already dequantized) into a result in frame pixels.

        Raises ModelError when the outputs or the labels do not fit this family.
        """


def names() -> tuple[str, ...]:
    """Return the names of all families."""
    return plugins.names("tasks")


@cache
def get(name: str) -> type[Task]:
    """Return the family called ``name``. Raises OptionError when there is none."""
    return plugins.load("tasks", name, Task)  # type: ignore[type-abstract]
