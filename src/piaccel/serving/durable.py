"""Folders and files that are there after the power went: every write is fsynced, and so is the folder that names it."""

from __future__ import annotations

import os
from pathlib import Path


def sync_folder(path: Path) -> None:
    """Make the names in a folder last."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_folder(path: Path) -> None:
    """Make a folder, its parents too, that lasts. Raises OSError."""
    if path.is_dir():
        return
    make_folder(path.parent)
    try:
        os.mkdir(path, 0o755)
    except FileExistsError:
        if not path.is_dir():
            raise
    sync_folder(path.parent)


def write(path: Path, data: bytes, mode: int) -> None:
    """Write a new file that lasts once its folder is synced. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        write_all(fd, data)
        os.fchmod(fd, mode)
        os.fsync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]


def replace(path: Path, data: bytes) -> None:
    """Write beside and rename: after a power cut there is the old file or the new one. Raises OSError.

    The name beside is always the same, so that one that a cut left behind is written over.
    """
    make_folder(path.parent)
    beside = path.with_name(f".{path.name}.new")
    try:
        write(beside, data, 0o644)
        os.rename(beside, path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def existing_parent(path: Path) -> Path:
    """Return the folder itself, or the nearest one above it that is there."""
    return next(each for each in (path, *path.absolute().parents) if each.is_dir())


def writable(path: Path) -> bool:
    """Whether files can be made in this folder, or it can be made: False on a read-only disk, for root too."""
    return os.access(existing_parent(path), os.W_OK | os.X_OK)
