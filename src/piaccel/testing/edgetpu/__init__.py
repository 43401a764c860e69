"""A libedgetpu without a TPU, compiled here with gcc, for tests of a Coral that works, refuses or vanishes.

with_it = build(tmp_path / "libedgetpu.so.1")
os.environ[PATH] = str(with_it)  # the backend edgetpu takes it
os.environ[MODE] = "lost-after:3"  # see libedgetpu.c for all modes
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np

from piaccel.errors import UnavailableError
from piaccel.tensors import Array

SOURCES = Path(__file__).parent
HEADERS = SOURCES
"""The folder of tflite_abi.h and custom_op.h, for libraries of your own."""
PATH = "PIACCEL_LIBEDGETPU"
MODE = "PIACCEL_FAKE_EDGETPU"
DEVICES = "PIACCEL_FAKE_EDGETPU_DEVICES"


def build(library: Path) -> Path:
    """Compile the fake into the file ``library`` and return it. Raises UnavailableError without gcc."""
    return compile_library(SOURCES / "libedgetpu.c", library)


def compile_library(source: Path, library: Path) -> Path:
    """Compile a C or C++ file that may include ``tflite_abi.h`` into a shared library.

    Raises UnavailableError without a compiler, and with the compiler's first complaint when it does not compile.
    """
    compiler = "g++" if source.suffix == ".cc" else "gcc"
    if shutil.which(compiler) is None:
        raise UnavailableError(f"{compiler} is not installed", hint="sudo apt install build-essential")
    command = [compiler, "-O1", "-Wall", "-fPIC", "-shared", f"-I{HEADERS}", str(source), "-o", str(library)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        complaint = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr[:200])
        raise UnavailableError(f"{source} does not compile: {complaint}")
    return library


def answer(given: Array, result: Array) -> Array:
    """What the fake writes into an output like ``result`` (shape and dtype) for the input ``given``."""
    raw = np.ascontiguousarray(given).view(np.uint8).ravel()
    places = np.arange(result.nbytes, dtype=np.int64) * raw.size // result.nbytes
    return np.ascontiguousarray(raw[places]).view(result.dtype).reshape(result.shape)
