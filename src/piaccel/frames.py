"""Frames, and how a picture becomes a network's input."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from piaccel.tensors import Array, Layout, Quantization, TensorSpec

Resize = Literal["stretch", "letterbox", "crop"]
Colour = Literal["RGB", "BGR", "GRAY"]


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture, uint8 (H, W, 3) RGB; ``index`` counts dropped frames too; ``exposed_ns`` is CLOCK_MONOTONIC."""

    image: NDArray[np.uint8]
    index: int = 0
    exposed_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Geometry:
    """Maps model pixels back to frame pixels: ``frame = (model - offset) / scale``, x and y apart."""

    frame_size: tuple[int, int]
    """(height, width) of the frame."""
    model_size: tuple[int, int]
    """(height, width) of the model's input."""
    scale: tuple[float, float] = (1.0, 1.0)
    """(x, y) model pixels for one frame pixel."""
    offset: tuple[float, float] = (0.0, 0.0)
    """(x, y) of the frame's origin in model pixels."""


@dataclass(frozen=True)
class Preprocess:
    """Preprocessing as data: ``real = (pixel - mean) / std`` with pixels 0..255, then the input's own quantization."""

    size: tuple[int, int]
    """(height, width) of the model's input."""
    resize: Resize = "stretch"
    colour: Colour = "RGB"
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    layout: Layout = "NHWC"
    dtype: np.dtype[Any] = np.dtype(np.float32)  # noqa: RUF009 - immutable
    quantization: Quantization | None = None

    def for_input(self, spec: TensorSpec) -> Preprocess:
        """Return the same preprocessing in the layout, dtype and quantization of a session's input."""
        return replace(self, layout=spec.layout or self.layout, dtype=spec.dtype, quantization=spec.quantization)

    def __call__(self, image: NDArray[np.uint8], out: Array | None = None) -> tuple[Array, Geometry]:
        raise NotImplementedError
