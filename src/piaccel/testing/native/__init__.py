"""Compiles small C and C++ libraries for LiteRT (delegates, operators) without TensorFlow's sources."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from piaccel.errors import UnavailableError

HEADERS = Path(__file__).parent
"""The folder of tflite_abi.h (delegates, operators) and custom_op.h (registering operators)."""


def compile_library(source: Path, library: Path) -> Path:
    """Compile a .c or .cc file, which may include our headers, into the shared library ``library`` and return it.

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
