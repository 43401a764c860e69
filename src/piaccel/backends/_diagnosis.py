"""Why a file cannot be opened, told from the file itself: clearer than what the runtimes say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from piaccel.errors import ModelError, NotFoundError, UnavailableError

if TYPE_CHECKING:
    from piaccel.backends import Backend
    from piaccel.formats import Network
    from piaccel.tensors import Quantization

EDGETPU = "it is compiled for the Edge TPU and needs the backend edgetpu, or the model before compilation"


def network(path: Path) -> Network:
    """Read the file. Raises NotFoundError, ModelError, and UnavailableError without the package that reads it."""
    from piaccel import formats  # the readers are needed for a file, not for a list of backends

    return formats.read(path)


def quantization(path: Path) -> dict[str, Quantization]:
    """How the file's integer inputs and outputs are quantized, by name, for runtimes that do not tell."""
    try:
        found = network(path)
    except (ModelError, UnavailableError):  # the runtime opened it: it runs, as plain integers
        return {}
    return {spec.name: spec.quantization for spec in (*found.inputs, *found.outputs) if spec.quantization is not None}


def misnamed(path: Path, suffixes: tuple[str, ...]) -> str:
    """What to do about a file of a format that stands behind ``suffixes``, but under another name; '' for others."""
    from piaccel import formats

    try:
        kind = formats.kind_of(path)
    except (ModelError, NotFoundError):
        return ""
    usual = formats.SUFFIXES[kind]
    if path.name.lower().endswith(usual) or not set(usual) & set(suffixes):
        return ""
    return f"it is {formats.TITLES[kind]} under another name: rename it to {path.stem}{usual[0]}"


def of(path: Path, backend: Backend) -> ModelError | None:
    """What is wrong with a file of a common format that ``backend`` could not open; None when nothing is seen."""
    from piaccel import formats

    if path.suffix.lower() not in {suffix for known in formats.SUFFIXES.values() for suffix in known}:
        return None
    if not path.name.lower().endswith(backend.suffixes):
        return None
    try:
        found = formats.read(path)
    except ModelError as error:
        return error
    except UnavailableError:
        return None
    if found.edgetpu:
        return ModelError(f"{path}: {EDGETPU}")
    if found.custom_operators:
        names = ", ".join(repr(name) for name in found.custom_operators)
        return ModelError(f"{path}: {backend.name} does not know its operator {names}")
    return None
