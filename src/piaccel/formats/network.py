"""What a model file says about itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from piaccel.frames import Preprocess
from piaccel.tensors import TensorSpec

Format: TypeAlias = Literal["tflite", "onnx", "openvino", "ncnn", "hef", "rpk"]

EDGETPU_OP = "edgetpu-custom-op"
_KINDS = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16", "float64": "fp64"}
_NUMPY_DTYPES = frozenset(np.dtype(code).name for code in "?bBhHiIlLqQefdFD")
_ALL_BUT_A_FEW = 0.95


@dataclass(frozen=True, slots=True)
class Network:
    """A network as its file describes it, read without a runtime. ``None`` is unknown."""

    path: Path
    format: Format
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    operators: Mapping[str, int]
    """How often each operator occurs; custom operators stand under their own names."""
    custom_operators: tuple[str, ...]
    """Those operators that no runtime knows unless it is taught (a delegate, a plug-in)."""
    parameters: int | None
    """Weights and biases, counted in elements."""
    macs: int | None
    """Multiply-accumulates of convolutions, dense layers and matrix products for a batch of 1."""
    size_bytes: int
    """Bytes on disk, with the weights where these are a file of their own."""
    precision: str
    """Weights: "fp32", "fp16", "int8", "uint8", "mixed"; "int8-weights" where only they are integers; "" unknown."""
    description: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    """What else the format tells: opset, producer, IR version, ..."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What the exporter wrote beside the network (Ultralytics: task, names, imgsz, ...)."""
    labels: tuple[str, ...] = ()
    """The names of the classes, where the file has them in a form of its own."""
    task: Mapping[str, Any] = field(default_factory=dict)
    """What the outputs mean, as the ``[task]`` table of a manifest, where the file tells."""
    preprocess: Preprocess | None = None
    """What the file tells of how pictures become its input."""

    @property
    def edgetpu(self) -> bool:
        """Whether the Edge TPU compiler made this file."""
        return EDGETPU_OP in self.operators

    @property
    def cpu_operators(self) -> int:
        """Operators that run on the CPU even where an accelerator takes its part."""
        return sum(self.operators.values()) - self.operators.get(EDGETPU_OP, 0)


def precision_of(elements: Mapping[str, int]) -> str:
    """Name the precision of weights given as {dtype name: number of elements}; '' when there are none."""
    total = sum(elements.values())
    if not total:
        return ""
    dtype, most = max(elements.items(), key=lambda item: item[1])
    return _KINDS.get(dtype, dtype) if most >= _ALL_BUT_A_FEW * total else "mixed"


def numpy_dtype(name: str) -> np.dtype[Any]:
    """The NumPy dtype called ``name``; object for what NumPy has no type for (strings, bfloat16, 8-bit floats)."""
    return np.dtype(name if name in _NUMPY_DTYPES else "object")


def count(names: Iterable[str]) -> dict[str, int]:
    """Count ``names``, the most frequent first, equals by name."""
    found: dict[str, int] = {}
    for name in names:
        found[name] = found.get(name, 0) + 1
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))
