"""What a network is fed while it is measured: the caller's pictures, or made-up ones."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Picture: TypeAlias = NDArray[np.uint8]
SIZE = (480, 640)
"""(height, width) of a made-up picture: VGA, what many cameras give."""
COUNT = 3


def synthetic(seed: int, count: int = COUNT, size: tuple[int, int] = SIZE) -> list[Picture]:
    """Return seeded pictures, uint8 (H, W, 3): coloured blobs with smooth edges, some noise.

    Not zeros and not pure noise: some kernels are faster on zeros, and noise drives activations where real pictures
    never do. A real picture is better still, for the speed and above all for the agreement.
    """
    rng = np.random.default_rng(seed)
    return [_picture(rng, size) for _ in range(count)]


def _picture(rng: np.random.Generator, size: tuple[int, int]) -> Picture:
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]]
    image = np.full((*size, 3), rng.uniform(40, 200, 3))
    for _ in range(6):
        centre, radius = rng.uniform(0, size, 2), rng.uniform(0.05, 0.3) * size[0]
        distance = np.hypot(rows - centre[0], columns - centre[1])
        weight = 1 / (1 + np.exp(np.clip((distance - radius) / 4, -50, 50)))[..., np.newaxis]
        image = image * (1 - weight) + rng.uniform(0, 255, 3) * weight
    return np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)
