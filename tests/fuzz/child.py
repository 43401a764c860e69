"""What the fuzz tests' child processes do: read damaged files until one brings a reader down."""

import resource
import traceback
from collections.abc import Iterator
from pathlib import Path

from piaccel import formats
from piaccel.bundles import Bundle
from piaccel.errors import PiaccelError
from tests.fuzz.mutations import mutate, write_cases

MEMORY = 2 << 30
Outcome = tuple[int, str, str]


def read_models(files: list[Path], folder: Path, count: int, first: int) -> Iterator[Outcome]:
    """Read ``count`` cases; yield (number, "read" | "refused" | "escaped", what went wrong)."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    for number, path in write_cases(folder, files, range(first, count)):
        yield number, *_outcome(path, read_model)


def read_model(path: Path) -> None:
    network = formats.read(path, (64, 64))
    str((network.parameters, network.macs, network.inputs, network.outputs))  # impossible for integers of 4300 digits


def open_manifests(files: list[Path], folder: Path, count: int, first: int) -> Iterator[Outcome]:
    """Open ``count`` bundles with damaged manifests; yield as above."""
    seeds = [file.read_bytes() for file in files]
    for number in range(first, count):
        (folder / "model.toml").write_bytes(mutate(number, seeds))
        yield number, *_outcome(folder, Bundle.open)


def _outcome(path: Path, action: object) -> tuple[str, str]:
    assert callable(action)
    try:
        action(path)
    except PiaccelError as error:
        text = str(error)
        if "\n" in text or str(path.with_suffix("")) not in text:  # or its weights, of the same name
            return "escaped", f"the message is not one line that names the file: {text!r}"
        return "refused", text
    except Exception:  # noqa: BLE001 - this is what the test looks for
        return "escaped", traceback.format_exc()
    return "read", ""
