"""What was there before tuning, written down and fsynced before anything is changed.

One JSON document under ``ROOT/var/lib/piaccel/tuning``; it is replaced whole, so that after a power cut there is
the old one or the new one. Bytes are kept as text (UTF-8, other bytes escaped as Python's ``surrogateescape`` does).
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from piaccel import durable
from piaccel.device.tree import contents
from piaccel.errors import InputError, UnavailableError, WriteError
from piaccel.files import reason

FOLDER = "var/lib/piaccel/tuning"
BEFORE_REBOOT = f"{FOLDER}/before-reboot.json"
"""What was measured before a reboot that levers wait for (``piaccel.tuned``); gone when nothing is applied any more."""
_FORMAT = 1


@dataclass
class FileRecord:
    """A file that tuning changed. Contents are None where there is, or was, no file."""

    first: str | None
    mode: int
    owner: tuple[int, int]
    wrote: list[str | None]
    """What we wrote last, and what was there just before that."""

    @property
    def first_bytes(self) -> bytes | None:
        """What was there first."""
        return decode(self.first)

    def ours(self, current: bytes | None) -> bool:
        """Whether the file holds what we wrote."""
        return encode(current) in self.wrote


@dataclass
class SettingRecord:
    """A value of the running kernel."""

    first: str
    wrote: str


@dataclass
class CommandRecord:
    """A command, and whether it was to be run (it is not on another machine's tree)."""

    do: list[str]
    undo: list[str]
    ran: bool


@dataclass
class LeverRecord:
    """A lever that was moved, and the boot during which it was."""

    needs_reboot: bool
    boot: str | None


@dataclass
class Journal:
    """Everything that tuning has done under a root."""

    root: Path
    files: dict[str, FileRecord] = field(default_factory=dict)
    settings: dict[str, SettingRecord] = field(default_factory=dict)
    commands: list[CommandRecord] = field(default_factory=list)
    levers: dict[str, LeverRecord] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    """Folders that were made, the inner ones later."""

    @property
    def empty(self) -> bool:
        """Whether nothing is left to take back."""
        return not (self.files or self.settings or self.commands)

    def write(self) -> None:
        """Write it down so that it lasts; an empty one is removed. Raises WriteError."""
        path = self.root / FOLDER / "journal.json"
        document = {"format": _FORMAT, **{key: value for key, value in asdict(self).items() if key != "root"}}
        try:
            if self.empty:
                durable.remove(path)
            else:
                durable.replace(path, json.dumps(document, indent=1).encode())
        except OSError as error:
            raise WriteError(f"{path} cannot be written, so nothing was changed: {reason(path, error)}") from error


def read(root: Path) -> Journal:
    """Read the journal; an empty one where there is none. Raises InputError for one that is damaged."""
    path = root / FOLDER / "journal.json"
    try:
        document = json.loads(contents(path))
        if document.pop("format") != _FORMAT:
            raise ValueError("another format")
        return _journal(root, document)
    except FileNotFoundError:
        return Journal(root)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is damaged or of another version of piaccel: {error}",
            hint="it holds what was there before tuning: keep a copy, and restore the files by hand",
        ) from error


def _journal(root: Path, document: dict[str, Any]) -> Journal:
    return Journal(
        root,
        {
            name: FileRecord(each["first"], each["mode"], (each["owner"][0], each["owner"][1]), each["wrote"])
            for name, each in document["files"].items()
        },
        {name: SettingRecord(**each) for name, each in document["settings"].items()},
        [CommandRecord(**each) for each in document["commands"]],
        {name: LeverRecord(**each) for name, each in document["levers"].items()},
        list(document["folders"]),
    )


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Keep a second apply or revert out. Raises UnavailableError when one is at work, WriteError."""
    folder = root / FOLDER
    try:
        durable.make_folder(folder)
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise WriteError(f"{folder} cannot be made: {reason(folder, error)}") from error
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UnavailableError("piaccel tune is at work already", hint="wait until it is done") from error
        yield
    finally:
        os.close(fd)


def encode(data: bytes | None) -> str | None:
    """Bytes as the journal keeps them."""
    return None if data is None else data.decode(errors="surrogateescape")


def decode(text: str | None) -> bytes | None:
    """And back."""
    return None if text is None else text.encode(errors="surrogateescape")
