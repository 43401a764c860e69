"""Reads what model files say about themselves, without the runtimes that run them."""

from __future__ import annotations

import importlib
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
        reader = importlib.import_module(f"{__name__}.{kind_of(path)}")
        network: Network = reader.read(path, size)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
    return network
