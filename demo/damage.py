"""What happens to a part: a piece broken off its edge, scratches across its face."""

from __future__ import annotations

import math

import cv2
import numpy as np
from scene import Floats, Generator, Scene, zeros
from shapes import Blank


def chip(scene: Scene, blank: Blank, rng: Generator) -> tuple[Blank, Floats]:
    """Break a piece out of the outer edge; also gives the freshly broken metal around it, 0 to 1."""
    angle = rng.uniform(0, 2 * math.pi)
    bite = rng.uniform(*blank.bite)
    steps = np.linspace(0.7, 1.0, 61)
    ray = np.column_stack([steps * math.cos(angle), steps * math.sin(angle)])
    column, row = (np.clip(scene.pixels(ray) // 16, 0, scene.side - 1)).T
    inside = np.flatnonzero(blank.metal[row, column])
    edge = steps[inside[-1]] if inside.size else 0.85
    corners = 11
    around = np.sort(np.arange(corners) + rng.uniform(-0.35, 0.35, corners)) * (2 * math.pi / corners)
    reach = bite * rng.uniform(0.65, 1.2, corners)
    middle = edge * np.array([math.cos(angle), math.sin(angle)])
    shape = np.column_stack([np.cos(around), np.sin(around)]) * reach[:, None]
    gone = scene.polygon(middle + shape)
    broken = scene.polygon(middle + shape * rng.uniform(1.1, 1.35)) & ~gone
    fresh = broken.astype(np.float32)
    relief = blank.relief - np.float32(0.08) * cv2.GaussianBlur(fresh, (0, 0), 0.01 * scene.side)
    return blank._replace(metal=blank.metal & ~gone, relief=relief, damage=gone | broken), fresh


def scratch(scene: Scene, blank: Blank, rng: Generator) -> tuple[Blank, Floats]:
    """One to three thin strokes over the face, 0 to 1; of several tries the one most on metal is kept."""
    marks = zeros(scene)
    for _ in range(1 + int(rng.random() < 0.35) + int(rng.random() < 0.15)):
        strokes = [_stroke(scene, rng) for _ in range(6)]
        seen = [float((stroke * blank.metal).sum()) for stroke in strokes]
        strength = np.float32(rng.uniform(0.65, 1.0))
        marks = np.maximum(marks, strength * strokes[int(np.argmax(seen))])
    return blank._replace(damage=(marks > 0.3) & blank.metal), marks


def _stroke(scene: Scene, rng: Generator) -> Floats:
    length = rng.uniform(0.4, 1.3)
    width = rng.uniform(0.026, 0.085)
    heading, bend = rng.uniform(0, 2 * math.pi), rng.uniform(-0.9, 0.9)
    distance, bearing = rng.uniform(0.4, 0.95), rng.uniform(0, 2 * math.pi)
    along = np.linspace(-0.5, 0.5, 9)
    course = heading + bend * along
    way = np.cumsum(np.column_stack([np.cos(course), np.sin(course)]) * (length / 8), axis=0)
    way += distance * np.array([math.cos(bearing), math.sin(bearing)]) - way[4]
    canvas = np.zeros((scene.side, scene.side), np.uint8)
    points = scene.pixels(way + rng.normal(0, 0.006, way.shape))
    thickness = width * scene.scale * scene.side
    for number in range(8):
        # Thin at both ends, as a tool leaves it.
        taper = 0.5 + 0.5 * math.sin(math.pi * (number + 0.5) / 8)
        cv2.polylines(
            canvas, [points[number : number + 2]], False, 255, max(1, round(thickness * taper)), cv2.LINE_AA, 4
        )
    return np.asarray(canvas.astype(np.float32) / 255)
