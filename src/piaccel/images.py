"""Reading and writing pictures."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from piaccel import chatter, files
from piaccel.errors import InputError, NotFoundError, OptionError

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


def find_images(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Return the picture files of ``paths`` in order, those of a folder sorted by name.

    A file is taken whatever its suffix; whether it is a picture shows when it is read. What occurs twice is given once.
    Raises NotFoundError, and InputError for a folder without pictures.
    """
    found: list[Path] = []
    for path in map(files.existing, paths):
        inside = sorted(each for each in path.iterdir() if each.suffix.lower() in SUFFIXES) if path.is_dir() else [path]
        if not inside:
            raise InputError(f"{path}: no pictures in this folder ({', '.join(SUFFIXES)})")
        found += inside
    return list(dict.fromkeys(found))


def read_image(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Return the picture as uint8 (H, W, 3) RGB.

    EXIF orientation is applied, 16 bits become 8, grey becomes RGB, an alpha channel is dropped.
    Raises NotFoundError when there is no such file, InputError when it is not a whole picture.
    """
    path = Path(path)
    try:
        data = path.read_bytes()  # not cv2.imread, which says None to every error
    except FileNotFoundError as error:
        raise NotFoundError(f"{path}: no such file") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {files.reason(path, error)}") from error
    return decode_image(data, str(path))


def decode_image(data: bytes | memoryview, name: str = "the picture") -> NDArray[np.uint8]:
    """Return the picture that these bytes of a file are, as ``read_image`` does. Raises InputError naming ``name``."""
    import cv2

    blob = np.frombuffer(data, np.uint8)
    if not blob.size:
        raise InputError(f"{name}: the file is empty, expected a picture")
    try:
        with chatter.quiet():
            image = cv2.imdecode(blob, cv2.IMREAD_COLOR_RGB)
    except cv2.error as error:
        raise InputError(f"{name}: OpenCV cannot decode the picture: {error.err}") from error
    if image is None:
        raise InputError(
            f"{name}: not a picture, or a truncated one ({blob.size} bytes)",
            hint="piaccel reads what OpenCV reads: JPEG, PNG, BMP, WebP, TIFF and others",
        )
    return np.asarray(image, np.uint8)


def encode_jpeg(image: NDArray[np.uint8], quality: int = 85) -> bytes:
    """Return the uint8 (H, W, 3) RGB picture as a JPEG file. Raises InputError for one that JPEG cannot hold."""
    import cv2

    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    done, blob = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise InputError(f"a picture of {image.shape} cannot be encoded as JPEG")
    return blob.tobytes()


def write_image(path: str | os.PathLike[str], image: NDArray[np.uint8]) -> None:
    """Write uint8 (H, W, 3) RGB in the format of the file's suffix; an existing file stays until the new one is whole.

    Raises OptionError when OpenCV knows no such format.
    """
    import cv2

    path = Path(path)
    try:
        with chatter.quiet():
            whole, data = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    except cv2.error:
        whole = False
    if not whole:
        raise OptionError(f"{path}: OpenCV writes no {path.suffix or 'suffixless'} pictures", hint="use .jpg or .png")
    files.write_atomic(path, data.tobytes())
