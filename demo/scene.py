"""The grids a picture is computed on, and soft fields over them."""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
Generator = np.random.Generator


class Scene(NamedTuple):
    """The camera's view: one coordinate grid in picture widths, one in part radii around the part's centre."""

    side: int
    scale: float
    u: Floats
    v: Floats
    x: Floats
    y: Floats
    r: Floats
    angle: Floats
    part_to_pixels: NDArray[np.float64]

    def pixels(self, points: NDArray[np.float64]) -> NDArray[np.int32]:
        """Points (n, 2) in part radii to fixed-point pixels (4 fractional bits) as OpenCV's drawing wants them."""
        placed = points @ self.part_to_pixels[:, :2].T + self.part_to_pixels[:, 2]
        return np.round(placed * 16).astype(np.int32)

    def polygon(self, points: NDArray[np.float64]) -> Mask:
        canvas = np.zeros((self.side, self.side), np.uint8)
        cv2.fillPoly(canvas, [self.pixels(points)], 1, cv2.LINE_8, 4)
        return canvas.astype(bool)


def scene_of(rng: Generator, side: int) -> Scene:
    radius = rng.uniform(0.27, 0.41)
    centre = 0.5 + rng.uniform(-0.085, 0.085, 2)
    turn = rng.uniform(0, 2 * math.pi)
    # A camera never looks quite straight down: the part is a little shorter along one axis.
    squeeze, along = rng.uniform(0.90, 1.0), rng.uniform(0, math.pi)
    axis = np.array([math.cos(along), math.sin(along)])
    tilt = np.eye(2) - (1 - squeeze) * np.outer(axis, axis)
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    to_picture = radius * tilt @ rotation
    to_part = np.linalg.inv(to_picture)
    ticks = (np.arange(side, dtype=np.float32) + 0.5) / side
    u, v = np.meshgrid(ticks, ticks)
    du, dv = u - np.float32(centre[0]), v - np.float32(centre[1])
    x = np.float32(to_part[0, 0]) * du + np.float32(to_part[0, 1]) * dv
    y = np.float32(to_part[1, 0]) * du + np.float32(to_part[1, 1]) * dv
    to_pixels = np.column_stack([to_picture * side, centre * side - 0.5])
    return Scene(side, float(radius), u, v, x, y, np.hypot(x, y), np.arctan2(y, x), to_pixels)


def zeros(scene: Scene) -> Floats:
    return np.zeros((scene.side, scene.side), np.float32)


def ramp(values: Floats, edge: float, width: float) -> Floats:
    """0 below edge, 1 above edge + width, a straight ramp between."""
    return np.clip((values - np.float32(edge)) / np.float32(width), 0, 1)


def clouds(rng: Generator, side: int, cells: int) -> Floats:
    """Soft random field, about -1 to 1, whose blobs are 1/cells of the picture wide."""
    field = cv2.resize(
        rng.standard_normal((cells, cells), np.float32),
        (side, side),
        interpolation=cv2.INTER_CUBIC,
    )
    return np.asarray(field * np.float32(0.6))
