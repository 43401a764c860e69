"""Files that are never half-written, their checksums, and what piaccel remembers between two starts."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from piaccel.errors import NotFoundError, WriteError


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write ``data`` beside ``path``, fsync, and rename over it; what was there stays until the new file is whole.

    A link is followed; a device or a pipe is written to and stays what it is. Raises WriteError, and leaves nothing
    behind then.
    """
    blob = data.encode() if isinstance(data, str) else data
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(blob)
        else:
            _write(path.resolve(), blob)
    except OSError as error:
        raise WriteError(f"{path} cannot be written: {reason(path, error)}") from error


def reason(path: Path, error: Exception) -> str:
    """Why ``path`` cannot be read or written, in the system's words or in clearer ones."""
    for folder in path.parents:
        if os.path.exists(folder) and not os.path.isdir(folder):
            return f"{folder} is not a folder"
    first = error.__cause__ if isinstance(error, WriteError) else error
    return (first.strerror if isinstance(first, OSError) else None) or str(first)


def _write(path: Path, blob: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fd, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(blob)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(beside, 0o666 & ~umask)
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def sha256(path: Path) -> str:
    """Return the file's sha256 in hexadecimal. Raises NotFoundError."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise NotFoundError(f"{path}: no such file") from error


def existing(path: str | os.PathLike[str]) -> Path:
    """Return ``path`` as a Path. Raises NotFoundError when nothing is there, or nothing that this user may see."""
    found = Path(path)
    try:
        os.stat(found)
    except (OSError, ValueError) as error:
        why = "no such file or folder" if isinstance(error, FileNotFoundError) else reason(found, error)
        raise NotFoundError(f"{path}: {why}") from error
    return found


def cache() -> Path:
    """Where piaccel keeps what it may forget: $XDG_CACHE_HOME/piaccel, or ~/.cache/piaccel."""
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "piaccel"
    except RuntimeError:  # a user without a home: below a file nothing can be kept
        return Path(os.devnull)


def remember(path: Path, document: Mapping[str, Any]) -> None:
    """Keep plain data as JSON. On a full or read-only disk nothing is kept: no reason for anything not to run."""
    try:
        write_atomic(path, json.dumps(document))
    except WriteError:
        return


def recall(path: Path) -> dict[str, Any]:
    """Return what ``remember`` kept; {} where nothing was kept, or nothing that this user can read."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def forget(folder: Path) -> None:
    """Drop everything that ``remember`` kept in this folder."""
    for path in folder.glob("*.json"):
        path.unlink(missing_ok=True)
