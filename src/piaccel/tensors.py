"""What a network takes and gives: names, shapes, dtypes and quantization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from piaccel.errors import InputError

Array: TypeAlias = NDArray[Any]
Layout: TypeAlias = Literal["NHWC", "NCHW", ""]


@dataclass(frozen=True, slots=True)
class Quantization:
    """Affine quantization: ``real = scale * (quantized - zero_point)``.

    After the TensorFlow Lite 8-bit quantization specification. One scale and zero point for the whole tensor, or one
    pair for each index along ``axis``.
    """

    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int = 0

    def __post_init__(self) -> None:
        if not self.scale or len(self.scale) != len(self.zero_point):
            raise InputError(
                f"quantization needs as many scales as zero points, got {len(self.scale)} and {len(self.zero_point)}"
            )

    @property
    def per_tensor(self) -> bool:
        return len(self.scale) == 1

    def dequantize(self, quantized: Array, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Return the real values as float32, in ``out`` where one is given."""
        scale, zero_point = self._broadcast(quantized.ndim)
        real: NDArray[np.float32] = np.subtract(quantized, zero_point, out=out, dtype=np.float32)
        real *= scale
        return real

    def quantize(self, real: Array, dtype: np.dtype[Any]) -> Array:
        """Return ``real`` as ``dtype``, rounded half to even and clipped to the dtype's range."""
        scale, zero_point = self._broadcast(real.ndim)
        limits = np.iinfo(dtype)
        quantized: Array = np.rint(real / scale + zero_point).clip(limits.min, limits.max).astype(dtype)
        return quantized

    def _broadcast(self, ndim: int) -> tuple[Any, Any]:
        if self.per_tensor:
            return np.float32(self.scale[0]), np.float32(self.zero_point[0])
        shape = [1] * ndim
        shape[self.axis] = len(self.scale)
        return (
            np.asarray(self.scale, np.float32).reshape(shape),
            np.asarray(self.zero_point, np.float32).reshape(shape),
        )


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output.

    ``None`` in ``shape`` is a dimension that is free, or unknown before the first run; ``layout`` is '' where it is
    not an image.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: np.dtype[Any]
    layout: Layout = ""
    quantization: Quantization | None = None

    def check(self, array: Array) -> None:
        """Raise InputError unless ``array`` has this spec's dtype and a shape that fits."""
        if array.dtype != self.dtype:
            raise InputError(
                f"input {self.name!r} has dtype {array.dtype}, expected {self.dtype}",
                hint=f"convert it with array.astype('{self.dtype}')",
            )
        if array.shape != self.shape and not self.fits(array.shape):
            raise InputError(f"input {self.name!r} has shape {array.shape}, expected {self.shape_text}")

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of this shape can be fed: known dimensions equal, free ones not empty."""
        return len(shape) == len(self.shape) and all(
            have > 0 if want is None else want == have for want, have in zip(self.shape, shape, strict=True)
        )

    @property
    def shape_text(self) -> str:
        return "(" + ", ".join("?" if size is None else str(size) for size in self.shape) + ")"

    @property
    def image_size(self) -> tuple[int | None, int | None] | None:
        """(height, width) of an image input, None for anything else."""
        if len(self.shape) != 4 or not self.layout:
            return None
        return (self.shape[1], self.shape[2]) if self.layout == "NHWC" else (self.shape[2], self.shape[3])

    @property
    def channels(self) -> int | None:
        if len(self.shape) != 4 or not self.layout:
            return None
        return self.shape[3] if self.layout == "NHWC" else self.shape[1]


def guess_layout(shape: tuple[int | None, ...]) -> Layout:
    """Guess where the channels of an image tensor are: the dimension of 1, 3 or 4 at the end or after the batch."""
    if len(shape) != 4:
        return ""
    if shape[3] in (1, 3, 4):
        return "NHWC"
    return "NCHW" if shape[1] in (1, 3, 4) else ""
