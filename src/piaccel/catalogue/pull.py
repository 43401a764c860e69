"""A model of the catalogue becomes a bundle on this machine."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from piaccel import bundles, files, formats
from piaccel.bundles import Manifest, VariantTable
from piaccel.catalogue import shelf
from piaccel.catalogue.entries import LABELS, Entry
from piaccel.catalogue.fetch import Network, Progress, fetch
from piaccel.errors import OptionError, PiaccelError, UnavailableError, WriteError


def pull(
    entry: Entry,
    *,
    to: Path | None = None,
    network: Network | None = None,
    offline: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Return the folder of ``entry``'s bundle, on the shelf or at ``to``; load what is not here, and check all of it.

    The bundle appears whole or not at all. What stands on the shelf and is whole is not loaded again; what is damaged,
    or of an older catalogue, is replaced. ``offline`` asks no server.
    Raises OptionError where something else stands at ``to``, UnavailableError, ChecksumError and WriteError.
    """
    on_shelf = shelf.folder() / entry.name
    target = on_shelf if to is None else to.expanduser().absolute()
    if target.exists() and shelf.is_whole(target, entry):
        return target
    if to is not None and target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise OptionError(f"{to} is there, and is not {entry.name}", hint="name a folder that is not there yet")
    try:
        with _staging(target, entry.name) as staging:
            if target != on_shelf and on_shelf.is_dir() and shelf.is_whole(on_shelf, entry):
                for file in entry.files:
                    shutil.copyfile(on_shelf / file.name, staging / file.name)
            elif offline:
                _need_all(entry, staging)
            for file in entry.files:
                fetch(file, staging, network or Network(), progress)
            _make(entry, staging)
            _put(staging, target)
    except OSError as error:
        if isinstance(error, PiaccelError):
            raise
        raise WriteError(
            f"{target} cannot be written: {files.reason(target, error)}", hint="name another folder: --to DIR"
        ) from error
    return target


@contextmanager
def _staging(target: Path, name: str) -> Iterator[Path]:
    """The folder in which the bundle is put together, for this process alone; gone at the end when nothing is in it."""
    staging = shelf.staging_of(target)
    staging.mkdir(parents=True, exist_ok=True)
    handle = os.open(staging, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UnavailableError(
                f"{name} is being pulled to {target} by another process", hint="wait for it, then pull again"
            ) from error
        if not staging.exists() or not os.path.samestat(os.fstat(handle), os.stat(staging)):
            raise UnavailableError(f"{name} was just pulled by another process", hint="pull again: it is here")
        try:
            yield staging
        finally:
            if staging.is_dir() and not any(staging.iterdir()):
                staging.rmdir()
    finally:
        os.close(handle)


def _need_all(entry: Entry, staging: Path) -> None:
    missing = [file for file in entry.files if not (staging / file.name).is_file()]
    if missing:
        size = sum(file.size for file in missing) / 1e6
        raise UnavailableError(
            f"{entry.name} is not on this machine, and --offline asks no server",
            hint=f"leave --offline out to load its {size:.1f} MB",
        )


def _make(entry: Entry, staging: Path) -> None:
    """Write what makes the files a bundle."""
    bundles.build_task(entry.task)
    if entry.labels:
        files.write_atomic(staging / LABELS, "\n".join(entry.labels) + "\n")
    weights, kind = entry.weights, formats.kind_of(staging / entry.file.name)
    manifest = Manifest(
        format=1,
        name=entry.name,
        description=entry.title,
        licence=entry.licence,
        origin=entry.file.urls[0],
        labels=LABELS if entry.labels or entry.labels_file else None,
        task=entry.task,
        preprocess=entry.preprocess,
        variants=[
            VariantTable(
                name=f"{entry.precision}-{kind}",
                file=entry.file.name,
                format=kind,
                precision=entry.precision,
                sha256=entry.file.sha256,
                weights=weights.name if weights else None,
                weights_sha256=weights.sha256 if weights else None,
            )
        ],
    )
    files.write_atomic(staging / bundles.MANIFEST, manifest.to_toml())


def _put(staging: Path, target: Path) -> None:
    """Rename ``staging`` to ``target``; a damaged bundle that stood there goes."""
    staging.chmod(0o755)
    if target.is_dir():
        shutil.rmtree(target)
    os.rename(staging, target)
    parent = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)
