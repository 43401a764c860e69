"""Files that are never half-written, and their checksums."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from piaccel.errors import NotFoundError


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write ``data`` beside ``path``, fsync, and rename over it; what was there stays until the new file is whole."""
    blob = data.encode() if isinstance(data, str) else data
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
    """Return ``path`` as a Path. Raises NotFoundError when nothing is there."""
    found = Path(path)
    if not found.exists():
        raise NotFoundError(f"{path}: no such file or folder")
    return found
