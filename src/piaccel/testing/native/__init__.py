"""Compiles small C and C++ libraries for LiteRT (delegates, operators) without TensorFlow's sources."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

from piaccel.errors import InputError, UnavailableError

HEADERS = Path(__file__).parent
"""The folder of tflite_abi.h (delegates, operators) and custom_op.h (registering operators)."""


def compile_library(source: Path, library: Path, *arguments: str) -> Path:
    """Compile a .c or .cc file, which may include our headers, into the shared library ``library`` and return it.

    ``arguments`` go to the compiler. Raises UnavailableError without a compiler for this computer, InputError with the
    compiler's first complaint about a file that does not compile.
    """
    compiler = _compiler("g++" if source.suffix == ".cc" else "gcc")
    options = ["-O1", "-Wall", "-fPIC", "-shared", f"-I{HEADERS}"]
    done = subprocess.run(
        [compiler, *options, str(source), "-o", str(library), *arguments], capture_output=True, text=True
    )
    if done.returncode:
        complaint = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr[:200])
        raise InputError(f"{source} does not compile: {complaint}")
    return library


def _compiler(name: str) -> str:
    machine = platform.machine()
    for found in filter(None, map(shutil.which, (name, f"{machine}-linux-gnu-{name}"))):
        target = subprocess.run([found, "-dumpmachine"], capture_output=True, text=True).stdout
        if target.startswith(machine):  # another one where a foreign processor is emulated
            return found
    raise UnavailableError(f"there is no {name} for {machine}", hint="sudo apt install build-essential")
