"""The pictures that accuracy is measured on, and what they are said to show.

A picture tells its class by its folder (``gear good/0001.jpg``) or by its own name (``gear_good.jpg``,
``gear_good_17.jpg``), compared with the model's labels without regard to case, spaces, ``_`` and ``-``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from piaccel.errors import InputError, NotFoundError
from piaccel.images import SUFFIXES

_NUMBER = re.compile(r"[\s_-]*\(?\d+\)?\Z")


@dataclass(frozen=True)
class Pictures:
    """Files, and for each the label's index that is true of it; no truth where none of them tells."""

    paths: tuple[Path, ...]
    truth: tuple[int, ...] = ()


def find(folder: Path) -> tuple[Path, ...]:
    """Return all pictures in ``folder`` and in its folders, sorted. Raises NotFoundError, InputError."""
    if not folder.is_dir():
        raise NotFoundError(f"{folder}: no such folder of pictures")
    found = tuple(sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()))
    if not found:
        raise InputError(f"{folder}: no pictures in this folder ({', '.join(SUFFIXES)})")
    return found


def label(paths: Sequence[Path], labels: Sequence[str]) -> Pictures:
    """Find out what each picture shows.

    Raises InputError where some tell a class and others do not: an accuracy over the rest would mislead.
    """
    known = {_plain(text): index for index, text in enumerate(labels)}
    truth = [_truth(path, known) for path in paths]
    silent = [path for path, index in zip(paths, truth, strict=True) if index is None]
    if len(silent) == len(paths):
        return Pictures(tuple(paths))
    if silent:
        raise InputError(
            f"{silent[0]}: tells no class of the model, as {len(paths) - len(silent)} of {len(paths)} pictures do",
            hint="put the pictures into a folder for each class, named like the model's label",
        )
    return Pictures(tuple(paths), tuple(index for index in truth if index is not None))


def _truth(path: Path, known: dict[str, int]) -> int | None:
    for text in (path.parent.name, path.stem, _NUMBER.sub("", path.stem)):
        if (index := known.get(_plain(text))) is not None:
            return index
    return None


def _plain(text: str) -> str:
    return re.sub(r"[\s_-]+", " ", text).strip().casefold()
