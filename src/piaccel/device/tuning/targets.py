"""Files under a root: which they really are, what is in them, and whether this user may change them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from piaccel import durable
from piaccel.device.tree import contents
from piaccel.device.tuning.journal import FOLDER
from piaccel.errors import WriteError
from piaccel.files import reason


def target(root: Path, name: str) -> Path:
    """Return the file that ``name`` stands for, links followed. Raises WriteError for one outside the root."""
    base, real = Path(os.path.realpath(root)), Path(os.path.realpath(root / name))
    if not real.is_relative_to(base):
        raise WriteError(
            f"{root / name} leads to {real}, outside {root}", hint="it is left alone: make it a plain file"
        )
    return real


def present(root: Path, name: str) -> bytes | None:
    """Return what is in the file, None where there is none. Raises WriteError for one that cannot be read."""
    path = target(root, name)
    try:
        return contents(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise WriteError(f"{path} cannot be read: {reason(path, error)}") from error


def set_value(root: Path, name: str, value: str) -> None:
    """Write a value into a file of the running kernel, in place. Raises WriteError when the kernel does not take it."""
    path = target(root, name)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
        try:
            os.write(fd, f"{value}\n".encode())  # in one go: the kernel takes or refuses it whole
        finally:
            os.close(fd)
    except OSError as error:
        raise WriteError(f"{path} does not take {value}: {reason(path, error)}") from error


def closed(root: Path, files: Iterable[str], values: Iterable[str]) -> list[str]:
    """Return the names that this user may not replace (``files``) or write to (``values``)."""
    if os.geteuid() == 0:
        return []
    journal = f"{FOLDER}/journal.json"
    shut = [name for name in (journal, *files) if not _replaceable(target(root, name))]
    return shut + [name for name in values if not os.access(target(root, name), os.W_OK, effective_ids=True)]


def _replaceable(path: Path) -> bool:
    folder = durable.existing_parent(path.parent)
    owned = not path.exists() or path.stat().st_uid == os.geteuid()  # who is not its owner cannot keep that
    return owned and os.access(folder, os.W_OK | os.X_OK, effective_ids=True)


def missing_folders(root: Path, names: Iterable[str]) -> list[str]:
    """Return the folders that have to be made for these files, the inner ones later."""
    base = Path(os.path.realpath(root))
    found: list[str] = []
    for name in names:
        for folder in reversed(target(root, name).relative_to(base).parents):
            if not (base / folder).exists() and str(folder) not in found:
                found.append(str(folder))
    return found
