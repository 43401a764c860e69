"""Putting back what was first there, and saying what has been applied."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from piaccel import durable
from piaccel.device.tree import Tree
from piaccel.device.tuning import journal as journals
from piaccel.device.tuning.journal import BEFORE_REBOOT, FOLDER, FileRecord, Journal
from piaccel.device.tuning.planning import boot_id, run, without_ours
from piaccel.device.tuning.targets import closed, present, set_value, target
from piaccel.errors import UnavailableError, WriteError
from piaccel.files import reason

Standing = Literal["as written", "as it was first", "changed since", "removed since"]


@dataclass(frozen=True)
class Reverted:
    """What ``revert`` did."""

    files: tuple[str, ...]
    """Those that are again what they were first."""
    kept: tuple[str, ...]
    """Those that somebody else changed too: only our part was taken out."""
    settings: tuple[str, ...]
    commands: tuple[str, ...]
    refused: dict[str, str]
    """What was left alone, and why."""
    reboot: bool

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Status:
    """What tuning has applied under a root."""

    levers: dict[str, bool | None]
    """Whether each lever that was moved waits for a reboot; None where that cannot be known."""
    files: dict[str, Standing]
    settings: dict[str, Standing]
    not_run: tuple[str, ...]
    """Commands that were written down only, because this is another machine's tree."""

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return asdict(self)


def status(tree: Tree) -> Status:
    """Say what is applied, what waits for a reboot, and what somebody else changed since. Raises InputError."""
    journal = journals.read(tree.root)
    now = boot_id(tree)
    waiting = {
        name: False if not each.needs_reboot else None if now is None or each.boot is None else now == each.boot
        for name, each in journal.levers.items()
    }
    files = {path: _standing(record, present(tree.root, path)) for path, record in journal.files.items()}
    settings: dict[str, Standing] = {}
    for path, record in journal.settings.items():
        value = tree.text(path)
        settings[path] = (
            "as written"
            if value == record.wrote
            else "as it was first"
            if value == record.first
            else "removed since"
            if value is None
            else "changed since"
        )
    not_run = tuple(" ".join(each.do) for each in journal.commands if not each.ran)
    return Status(waiting, files, settings, not_run)


def closed_to_revert(root: Path) -> list[str]:
    """What this user may not put back."""
    journal = journals.read(root)
    return [] if journal.empty else closed(root, journal.files, journal.settings)


def revert(tree: Tree) -> Reverted:
    """Put back what was first there, byte for byte; whatever cuts it short, the next one goes on.

    A file that somebody else changed since keeps that; where our part cannot be told from theirs it is left alone, and
    what was there first is saved beside the journal. Raises UnavailableError when this user may not, WriteError.
    """
    root = tree.root
    shut = closed_to_revert(root)
    if shut:
        raise UnavailableError(f"only root may change {', '.join(shut)}", hint="sudo piaccel tune revert")
    if journals.read(root).empty:
        return Reverted((), (), (), (), {}, False)
    with journals.locked(root):
        journal = journals.read(root)
        refused: dict[str, str] = {}
        done: list[str] = []
        kept: list[str] = []
        for path in list(journal.files):
            _restore(journal, path, done, kept, refused)
        settings = [path for path in journal.settings if _reset(tree, journal, path, refused)]
        commands = _undo(tree, journal, refused)
        reboot = any(each.needs_reboot for each in journal.levers.values())
        try:
            _close(journal, refused)
            _tidy(journal)
        except WriteError:
            raise
        except OSError as error:
            folder = root / FOLDER
            raise WriteError(f"{folder} cannot be tidied up: {reason(folder, error)}") from error
    return Reverted(tuple(done), tuple(kept), tuple(settings), tuple(commands), refused, reboot)


def _standing(record: FileRecord, now: bytes | None) -> Standing:
    if journals.encode(now) == record.wrote[-1]:
        return "as written"
    if now == record.first_bytes:
        return "as it was first"
    return "removed since" if now is None else "changed since"


def _restore(journal: Journal, path: str, done: list[str], kept: list[str], refused: dict[str, str]) -> None:
    record, real = journal.files[path], target(journal.root, path)
    now = present(journal.root, path)
    foreign = now != record.first_bytes and not record.ours(now)
    if foreign:
        without = without_ours(path, record, now)
        if without is None:
            saved = _save(journal.root, path, record)
            refused[path] = (
                "somebody removed it since" if now is None else "somebody changed it since, also where tuning wrote"
            ) + (
                f"; what was there first is in {saved}"
                if saved
                else "; remove it if it is not needed, and revert again"
            )
            return
        # Written down first: cut off in between, the next revert finds this one's result and knows it.
        record.first, record.wrote = journals.encode(without), [journals.encode(now)]
        journal.write()
    try:
        durable.remove(durable.beside(real))  # a write that was cut off
        if now != record.first_bytes:
            if record.first_bytes is None:
                durable.remove(real)
            else:
                durable.replace(real, record.first_bytes, record.mode, record.owner)
    except OSError as error:
        raise WriteError(f"{real} cannot be written: {reason(real, error)}") from error
    (kept if foreign else done).append(path)


def _save(root: Path, path: str, record: FileRecord) -> Path | None:
    """Write what was there first beside the journal; None where nothing was."""
    first = record.first_bytes
    if first is None:
        return None
    copy = root / FOLDER / "saved" / quote(path, safe="")
    try:
        durable.replace(copy, first)
    except OSError as error:
        raise WriteError(f"{copy} cannot be written: {reason(copy, error)}") from error
    return copy


def _reset(tree: Tree, journal: Journal, path: str, refused: dict[str, str]) -> bool:
    record, value = journal.settings[path], tree.text(path)
    if value == record.wrote:
        try:
            set_value(tree.root, path, record.first)
        except WriteError as error:
            refused[path] = str(error)
            return False
    elif value != record.first:
        # The next boot sets it anew in any case, so nothing is kept for it.
        return False
    return True


def _undo(tree: Tree, journal: Journal, refused: dict[str, str]) -> list[str]:
    said = []
    for each in reversed(journal.commands):
        if each.ran and tree.live:
            problem = run(each.undo)
            if problem:
                refused[" ".join(each.undo)] = problem
            else:
                said.append(" ".join(each.undo))
    return said


def _close(journal: Journal, refused: dict[str, str]) -> None:
    """Keep in the journal only what could not be put back; without any, remove what was made for it."""
    for folder in reversed(journal.folders):
        if not FOLDER.startswith(folder):
            _remove_empty(journal.root / folder)
    journal.files = {path: each for path, each in journal.files.items() if path in refused}
    journal.settings = {path: each for path, each in journal.settings.items() if path in refused}
    journal.commands = [each for each in journal.commands if " ".join(each.undo) in refused]
    if journal.empty:
        saved = journal.root / FOLDER / "saved"
        for copy in sorted(saved.glob("*")):
            copy.unlink()
        _remove_empty(saved)
    journal.write()


def _tidy(journal: Journal) -> None:
    """Remove the journal's own folders, those of them that tuning made."""
    if journal.empty:
        durable.remove(durable.beside(journal.root / FOLDER / "journal.json"))
        durable.remove(journal.root / BEFORE_REBOOT)
        for folder in reversed(journal.folders):
            _remove_empty(journal.root / folder)


def _remove_empty(folder: Path) -> None:
    try:
        os.rmdir(folder)
    except OSError:  # somebody else's files are in it, or it is gone already
        return
    durable.sync_folder(folder.parent)
