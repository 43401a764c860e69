"""The belt and the metal under one lamp, in linear RGB."""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from scene import Floats, Generator, Mask, Scene, clouds, ramp
from shapes import Blank

# Linear RGB of bare metals and coatings: steel, zinc, brass, copper, dark oxide.
METALS = (
    (0.62, 0.63, 0.65),
    (0.66, 0.66, 0.60),
    (0.72, 0.60, 0.36),
    (0.70, 0.49, 0.38),
    (0.30, 0.30, 0.33),
)
BELTS = (
    (0.10, 0.11, 0.12),
    (0.09, 0.17, 0.13),
    (0.10, 0.14, 0.22),
    (0.26, 0.25, 0.23),
    (0.48, 0.47, 0.44),
)


class Light(NamedTuple):
    azimuth: float
    height: float
    ambient: float
    shadow: float

    @staticmethod
    def of(rng: Generator) -> Light:
        return Light(
            rng.uniform(0, 2 * math.pi),
            rng.uniform(0.5, 1.2),
            rng.uniform(0.35, 0.7),
            rng.uniform(0.3, 0.75),
        )

    @property
    def towards(self) -> tuple[float, float, float]:
        flat = math.cos(self.height)
        return (
            flat * math.cos(self.azimuth),
            flat * math.sin(self.azimuth),
            math.sin(self.height),
        )


def belt(scene: Scene, rng: Generator, grain: Generator) -> Floats:
    """The conveyor: rubber or fabric with a weave, stains, scuffs and a seam, linear RGB."""
    colour = np.array(BELTS[int(rng.integers(len(BELTS)))], np.float32) * np.float32(rng.uniform(0.7, 1.4))
    turn = rng.uniform(0, math.pi)
    pitch = rng.uniform(18, 60) * 2 * math.pi
    p = np.float32(math.cos(turn)) * scene.u + np.float32(math.sin(turn)) * scene.v
    q = np.float32(math.cos(turn)) * scene.v - np.float32(math.sin(turn)) * scene.u
    weave = np.sin(np.float32(pitch) * p)
    if rng.random() < 0.6:
        weave = weave * np.sin(np.float32(pitch) * q)
    tone = (
        1
        + np.float32(rng.uniform(0.0, 0.22)) * weave
        + np.float32(rng.uniform(0.03, 0.22)) * clouds(rng, scene.side, 7)
    )
    tone += np.float32(rng.uniform(0.02, 0.08)) * grain.standard_normal(tone.shape, np.float32)
    for _ in range(int(rng.integers(0, 5))):
        start, heading, length = (
            rng.uniform(-0.1, 1.1, 2),
            rng.uniform(0, 2 * math.pi),
            rng.uniform(0.1, 0.8),
        )
        end = start + length * np.array([math.cos(heading), math.sin(heading)])
        scuff = np.zeros(tone.shape, np.uint8)
        ends = np.round(np.stack([start, end]) * scene.side * 16).astype(np.int32)
        cv2.polylines(
            scuff,
            [ends],
            False,
            255,
            max(1, round(rng.uniform(0.003, 0.012) * scene.side)),
            cv2.LINE_AA,
            4,
        )
        tone += np.float32(rng.uniform(-0.3, 0.4) / 255) * scuff
    if rng.random() < 0.15:
        tone *= 1 - np.float32(0.5) * (np.abs(p - np.float32(rng.uniform(0, 1))) < rng.uniform(0.004, 0.012))
    return np.maximum(tone, 0.05)[..., None] * colour


def cast_shadow(scene: Scene, picture: Floats, metal: Mask, light: Light) -> Floats:
    length = 0.16 * scene.scale * scene.side / math.tan(light.height)
    shift = np.array(
        [
            [1, 0, -length * math.cos(light.azimuth)],
            [0, 1, -length * math.sin(light.azimuth)],
        ]
    )
    solid = metal.astype(np.float32)
    cast = cv2.warpAffine(solid, shift, (scene.side, scene.side))
    soft = cv2.GaussianBlur(cast, (0, 0), 0.008 * scene.side)
    near = cv2.blur(solid, (scene.side // 14, scene.side // 14))
    return np.asarray(picture * (1 - np.float32(light.shadow) * np.maximum(soft, np.float32(0.6) * near))[..., None])


def lay(
    scene: Scene,
    picture: Floats,
    blank: Blank,
    marks: Floats,
    fresh: Floats,
    light: Light,
    rng: Generator,
    grain: Generator,
) -> Floats:
    """The part on the belt: its side walls, then its lit face."""
    metal = np.array(METALS[int(rng.integers(len(METALS)))], np.float32) * np.float32(rng.uniform(0.75, 1.2))
    # The wall of a thick part shows where the camera looks past its upper edge.
    lean, bearing = (
        rng.uniform(0.0, 0.07) * scene.scale * scene.side,
        rng.uniform(0, 2 * math.pi),
    )
    solid = blank.metal.astype(np.uint8)
    for share in (1.0, 0.66, 0.33):
        shift = np.array(
            [
                [1, 0, share * lean * math.cos(bearing)],
                [0, 1, share * lean * math.sin(bearing)],
            ]
        )
        wall = cv2.warpAffine(solid, shift, (scene.side, scene.side), flags=cv2.INTER_NEAREST).astype(bool)
        picture = np.where(wall[..., None], metal * np.float32(0.42 - 0.22 * share), picture)
    tone = _face(scene, blank, marks, light, rng, grain)
    tone *= 1 + fresh * np.float32(rng.uniform(-0.3, 0.35)) * (1 + clouds(grain, scene.side, 64))
    # Fresh metal shines in a stroke, oil and shade darken it; seldom is it exactly as bright as its surroundings.
    gloss = np.float32(rng.uniform(0.4, 1.1) if rng.random() < 0.6 else -rng.uniform(0.35, 0.7))
    tone *= 1 + gloss * marks
    return np.where(blank.metal[..., None], np.maximum(tone, 0.02)[..., None] * metal, picture)


def _face(
    scene: Scene,
    blank: Blank,
    marks: Floats,
    light: Light,
    rng: Generator,
    grain: Generator,
) -> Floats:
    """Brightness of the metal: bevelled edges, relief and strokes by their slope, lathe or brush marks, reflections."""
    bevel = rng.uniform(0.02, 0.06)
    inside = cv2.distanceTransform(blank.metal.astype(np.uint8), cv2.DIST_L2, 5) / np.float32(scene.scale * scene.side)
    height = blank.relief + np.float32(bevel * 0.8) * np.sqrt(ramp(inside, 0.0, bevel)) - np.float32(0.012) * marks
    height = cv2.GaussianBlur(height, (0, 0), max(1.0, 0.0022 * scene.side)) * np.float32(scene.scale * scene.side)
    east = cv2.Sobel(height, cv2.CV_32F, 1, 0, scale=1 / 8)
    south = cv2.Sobel(height, cv2.CV_32F, 0, 1, scale=1 / 8)
    upright = 1 / np.sqrt(1 + east**2 + south**2)
    lx, ly, lz = light.towards
    facing = (np.float32(lz) - np.float32(lx) * east - np.float32(ly) * south) * upright
    shine = np.clip(
        (np.float32(lz + 1) - np.float32(lx) * east - np.float32(ly) * south)
        * upright
        / np.float32(math.sqrt(2 + 2 * lz)),
        0,
        1,
    )
    tone = (
        np.float32(light.ambient)
        + np.float32(0.65) * np.maximum(facing, 0)
        + np.float32(rng.uniform(0.1, 0.5)) * shine**24
    )
    # Turned metal reflects the lamp as two bright fans; brushed metal shows its strokes.
    fan = np.abs(np.cos(scene.angle - np.float32(rng.uniform(0, math.pi)))) ** np.float32(rng.uniform(3, 16))
    tone += np.float32(blank.turned * rng.uniform(0.1, 0.5)) * fan
    rings = np.sin(scene.r * np.float32(rng.uniform(60, 200)) + 3 * clouds(rng, scene.side, 5))
    tone *= 1 + np.float32(blank.turned * rng.uniform(0.0, 0.06)) * rings
    brush = cv2.blur(grain.standard_normal(tone.shape, np.float32), (scene.side // 12, 1))
    turn = cv2.getRotationMatrix2D((scene.side / 2, scene.side / 2), rng.uniform(0, 180), 1.5)
    brush = cv2.warpAffine(brush, turn, (scene.side, scene.side), borderMode=cv2.BORDER_REFLECT)
    tone *= 1 + np.float32(rng.uniform(0.0, 0.35)) * brush
    reflection = np.float32(rng.uniform(-0.6, 0.6)) * (scene.u - 0.5) + np.float32(rng.uniform(-0.6, 0.6)) * (
        scene.v - 0.5
    )
    tone *= 1 + reflection + np.float32(rng.uniform(0.02, 0.13)) * clouds(rng, scene.side, 6)
    return np.asarray(tone + np.float32(0.02) * grain.standard_normal(tone.shape, np.float32))
