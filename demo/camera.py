"""What comes between the part and the picture: dirt, glare, lens and sensor."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray
from scene import Floats, Generator, Scene


def dirt(scene: Scene, picture: Floats, rng: Generator) -> Floats:
    """Things that are no defect: dust, short fibres, oil smears, the glare of a lamp."""
    layer = np.zeros((scene.side, scene.side), np.uint8)
    fixed = scene.side * 16
    for _ in range(int(rng.integers(0, 16))):
        spot, dot = rng.uniform(0, 1, 2), rng.uniform(0.001, 0.006)
        cv2.circle(
            layer,
            np.round(spot * fixed).astype(int).tolist(),
            round(dot * fixed),
            int(rng.integers(60, 255)),
            -1,
            cv2.LINE_AA,
            4,
        )
    for _ in range(int(rng.integers(0, 4))):
        spot, heading, bend = (
            rng.uniform(0, 1, 2),
            rng.uniform(0, 2 * math.pi),
            rng.uniform(-2.5, 2.5),
        )
        course = heading + bend * np.linspace(0, 1, 6)
        way = spot + np.cumsum(
            np.column_stack([np.cos(course), np.sin(course)]) * rng.uniform(0.004, 0.012),
            axis=0,
        )
        thin = max(1, round(0.004 * scene.side))
        cv2.polylines(
            layer,
            [np.round(way * fixed).astype(np.int32)],
            False,
            int(rng.integers(80, 255)),
            thin,
            cv2.LINE_AA,
            4,
        )
    dust = layer.astype(np.float32)[..., None] / 255
    picture = picture * (1 - dust) + dust * np.float32(rng.uniform(0.05, 0.8))
    for _ in range(int(rng.integers(0, 3))):
        smear = _spot(scene, rng, 0.03, 0.15)
        picture = picture * (1 - np.float32(rng.uniform(0.05, 0.4)) * smear)[..., None]
    if rng.random() < 0.35:
        picture = picture + np.float32(rng.uniform(0.05, 0.5)) * _spot(scene, rng, 0.05, 0.25)[..., None]
    return picture


def _spot(scene: Scene, rng: Generator, least: float, most: float) -> Floats:
    """A soft ellipse somewhere in the picture, 0 to 1."""
    (a, b), (wide, high), turn = (
        rng.uniform(0.1, 0.9, 2),
        rng.uniform(least, most, 2),
        rng.uniform(0, math.pi),
    )
    p = np.float32(math.cos(turn)) * (scene.u - np.float32(a)) + np.float32(math.sin(turn)) * (scene.v - np.float32(b))
    q = np.float32(math.cos(turn)) * (scene.v - np.float32(b)) - np.float32(math.sin(turn)) * (scene.u - np.float32(a))
    return np.exp(-((p / np.float32(wide)) ** 2) - (q / np.float32(high)) ** 2)


def expose(picture: Floats, rng: Generator, grain: Generator, size: int) -> NDArray[np.uint8]:
    """Lens and sensor: blur, averaging down to size, exposure, white balance, a film-like curve, noise."""
    side = picture.shape[0]
    blur = rng.uniform(0.0006, 0.0075) * side
    if rng.random() < 0.25:
        reach = max(3, round(rng.uniform(0.008, 0.03) * side))
        heading = rng.uniform(0, math.pi)
        trail = np.zeros((reach, reach), np.float32)
        mid = np.array([reach - 1, reach - 1]) / 2
        half = mid * np.array([math.cos(heading), math.sin(heading)])
        ends = np.round(np.stack([mid - half, mid + half]) * 16).astype(np.int32)
        cv2.polylines(trail, [ends], False, 1.0, 1, cv2.LINE_8, 4)
        picture = cv2.filter2D(picture, -1, trail / trail.sum())
    picture = cv2.GaussianBlur(picture, (0, 0), blur)
    picture = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
    ticks = np.linspace(-1, 1, size, dtype=np.float32)
    corner = ticks[:, None] ** 2 + ticks**2
    picture = picture * (1 - np.float32(rng.uniform(0, 0.2)) * corner)[..., None]
    picture = picture * (np.float32(rng.uniform(0.55, 1.45)) * rng.uniform(0.95, 1.05, 3).astype(np.float32))
    picture = (1 - np.exp(np.float32(-1.5) * picture)) ** np.float32(1 / 1.6)
    noise = grain.standard_normal(picture.shape, np.float32) * np.float32(rng.uniform(0.004, 0.030))
    noise += (grain.standard_normal(picture.shape[:2], np.float32) * np.float32(rng.uniform(0.0, 0.02)))[..., None]
    return np.clip((picture + noise) * 255 + 0.5, 0, 255).astype(np.uint8)
