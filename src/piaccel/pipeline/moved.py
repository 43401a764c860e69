"""A part's result in the pixels of the frame the part was cut from."""

from __future__ import annotations

from dataclasses import replace
from functools import singledispatch
from typing import TypeVar

import numpy as np

from piaccel.errors import OptionError
from piaccel.tasks import Classification, Detections, Keypoints, Mask, Result

R = TypeVar("R", bound=Result)


@singledispatch
def moved(result: Result, left: int, top: int, size: tuple[int, int]) -> Result:
    """Return the result of a part that begins at pixel (``left``, ``top``) of a frame of ``size`` (height, width).

    Raises OptionError for a kind of result that nobody knows how to move.
    """
    raise OptionError(f"results of kind {result.kind!r} cannot be moved from a part of the frame to the frame")


@moved.register
def _(result: Classification, left: int, top: int, size: tuple[int, int]) -> Result:
    return result


@moved.register
def _(result: Detections, left: int, top: int, size: tuple[int, int]) -> Result:
    offset = np.array((left, top, left, top), np.float32)
    return answered_by(result.backend, replace(result, xyxy=result.xyxy + offset))


@moved.register
def _(result: Keypoints, left: int, top: int, size: tuple[int, int]) -> Result:
    return answered_by(result.backend, replace(result, xy=result.xy + np.array((left, top), np.float32)))


@moved.register
def _(result: Mask, left: int, top: int, size: tuple[int, int]) -> Result:
    frame = np.full(size, result.background, result.class_id.dtype)
    height, width = result.class_id.shape
    frame[top : top + height, left : left + width] = result.class_id
    return answered_by(result.backend, replace(result, class_id=frame))


def answered_by(backend: str | None, result: R) -> R:
    """Write on a result who answered it."""
    object.__setattr__(result, "backend", backend)  # frozen for everybody else
    return result
