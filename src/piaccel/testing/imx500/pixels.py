"""What the fake's cameras see, laid out in memory as the ISP does."""

from __future__ import annotations

from typing import Any

import numpy as np

from piaccel.testing.imx500 import COLOUR

PADDING = 0xAB
STRIDE = 64
"""Lines begin at multiples of so many bytes."""


def stride(width_bytes: int) -> int:
    return -(-width_bytes // STRIDE) * STRIDE


def seen(model: str, number: int, size: tuple[int, int], transform: Any) -> Any:
    """RGB (H, W, 3): an AI Camera sees one colour; others red that rises to the right, green that rises downwards."""
    width, height = size
    image = np.full((height, width, 3), COLOUR, np.uint8)
    if model != "imx500":
        image[..., 0] = np.arange(width) * 255 // width
        image[..., 1] = (np.arange(height) * 255 // height)[:, None]
    if transform is not None:
        image = image[:: -1 if transform.vflip else 1, :: -1 if transform.hflip else 1].copy()
    image[0, 0, 2] = number % 256
    return image


def laid_out(image: Any, form: str) -> Any:
    """What ``make_array`` gives: "BGR888" is R, G, B; YUV420 comes with the lines' padding."""
    if form == "BGR888":
        return image
    if form != "YUV420":
        return np.ascontiguousarray(image[..., ::-1])
    import cv2

    height, width = image.shape[:2]
    planes = cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420).ravel()
    wide = stride(width)
    array = np.full(wide * height * 3 // 2, PADDING, np.uint8)
    place = begin = 0
    for lines, length, step in ((height, width, wide), (height, width // 2, wide // 2)):
        rows = array[begin : begin + lines * step].reshape(lines, step)
        rows[:, :length] = planes[place : place + lines * length].reshape(lines, length)
        begin, place = begin + lines * step, place + lines * length
    return array.reshape(height * 3 // 2, wide)
