"""Folders and files that are there after the power went: every write is fsynced, and so is the folder that names it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

Owner = tuple[int, int]
"""A user's and a group's number."""


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


def write(path: Path, data: bytes, mode: int, owner: Owner | None = None) -> None:
    """Write a new file that lasts once its folder is synced; ``owner`` where it is to be somebody else's.

    Raises OSError. A file system without owners and modes (FAT, the boot partition) keeps its own.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        write_all(fd, data)
        if owner is None:
            os.fchmod(fd, mode)
        else:
            _give(fd, mode, owner)
        os.fsync(fd)
    finally:
        os.close(fd)


def _give(fd: int, mode: int, owner: Owner) -> None:
    there = os.fstat(fd)
    with suppress(PermissionError):  # what FAT answers; whoever may not give files away has been told before
        if owner != (there.st_uid, there.st_gid):
            os.fchown(fd, *owner)
    with suppress(PermissionError):
        os.fchmod(fd, mode)


def write_all(fd: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]


def beside(path: Path) -> Path:
    """Return the name under which ``replace`` writes: always the same, so that a cut's left-over is written over."""
    return path.with_name(f".{path.name}.new")


def replace(path: Path, data: bytes, mode: int = 0o644, owner: Owner | None = None) -> None:
    """Write beside and rename: after a power cut there is the old file or the new one. Raises OSError."""
    make_folder(path.parent)
    new = beside(path)
    try:
        write(new, data, mode, owner)
        os.rename(new, path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def remove(path: Path) -> None:
    """Remove a file, and have that last; nothing when it is not there. Raises OSError."""
    with suppress(FileNotFoundError):
        os.unlink(path)
        sync_folder(path.parent)


def existing_parent(path: Path) -> Path:
    """Return the folder itself, or the nearest one above it that is there."""
    return next(each for each in (path, *path.absolute().parents) if each.is_dir())


def writable(path: Path) -> bool:
    """Whether files can be made in this folder, or it can be made: False on a read-only disk, for root too."""
    return os.access(existing_parent(path), os.W_OK | os.X_OK)
