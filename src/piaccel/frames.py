"""Frames, and how a picture becomes a network's input."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from piaccel.errors import InputError, ModelError, OptionError
from piaccel.tensors import Array, Layout, Quantization, TensorSpec

Resize = Literal["stretch", "letterbox", "crop"]
Colour = Literal["RGB", "BGR", "GRAY"]


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture, uint8 (H, W, 3) RGB; ``index`` counts dropped frames too; ``exposed_ns`` is CLOCK_MONOTONIC."""

    image: NDArray[np.uint8]
    index: int = 0
    exposed_ns: int | None = None


class Pool:
    """Arrays for frames that are used again: ``take`` gives one that nobody holds a reference to, or a new one.

    For one thread. After at most ``most`` arrays of a size it does not keep new ones, so that a consumer that hoards
    frames costs memory only as long as it holds them.
    """

    def __init__(self, most: int = 8) -> None:
        self._most = most
        self._arrays: list[NDArray[np.uint8]] = []

    def take(self, height: int, width: int) -> NDArray[np.uint8]:
        """Return a uint8 (height, width, 3) array with anything in it; views of it count as references."""
        arrays = self._arrays
        if arrays and arrays[0].shape[:2] != (height, width):
            arrays.clear()
        for place in range(len(arrays)):
            if sys.getrefcount(arrays[place]) == _UNHELD:
                return arrays[place]
        array = np.empty((height, width, 3), np.uint8)
        if len(arrays) < self._most:
            arrays.append(array)
        return array


@dataclass(frozen=True, slots=True)
class Geometry:
    """Maps model pixels back to frame pixels: ``frame = (model - offset) / scale``, x and y apart.

    Coordinates are continuous: 0 is the left edge of the first pixel, the width is the right edge of the last.
    """

    frame_size: tuple[int, int]
    """(height, width) of the frame."""
    model_size: tuple[int, int]
    """(height, width) of the model's input."""
    scale: tuple[float, float] = (1.0, 1.0)
    """(x, y) model pixels for one frame pixel."""
    offset: tuple[float, float] = (0.0, 0.0)
    """(x, y) of the frame's origin in model pixels."""

    @classmethod
    def fit(cls, frame_size: tuple[int, int], model_size: tuple[int, int], resize: Resize) -> Geometry:
        """Return how a frame is laid into the model's input.

        "letterbox" keeps the sides' ratio, centres the frame and rounds as Ultralytics does (utils/augment LetterBox);
        "crop" keeps the largest part in the middle of the frame that has the model's ratio.
        """
        (frame_h, frame_w), (model_h, model_w) = frame_size, model_size
        x, y = model_w / frame_w, model_h / frame_h
        if resize == "stretch":
            return cls(frame_size, model_size, (x, y))
        if resize == "letterbox":
            scale = min(x, y)
            width, height = max(1, round(frame_w * scale)), max(1, round(frame_h * scale))
            left, top = round((model_w - width) / 2 - 0.1), round((model_h - height) / 2 - 0.1)
            return cls(frame_size, model_size, (width / frame_w, height / frame_h), (float(left), float(top)))
        scale = max(x, y)
        width, height = max(1, round(model_w / scale)), max(1, round(model_h / scale))
        left, top = (frame_w - width) // 2, (frame_h - height) // 2
        x, y = model_w / width, model_h / height
        return cls(frame_size, model_size, (x, y), (-left * x, -top * y))

    @property
    def seen(self) -> tuple[slice, slice]:
        """(rows, columns) of the frame that the model sees."""
        rows, columns = (
            _span(-offset / scale, (model - offset) / scale, frame)
            for frame, model, scale, offset in zip(
                self.frame_size, self.model_size, self.scale[::-1], self.offset[::-1], strict=True
            )
        )
        return rows, columns

    @property
    def covered(self) -> tuple[slice, slice]:
        """(rows, columns) of the model's input that the frame covers; the rest is letterbox."""
        rows, columns = (
            _span(offset, frame * scale + offset, model)
            for frame, model, scale, offset in zip(
                self.frame_size, self.model_size, self.scale[::-1], self.offset[::-1], strict=True
            )
        )
        return rows, columns

    def to_frame(self, xy: Array) -> NDArray[np.float32]:
        """Map model pixels to frame pixels and clip them to the frame.

        ``xy`` is (..., 2) points or (..., 4) boxes: x and y alternate. Returns a new float32 array of that shape.
        """
        points = np.array(xy, np.float32).reshape(*xy.shape[:-1], xy.shape[-1] // 2, 2)
        points -= np.asarray(self.offset, np.float32)
        points /= np.asarray(self.scale, np.float32)
        np.clip(points, 0, np.asarray(self.frame_size[::-1], np.float32), out=points)
        return points.reshape(xy.shape)


@dataclass(frozen=True)
class Preprocess:
    """Preprocessing as data: ``real = (pixel - mean) / std`` with pixels 0..255, then the input's own quantization.

    Call it for one picture; for many pictures keep a ``Preprocessor``, which owns its buffers.
    """

    size: tuple[int, int]
    """(height, width) of the model's input."""
    resize: Resize = "stretch"
    colour: Colour = "RGB"
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    """One number, or one for each channel in the order of ``colour``."""
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    layout: Layout = "NHWC"
    dtype: np.dtype[Any] = np.dtype(np.float32)  # noqa: RUF009 - immutable
    quantization: Quantization | None = None
    fill: int = 114
    """Pixel value of the letterbox bars (Ultralytics' grey)."""

    def __post_init__(self) -> None:
        if min(self.size) < 1:
            raise OptionError(f"preprocessing to size {self.size}: height and width must be at least 1")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, self.channels):
                raise OptionError(
                    f"preprocessing has {len(values)} {name} values for {self.colour}",
                    hint=f"give 1 or {self.channels}",
                )
        if not 0 <= self.fill <= 255:
            raise OptionError(f"preprocessing fills with {self.fill}, a pixel is 0..255")
        if 0 in self.std:
            raise OptionError("preprocessing divides by std, which must not be 0")

    @property
    def channels(self) -> int:
        return 1 if self.colour == "GRAY" else 3

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of the tensor for one frame."""
        height, width = self.size
        return (1, self.channels, height, width) if self.layout == "NCHW" else (1, height, width, self.channels)

    @cached_property
    def table(self) -> Array:
        """What each pixel value becomes, in the input's dtype: (1, 256), or (3, 256) where the channels differ."""
        quantization = self.quantization or Quantization((1.0,), (0,))
        parts: list[tuple[float, ...]] = [self.mean, self.std, quantization.scale, quantization.zero_point]
        if all(len(set(part)) == 1 for part in parts):
            parts = [part[:1] for part in parts]
        mean, std, scales, zero_points = (np.reshape(part, (-1, 1)) for part in parts)
        values = (np.arange(256) - mean) / std / scales + zero_points
        if self.dtype.kind in "iu":
            # Half-way values are the rule, not the exception: a [-1, 1] model has scale 2/255 and zero point -1, so
            # that every pixel falls between two. Half to even would make pairs of pixels one; up keeps all 256.
            limits = np.iinfo(self.dtype)
            values = np.clip(np.floor(values + 0.5 + 1e-3), limits.min, limits.max)
        table: Array = np.ascontiguousarray(values, self.dtype)
        return table

    def for_input(self, spec: TensorSpec) -> Preprocess:
        """Return the same preprocessing in the size, layout, dtype and quantization of a session's input.

        ``size`` stays where the input's height or width is free. Raises ModelError when the input is no picture.
        """
        if spec.channels not in (None, 1, 3):
            raise ModelError(
                f"input {spec.name!r} {spec.shape_text} has {spec.channels} channels, a picture has 1 or 3"
            )
        if spec.channels == 3 and self.colour == "GRAY":
            raise ModelError(f"input {spec.name!r} {spec.shape_text} has 3 channels, the preprocessing gives GRAY")
        colour, mean, std = self.colour, self.mean, self.std
        if spec.channels == 1 and colour != "GRAY":
            colour, mean, std = "GRAY", mean[:1], std[:1]
        height, width = spec.image_size or (None, None)
        return replace(
            self,
            size=(height or self.size[0], width or self.size[1]),
            colour=colour,
            mean=mean,
            std=std,
            layout=spec.layout or self.layout,
            dtype=spec.dtype,
            quantization=spec.quantization,
        )

    def __call__(self, image: NDArray[np.uint8], out: Array | None = None) -> tuple[Array, Geometry]:
        """Return (tensor of ``shape`` and ``dtype``, geometry) for a uint8 (H, W, 3) RGB image."""
        return Preprocessor(self)(image, out)


class Preprocessor:
    """Runs one ``Preprocess`` over many frames with buffers of its own. Not for use from several threads at once.

    The work is at most three passes, each over as few bytes as there can be: resize the frame's uint8 pixels, arrange
    the channels (only for BGR, GRAY or NCHW), look each pixel up in a table of 256 entries (only where the table is
    not the identity). The last pass writes into ``out``: a uint8 model that takes raw pixels gets them from the resize.
    """

    def __init__(self, preprocess: Preprocess) -> None:
        self.preprocess = preprocess
        table = preprocess.table
        raw = np.arange(256, dtype=np.uint8)
        bits = table.view(_BITS[table.dtype.itemsize])
        single = len(bits) == 1 and bits.dtype == np.uint8
        self._identity = single and np.array_equal(bits[0], raw)
        # An int8 input that wants pixel - 128: flipping the top bit is the whole quantization, 7x faster than a table.
        self._flips_top_bit = single and np.array_equal(bits[0], raw ^ 0x80)
        per_pixel = len(bits) > 1 and preprocess.layout != "NCHW"
        self._table = np.ascontiguousarray(bits.T[np.newaxis]) if per_pixel else bits
        height, width = preprocess.size
        arranges = preprocess.layout == "NCHW" or preprocess.colour != "RGB"
        direct = self._identity and not arranges
        self._resized = None if direct else np.empty((height, width, 3), np.uint8)
        self._arranged = np.empty(preprocess.shape, np.uint8) if arranges and not self._identity else None
        self._geometry: Geometry | None = None

    @cached_property
    def _cv2(self) -> Any:  # for the first picture: it takes 16 MB, and a service of raw tensors never has one
        import cv2

        return cv2

    def __call__(self, image: NDArray[np.uint8], out: Array | None = None) -> tuple[Array, Geometry]:
        """Return (tensor, geometry) for a uint8 (H, W, 3) RGB image. The tensor is ``out`` where that is given.

        Raises InputError when the image is not one, or ``out`` is not C-contiguous of the right shape and dtype.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise InputError(
                f"a frame must be uint8 (H, W, 3) RGB, got {image.dtype} {image.shape}",
                hint="read pictures with piaccel.images.read_image",
            )
        tensor = self._checked(out)
        geometry = self._fit(image.shape[0], image.shape[1])
        final = tensor.view(_BITS[tensor.dtype.itemsize])
        pixels = final[0] if self._resized is None else self._resized
        self._resize(image, geometry, pixels)
        if self._resized is not None:
            values = self._arrange(pixels, final if self._arranged is None else self._arranged)
            self._look_up(values, final)
        return tensor, geometry

    def _checked(self, out: Array | None) -> Array:
        shape, dtype = self.preprocess.shape, self.preprocess.dtype
        if out is None:
            return np.empty(shape, dtype)
        if out.shape != shape or out.dtype != dtype or not out.flags.c_contiguous:
            raise InputError(f"out is {out.dtype} {out.shape}, expected C-contiguous {dtype} {shape}")
        return out

    def _fit(self, height: int, width: int) -> Geometry:
        if self._geometry is None or self._geometry.frame_size != (height, width):
            self._geometry = Geometry.fit((height, width), self.preprocess.size, self.preprocess.resize)
        return self._geometry

    def _resize(self, image: NDArray[np.uint8], geometry: Geometry, pixels: NDArray[np.uint8]) -> None:
        if self.preprocess.resize == "crop":
            image = image[geometry.seen]
        elif self.preprocess.resize == "letterbox":
            rows, columns = geometry.covered
            fill = self.preprocess.fill
            pixels[: rows.start] = fill
            pixels[rows.stop :] = fill
            pixels[rows, : columns.start] = fill
            pixels[rows, columns.stop :] = fill
            pixels = pixels[rows, columns]
        height, width = pixels.shape[:2]
        self._cv2.resize(image, (width, height), dst=pixels, interpolation=self._cv2.INTER_LINEAR)

    def _arrange(self, pixels: NDArray[np.uint8], to: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Bring the channels in the model's order and layout, and return where they are now."""
        cv2, preprocess = self._cv2, self.preprocess
        if preprocess.colour == "GRAY":
            cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY, dst=to.reshape(preprocess.size))
        elif preprocess.layout == "NCHW":
            planes = list(to[0])
            cv2.split(pixels, planes if preprocess.colour == "RGB" else planes[::-1])
        elif preprocess.colour == "BGR":
            cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR, dst=to[0])
        else:
            return pixels[np.newaxis]
        return to

    def _look_up(self, values: NDArray[np.uint8], final: Array) -> None:
        if self._identity:
            return
        if self._flips_top_bit:
            np.bitwise_xor(values, np.uint8(0x80), out=final)
        elif self._table.ndim == 2 and len(self._table) == 1:
            rows = self.preprocess.size[0]
            self._cv2.LUT(values.reshape(rows, -1), self._table[0], dst=final.reshape(rows, -1))
        elif self.preprocess.layout == "NCHW":
            for plane, table, to in zip(values[0], self._table, final[0], strict=True):
                self._cv2.LUT(plane, table, dst=to)
        else:
            self._cv2.LUT(values[0], self._table, dst=final[0])


def _span(start: float, stop: float, limit: int) -> slice:
    return slice(max(0, round(start)), min(limit, round(stop)))


# OpenCV's LUT copies entries of these types; a float16 table goes through as its bits.
_BITS: dict[int, type[np.generic]] = {1: np.uint8, 2: np.uint16, 4: np.float32, 8: np.float64}

# What sys.getrefcount says of an array that only a pool's list holds: the list's reference and the call's own, which
# newer Pythons borrow.
_held_by_a_list_only = [np.empty(0, np.uint8)]
_UNHELD = sys.getrefcount(_held_by_a_list_only[0])
