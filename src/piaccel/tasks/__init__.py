"""The seam between raw outputs and what they mean: results, and the families of outputs that yield them.

One file in this folder is one family of outputs (``classification``, ``ssd``, ``yolo``, ...); several families can
yield the same kind of result.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache
from typing import ClassVar

from piaccel import plugins
from piaccel.errors import OptionError
from piaccel.frames import Geometry, Preprocess
from piaccel.tasks._results import Classification as Classification
from piaccel.tasks._results import Detections as Detections
from piaccel.tasks._results import Keypoints as Keypoints
from piaccel.tasks._results import Mask as Mask
from piaccel.tasks._results import Result as Result
from piaccel.tensors import Array, TensorSpec


class Task(ABC):
    """A family of outputs. Subclasses are frozen dataclasses whose fields are the family's options.

    Every option has a default; a bundle's ``[task]`` table sets them by name.
    """

    kind: ClassVar[str]
    """The kind of its results: classification, detection, segmentation, pose, anomaly."""

    @property
    def family(self) -> str:
        """The family's name, which is its file's."""
        return type(self).__module__.rpartition(".")[2]

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


def recognise(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> str | None:
    """Return the family whose outputs these look like, None when no family or more than one would do."""
    found = [name for name in names() if get(name).recognises(inputs, outputs)]
    return found[0] if len(found) == 1 else None


def resolve(wanted: str, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> str:
    """Return the family that ``wanted`` means for these outputs: a family's name, or a kind such as "detection".

    Raises OptionError when there is no such family or kind, or no family of that kind recognises the outputs.
    """
    if wanted in names():
        return wanted
    families = [name for name in names() if get(name).kind == wanted]
    if not families:
        kinds = {get(name).kind for name in names()}
        raise OptionError(f"no task is called {wanted!r}", hint=f"choose from {', '.join(sorted({*names(), *kinds}))}")
    found = [name for name in families if get(name).recognises(inputs, outputs)]
    if len(found) == 1 or len(families) == 1:
        return (found or families)[0]
    shapes = ", ".join(f"{spec.name} {spec.shape_text}" for spec in outputs)
    raise OptionError(
        f"the outputs ({shapes}) fit {len(found) or 'no'} family of {wanted}",
        hint=f"name the family: {', '.join(found or families)}",
    )
