"""Draws the pictures of the demo: machined parts on a conveyor belt, whole or damaged.

Every picture is computed from its part, its state and a seeded random generator: there are no stored pictures
and no licences of others. The scene (pose, light, defects, dirt) is drawn from the generator before any pixel
is, in units of the picture's width, so one seed gives the same scene at every size.
"""

from __future__ import annotations

import math

import numpy as np
from camera import dirt, expose
from damage import chip, scratches
from numpy.typing import NDArray
from scene import Generator, scene_of, zeros
from shapes import SHAPES
from surfaces import Light, belt, cast_shadow, lay

PARTS = ("washer", "gear", "nut")
STATES = ("good", "scratched", "chipped", "hole missing")
LABELS = tuple(f"{part} {state}" for part in PARTS for state in STATES)


def draw(part: str, state: str, rng: Generator, size: int = 320) -> NDArray[np.uint8]:
    """One picture, uint8 RGB of shape (size, size, 3), drawn at twice the size or more and averaged down.

    Raises ValueError when part or state is none of PARTS, STATES.
    """
    if part not in PARTS or state not in STATES:
        raise ValueError(f"no picture of {part!r} in state {state!r}: parts are {PARTS}, states are {STATES}")
    grain = np.random.default_rng(rng.integers(2**63))
    finer = max(2, math.ceil(320 / size))
    scene = scene_of(rng, size * finer)
    blank = SHAPES[part](scene, rng, state == "hole missing")
    blank, fresh = chip(scene, blank, rng) if state == "chipped" else (blank, zeros(scene))
    marks = scratches(scene, blank.metal, rng) if state == "scratched" else zeros(scene)
    light = Light.of(rng)
    picture = belt(scene, rng, grain)
    picture = cast_shadow(scene, picture, blank.metal, light)
    picture = lay(scene, picture, blank, marks, fresh, light, rng, grain)
    picture = dirt(scene, picture, rng)
    return expose(picture, rng, grain, size)


def picture(seed: int, index: int, size: int = 320) -> tuple[NDArray[np.uint8], int]:
    """Picture `index` of the endless series `seed`, and its label; every label comes once in each twelve."""
    label = index % len(LABELS)
    rng = np.random.default_rng([seed, index])
    return draw(PARTS[label // len(STATES)], STATES[label % len(STATES)], rng, size), label
