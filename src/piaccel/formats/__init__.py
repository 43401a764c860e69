"""Reads what model files say about themselves, without the runtimes that run them."""

from __future__ import annotations

import importlib
import os
from functools import lru_cache
from pathlib import Path

from piaccel.errors import ModelError
from piaccel.files import existing
from piaccel.formats.magic import DESCRIBED as DESCRIBED
from piaccel.formats.magic import SUFFIXES as SUFFIXES
from piaccel.formats.magic import TITLES as TITLES
from piaccel.formats.magic import kind_of as kind_of
from piaccel.formats.network import EDGETPU_OP as EDGETPU_OP
from piaccel.formats.network import Format as Format
from piaccel.formats.network import Network as Network


def read(path: Path, size: tuple[int, int] | None = None) -> Network:
    """Read a model file; ``size`` (height, width) is the input image's where the file leaves it free.

    Raises NotFoundError, ModelError when the file is broken or is no model, UnavailableError when the package
    that reads the format is not installed. Any bytes are safe to read.
    """
    path = existing(path)
    try:
        kind = kind_of(path)
        if kind in _ONE_FILE:
            return _read_once(kind, path, size, _stamp(path))
        return _read(kind, path, size)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error


_ONE_FILE = ("tflite", "hef", "rpk")
"""Formats whose network is one file: until it changes, it says the same."""


def _read(kind: str, path: Path, size: tuple[int, int] | None) -> Network:
    network: Network = importlib.import_module(f"{__name__}.{kind}").read(path, size)
    return network


@lru_cache(maxsize=1)
def _read_once(kind: str, path: Path, size: tuple[int, int] | None, stamp: tuple[int, ...]) -> Network:
    """A model is looked at by several before it runs, and a small board reads it for a second."""
    return _read(kind, path, size)


def _stamp(path: Path) -> tuple[int, ...]:
    status = os.stat(path)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
