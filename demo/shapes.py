"""The three parts, whole or with a hole left out: where metal is and how high."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scene import Floats, Generator, Mask, Scene, ramp, zeros


class Blank(NamedTuple):
    """A part before light falls on it: where metal is, how high it stands (part radii), and where it is damaged."""

    metal: Mask
    relief: Floats
    damage: Mask
    turned: float
    """How strongly the lathe's concentric marks show, 0 to 1."""
    bite: tuple[float, float] = (0.11, 0.27)
    """Sizes of the chips that break off it, in part radii."""


def _ring_of_holes(
    scene: Scene, rng: Generator, distance: float, radius: float, missing: bool
) -> tuple[Mask, Floats, Mask]:
    """Holes evenly spaced around the centre; one is left out, at times with the punch mark of its centre.

    Gives where the holes are, the relief of the punch mark, and where a hole should be.
    """
    count = int(rng.integers(4, 7))
    left_out = int(rng.integers(count))
    punched = rng.random() < 0.5
    holes, absent = np.zeros((2, scene.side, scene.side), bool)
    relief = zeros(scene)
    for number in range(count):
        angle = 2 * math.pi * number / count
        away = np.hypot(
            scene.x - np.float32(distance * math.cos(angle)), scene.y - np.float32(distance * math.sin(angle))
        )
        if not missing or number != left_out:
            holes |= away < radius
            continue
        absent = away < radius
        if punched:
            relief -= np.float32(0.03) * (1 - ramp(away, 0.0, 0.35 * radius))
    return holes, relief, absent


def _washer(scene: Scene, rng: Generator, missing: bool) -> Blank:
    bore = rng.uniform(0.34, 0.44)
    radius = rng.uniform(0.115, 0.15)
    holes, relief, absent = _ring_of_holes(scene, rng, (1 + bore) / 2, radius, missing)
    metal = (scene.r < 1) & (scene.r > bore) & ~holes
    return Blank(metal, relief, absent, rng.uniform(0.3, 1.0))


def _gear(scene: Scene, rng: Generator, missing: bool) -> Blank:
    teeth = int(rng.integers(13, 23))
    root = rng.uniform(0.82, 0.87)
    bore = rng.uniform(0.16, 0.22)
    web_from, web_to = bore + 0.12, root - 0.12
    rise = np.clip(0.5 + np.float32(rng.uniform(1.0, 1.8)) * np.cos(teeth * scene.angle), 0, 1)
    outline = np.float32(root) + np.float32(1 - root) * rise
    radius = rng.uniform(0.105, 0.135)
    holes, relief, absent = _ring_of_holes(scene, rng, (web_from + web_to) / 2, radius, missing)
    open_bore = scene.r < bore
    if rng.random() < 0.4:
        open_bore |= (np.abs(scene.y) < 0.05) & (scene.x > 0) & (scene.x < bore + 0.07)
    web = ramp(scene.r, web_from, 0.03) * (1 - ramp(scene.r, web_to, 0.03))
    relief -= np.float32(rng.uniform(0.0, 0.06)) * web
    metal = (scene.r < outline) & ~open_bore & ~holes
    return Blank(metal, relief, absent, rng.uniform(0.0, 0.7), bite=(0.20, 0.32))


def _nut(scene: Scene, rng: Generator, missing: bool) -> Blank:
    bore = rng.uniform(0.40, 0.52)
    flat = math.cos(math.pi / 6)
    across = [
        np.abs(scene.x * np.float32(math.cos(a)) + scene.y * np.float32(math.sin(a)))
        for a in (0, math.pi / 3, -math.pi / 3)
    ]
    metal = (np.maximum(np.maximum(across[0], across[1]), across[2]) < flat) & (scene.r < 0.985)
    chamfer = ramp(scene.r, rng.uniform(0.80, 0.87), 0.14)
    relief = np.float32(-0.10) * chamfer
    countersink = rng.uniform(0.03, 0.09)
    depth = rng.uniform(0.03, 0.10)
    if missing:
        # Never drilled: the press left a shallow pit, at times hardly to be seen, at times dark like a bore.
        pit = rng.uniform(0.0, 1.0)
        relief -= np.float32(depth * (0.3 + pit)) * (1 - ramp(scene.r, bore, countersink))
    else:
        relief -= np.float32(depth) * (1 - ramp(scene.r, bore, countersink))
        metal &= scene.r > bore
    absent = (scene.r < bore) & missing
    return Blank(metal, relief, absent, rng.uniform(0.0, 0.6))


SHAPES = {"washer": _washer, "gear": _gear, "nut": _nut}
