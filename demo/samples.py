"""Writes the sample pictures that `make demo` predicts, and the contact sheet: the first of each label, none chosen.

python demo/samples.py
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import parts
import pool
from numpy.typing import NDArray

HERE = Path(__file__).parent
SIDE, SAMPLE_BYTES = 384, 25_000
ROWS, TILE, SHEET_BYTES = 6, 112, 140_000


def jpeg(picture: NDArray[np.uint8], most: int) -> bytes:
    """RGB to JPEG, at the best of some qualities that needs at most `most` bytes."""
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    for quality in range(92, 40, -4):
        coded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        if len(coded) <= most:
            return coded
    raise ValueError(f"a picture of {picture.shape} does not fit in {most} bytes")


def main() -> None:
    images = HERE / "images"
    images.mkdir(exist_ok=True)
    for index, label in enumerate(parts.LABELS):
        picture, _ = parts.picture(pool.SAMPLES, index, SIDE)
        (images / f"{label.replace(' ', '_')}.jpg").write_bytes(jpeg(picture, SAMPLE_BYTES))
    columns = len(parts.LABELS)
    tiles = [[parts.picture(pool.TEST, row * columns + k, TILE)[0] for k in range(columns)] for row in range(ROWS)]
    (HERE / "contact-sheet.jpg").write_bytes(jpeg(np.vstack([np.hstack(row) for row in tiles]), SHEET_BYTES))


if __name__ == "__main__":
    main()
