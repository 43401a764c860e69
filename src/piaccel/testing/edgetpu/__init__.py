"""A libedgetpu without a TPU, compiled here with gcc, for tests of a Coral that works, refuses or vanishes.

with_it = build(tmp_path / "libedgetpu.so.1")
os.environ[PATH] = str(with_it)  # the backend edgetpu takes it
os.environ[MODE] = "lost-after:3"  # see libedgetpu.c for all modes
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from piaccel.tensors import Array
from piaccel.testing.native import compile_library

PATH = "PIACCEL_LIBEDGETPU"
MODE = "PIACCEL_FAKE_EDGETPU"
DEVICES = "PIACCEL_FAKE_EDGETPU_DEVICES"


def build(library: Path) -> Path:
    """Compile the fake into the file ``library`` and return it. Raises UnavailableError without gcc."""
    return compile_library(Path(__file__).with_name("libedgetpu.c"), library)


def answer(given: Array, result: Array) -> Array:
    """What the fake writes into an output like ``result`` (shape and dtype) for the input ``given``."""
    raw = np.ascontiguousarray(given).view(np.uint8).ravel()
    places = np.arange(result.nbytes, dtype=np.int64) * raw.size // result.nbytes
    return np.ascontiguousarray(raw[places]).view(result.dtype).reshape(result.shape)
