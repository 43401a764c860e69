"""Where pulled models stand: a folder of bundles, and what is right or wrong with each."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from piaccel import files
from piaccel.bundles import Bundle
from piaccel.catalogue.entries import LABELS, Entry
from piaccel.errors import ModelError, NotFoundError, PiaccelError, WriteError


def folder() -> Path:
    """The shelf: $XDG_DATA_HOME/piaccel/models, or ~/.local/share/piaccel/models.

    Data and not cache: what was pulled stays until it is removed, and a board without network depends on it.
    """
    base = os.environ.get("XDG_DATA_HOME")
    try:
        return (Path(base) if base else Path.home() / ".local" / "share") / "piaccel" / "models"
    except RuntimeError:  # a user without a home: below a file nothing can be kept
        return Path(os.devnull)


def names() -> list[str]:
    """The models that stand on the shelf, sorted."""
    found = folder()
    return sorted(path.name for path in found.iterdir() if _is_model(path)) if found.is_dir() else []


def path_of(name: str) -> Path | None:
    """Where the model stands; None where it does not."""
    path = folder() / name
    return path if "/" not in name and _is_model(path) else None


@dataclass(frozen=True)
class Check:
    """One file of a pulled model. ``error`` is None where it is the file that was pulled."""

    model: str
    file: str
    error: PiaccelError | None = None
    note: str = ""
    """What else there is to know: that the catalogue has another file by now."""


def check(name: str, path: Path, entry: Entry | None) -> Iterator[Check]:
    """Hash each file of the bundle at ``path`` against its manifest; labels against ``entry``, which states theirs.

    What the catalogue has under this name now may be another model, or a newer one: that is a note, not an error.
    """
    try:
        bundle = Bundle.open(path)
    except PiaccelError as error:
        yield Check(name, path.name, error)
        return
    sums = {variant.path.name: variant.sha256 for variant in bundle.variants}
    sums |= {variant.weights.name: variant.weights_sha256 for variant in bundle.variants if variant.weights}
    same = entry is not None and sums == {each.name: each.sha256 for each in (entry.file, entry.weights) if each}
    for variant in bundle.variants:
        note = "" if same else "not the catalogue's" if entry is None else "the catalogue has another file now"
        try:
            variant.check()
        except PiaccelError as error:
            yield Check(name, variant.path.name, error, note)
        else:
            yield Check(name, variant.path.name, None, note)
    if entry is not None and same and (entry.labels or entry.labels_file):
        yield Check(name, LABELS, _wrong_labels(path / LABELS, entry))


def is_whole(path: Path, entry: Entry) -> bool:
    """Whether the bundle at ``path`` is the one that ``entry`` describes, every byte of it."""
    return all(not each.error and not each.note for each in check(entry.name, path, entry))


def remove(name: str) -> Path:
    """Take a model off the shelf, and what a pull that was cut left of it; return where it stood.

    Raises NotFoundError and WriteError.
    """
    path = folder() / name
    staging = staging_of(path)
    if "/" in name or not (_is_model(path) or staging.is_dir()):
        here = ", ".join(names()) or "none"
        raise NotFoundError(f"{name} is not on this machine", hint=f"what is: {here}")
    try:
        for each in (path, staging):
            if each.is_dir():
                shutil.rmtree(each)
    except OSError as error:
        raise WriteError(f"{path} cannot be removed: {files.reason(path, error)}") from error
    return path


def staging_of(path: Path) -> Path:
    """The folder in which the bundle ``path`` is put together: beside it, so that it can be renamed."""
    return path.parent / f".{path.name}.pull"


def _is_model(path: Path) -> bool:
    return not path.name.startswith(".") and (path / "model.toml").is_file()


def _wrong_labels(path: Path, entry: Entry) -> PiaccelError | None:
    try:
        right = (
            files.sha256(path) == entry.labels_file.sha256
            if entry.labels_file
            else path.read_text(encoding="utf-8").splitlines() == list(entry.labels)
        )
    except (PiaccelError, OSError, UnicodeDecodeError) as error:
        return ModelError(f"{path} cannot be read: {files.reason(path, error)}")
    return None if right else ModelError(f"{path} is not what was pulled", hint=f"piaccel models pull {entry.name}")
