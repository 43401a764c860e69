"""Draws the pictures of the demo: machined parts on a conveyor belt, whole or damaged.

Every picture is computed from its part, its state and a seeded random generator: there are no stored pictures
and no licences of others. The scene (pose, light, defects, dirt) is drawn from the generator before any pixel
is, in units of the picture's width, so one seed gives the same scene at every size.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from camera import dirt, expose
from damage import chip, scratch
from numpy.typing import NDArray
from scene import Floats, Generator, Scene, scene_of, zeros
from shapes import SHAPES, Blank
from surfaces import Light, belt, cast_shadow, lay

PARTS = ("washer", "gear", "nut")
STATES = ("good", "scratched", "chipped", "hole missing")
LABELS = tuple(f"{part} {state}" for part in PARTS for state in STATES)


class _Piece(NamedTuple):
    """One workpiece in the camera's view, before light."""

    scene: Scene
    blank: Blank
    marks: Floats
    """Scratches, 0 to 1."""
    fresh: Floats
    """Freshly broken metal, 0 to 1."""
    grain: Generator
    """For noise that is finer than the scene, so that the scene does not depend on the number of pixels."""


def _piece(part: str, state: str, rng: Generator, side: int) -> _Piece:
    grain = np.random.default_rng(rng.integers(2**63))
    scene = scene_of(rng, side)
    blank = SHAPES[part](scene, rng, state == "hole missing")
    marks = fresh = zeros(scene)
    if state == "chipped":
        blank, fresh = chip(scene, blank, rng)
    elif state == "scratched":
        blank, marks = scratch(scene, blank, rng)
    return _Piece(scene, blank, marks, fresh, grain)


def draw(part: str, state: str, rng: Generator, size: int = 320) -> NDArray[np.uint8]:
    """One picture, uint8 RGB of shape (size, size, 3), drawn at twice the size or more and averaged down.

    Raises ValueError when part or state is none of PARTS, STATES.
    """
    if part not in PARTS or state not in STATES:
        raise ValueError(f"no picture of {part!r} in state {state!r}: parts are {PARTS}, states are {STATES}")
    piece = _piece(part, state, rng, size * max(2, math.ceil(320 / size)))
    scene, blank, grain = piece.scene, piece.blank, piece.grain
    light = Light.of(rng)
    picture = belt(scene, rng, grain)
    picture = cast_shadow(scene, picture, blank.metal, light)
    picture = lay(scene, picture, blank, piece.marks, piece.fresh, light, rng, grain)
    picture = dirt(scene, picture, rng)
    return expose(picture, rng, grain, size)


def picture(seed: int, index: int, size: int = 320) -> tuple[NDArray[np.uint8], int]:
    """Picture `index` of the endless series `seed`, and its label; every label comes once in each twelve."""
    label = index % len(LABELS)
    return draw(*_kind(label), np.random.default_rng([seed, index]), size), label


def damage_map(seed: int, index: int, cells: int) -> NDArray[np.bool_]:
    """Where the part in that picture is damaged: (cells, cells), true where a hundredth of a cell or more is."""
    piece = _piece(*_kind(index % len(LABELS)), np.random.default_rng([seed, index]), 320)
    share = cv2.resize(piece.blank.damage.astype(np.float32), (cells, cells), interpolation=cv2.INTER_AREA)
    return np.asarray(share > 0.01)


def _kind(label: int) -> tuple[str, str]:
    return PARTS[label // len(STATES)], STATES[label % len(STATES)]
