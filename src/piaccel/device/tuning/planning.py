"""What there is to do, shown before it is done; and doing it."""

from __future__ import annotations

import difflib
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from piaccel import durable
from piaccel.device.tree import Tree
from piaccel.device.tuning import journal as journals
from piaccel.device.tuning.journal import CommandRecord, FileRecord, Journal, LeverRecord, SettingRecord
from piaccel.device.tuning.lever import Command, Edit, Lever, Setting
from piaccel.device.tuning.taking_back import take_back
from piaccel.device.tuning.targets import closed, missing_folders, present, set_value, target
from piaccel.errors import UnavailableError, WriteError
from piaccel.files import reason

_COMMAND_S = 60.0


@dataclass(frozen=True)
class FileChange:
    """A file as it is and as it shall be; None where there is none."""

    path: str
    before: bytes | None
    after: bytes | None

    def diff(self) -> str:
        """The change as a unified diff."""
        names = ["/dev/null" if data is None else f"/{self.path}" for data in (self.before, self.after)]
        old, new = (
            (data or b"").decode(errors="replace").splitlines(keepends=True) for data in (self.before, self.after)
        )
        lines = difflib.unified_diff(old, new, names[0], names[1])
        return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


@dataclass(frozen=True)
class SettingChange:
    """A value of the running kernel as it is and as it shall be."""

    path: str
    before: str
    after: str


@dataclass(frozen=True)
class Applied:
    """What ``Plan.apply`` did."""

    levers: tuple[str, ...]
    files: tuple[str, ...]
    settings: tuple[str, ...]
    ran: tuple[str, ...]
    """Commands, as a shell would read them."""
    not_run: tuple[str, ...]
    """Those that were written down only, because this is another machine's tree."""
    failed: tuple[str, ...]
    """What the kernel or a command refused; ``revert`` takes back the rest."""
    left_alone: dict[str, str]
    """Levers that could not be moved, with the reason."""
    reboot: bool


@dataclass(frozen=True)
class Plan:
    """The levers that would be moved, and every change that this takes; ``apply`` makes them."""

    root: Path
    live: bool
    """Whether the root is this machine's own, on which commands are run."""
    levers: tuple[Lever, ...]
    files: tuple[FileChange, ...]
    settings: tuple[SettingChange, ...]
    commands: tuple[Command, ...]
    left_alone: dict[str, str]
    """Levers that cannot be moved now, with the reason."""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.files or self.settings or self.commands)

    @property
    def closed(self) -> list[str]:
        """What this user may not change."""
        shut = closed(self.root, [each.path for each in self.files], [each.path for each in self.settings])
        return shut + (["systemctl"] if self.commands and self.live and os.geteuid() else [])

    def diff(self) -> str:
        """Every file's change as a unified diff."""
        return "".join(each.diff() for each in self.files)

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {
            "root": str(self.root),
            "levers": [each.name for each in self.levers],
            "files": [{"path": each.path, "new": each.before is None, "diff": each.diff()} for each in self.files],
            "settings": [{"path": each.path, "before": each.before, "after": each.after} for each in self.settings],
            "commands": [{"do": list(each.do), "undo": list(each.undo), "run": self.live} for each in self.commands],
            "left_alone": self.left_alone,
            "needs_reboot": any(each.needs_reboot for each in self.levers),
            "needs_root": bool(self.closed),
        }

    def apply(self) -> Applied:
        """Write down what is there, then make the changes; a file is replaced whole or not at all.

        Raises UnavailableError when this user may not, WriteError when something has changed since the plan was made
        or cannot be written; nothing is half-written then, and ``revert`` takes back what was.
        """
        if self.empty:
            return Applied((), (), (), (), (), (), self.left_alone, False)
        if self.closed:
            raise UnavailableError(f"only root may change {', '.join(self.closed)}", hint="sudo piaccel tune apply")
        paths = [each.path for each in self.files]
        folders = missing_folders(self.root, [f"{journals.FOLDER}/journal.json", *paths])
        with journals.locked(self.root):
            self._compare()
            journal = journals.read(self.root)
            journal.folders += [each for each in folders if each not in journal.folders]
            self._record(journal)
            journal.write()
            for change in self.files:
                _write(self.root, change, journal.files[change.path])
            failed = [*self._set(), *self._run()]
        said = tuple(" ".join(each.do) for each in self.commands)
        return Applied(
            tuple(each.name for each in self.levers),
            tuple(paths),
            tuple(each.path for each in self.settings),
            said if self.live else (),
            () if self.live else said,
            tuple(failed),
            self.left_alone,
            any(each.needs_reboot for each in self.levers),
        )

    def _compare(self) -> None:
        for change in self.files:
            if present(self.root, change.path) != change.before:
                raise WriteError(f"/{change.path} has changed since it was looked at", hint="run it again")

    def _record(self, journal: Journal) -> None:
        """Write into the journal what is there first, and what will be there."""
        boot = boot_id(Tree(self.root))
        for change in self.files:
            record = journal.files.get(change.path)
            after = journals.encode(change.after)
            if record is None:
                mode, owner = _rights(target(self.root, change.path))
                journal.files[change.path] = FileRecord(journals.encode(change.before), mode, owner, [after])
            elif change.before == record.first_bytes:
                record.wrote = [after]
            else:
                if not record.ours(change.before):  # somebody else's lines are part of what was there first
                    without = without_ours(change.path, record, change.before)
                    if without is None:
                        raise WriteError(f"/{change.path} has changed since it was looked at", hint="run it again")
                    record.first = journals.encode(without)
                record.wrote = [journals.encode(change.before), after]
        for setting in self.settings:
            first = journal.settings[setting.path].first if setting.path in journal.settings else setting.before
            journal.settings[setting.path] = SettingRecord(first, setting.after)
        for command in self.commands:
            journal.commands.append(CommandRecord(list(command.do), list(command.undo), self.live))
        for lever in self.levers:
            journal.levers[lever.name] = LeverRecord(lever.needs_reboot, boot)

    def _set(self) -> list[str]:
        failed = []
        for setting in self.settings:
            try:
                set_value(self.root, setting.path, setting.after)
            except WriteError as error:
                failed.append(str(error))
        return failed

    def _run(self) -> list[str]:
        return [said for each in self.commands if self.live and (said := run(each.do))]


def make(tree: Tree, levers: Sequence[Lever]) -> Plan:
    """Work out what moves these levers. Raises InputError for a damaged journal."""
    journal = journals.read(tree.root)
    texts: dict[str, bytes | None] = {}
    moved: list[Lever] = []
    settings: list[SettingChange] = []
    commands: list[Command] = []
    left_alone: dict[str, str] = {}
    noted = [tuple(each.do) for each in journal.commands if not tree.live]
    for lever in levers:
        try:
            edits = _edits(tree.root, lever, texts)
            strange = [path for path in edits if _strange(tree.root, path, journal)]
        except WriteError as error:  # a folder, a link that leads out, a service that is masked
            left_alone[lever.name] = str(error)
            continue
        if strange:
            left_alone[lever.name] = f"what tuning wrote into /{strange[0]} was changed by somebody else since"
            continue
        values = [
            SettingChange(each.path, now, each.value)
            for each in lever.changes
            if isinstance(each, Setting) and (now := tree.text(each.path)) is not None and now != each.value
        ]
        to_run = [each for each in lever.changes if isinstance(each, Command) and each.do not in noted]
        if edits or values or to_run:
            moved.append(lever)
        texts |= edits
        settings += values
        commands += to_run
    files = [FileChange(path, present(tree.root, path), after) for path, after in texts.items()]
    return Plan(tree.root, tree.live, tuple(moved), tuple(files), tuple(settings), tuple(commands), left_alone)


def _edits(root: Path, lever: Lever, texts: dict[str, bytes | None]) -> dict[str, bytes | None]:
    """The files that this lever changes, on top of what other levers make of them."""
    changed: dict[str, bytes | None] = {}
    for edit in lever.changes:
        if isinstance(edit, Edit):
            before = changed.get(edit.path, texts[edit.path] if edit.path in texts else present(root, edit.path))
            after = edit.rewrite(before)
            if after != before:
                changed[edit.path] = after
    return changed


def _strange(root: Path, path: str, journal: Journal) -> bool:
    record, now = journal.files.get(path), present(root, path)
    if record is None or now == record.first_bytes or record.ours(now):
        return False
    return without_ours(path, record, now) is None


def without_ours(path: str, record: FileRecord, now: bytes | None) -> bytes | None:
    """What somebody else made of the file, without our part; None where that is not clear."""
    tries = (take_back(path, record.first_bytes, journals.decode(each), now) for each in reversed(record.wrote))
    return next((each for each in tries if each is not None), None)


def boot_id(tree: Tree) -> str | None:
    """The running boot's own name (Linux, random.c)."""
    return tree.text("proc/sys/kernel/random/boot_id")


def run(command: Sequence[str]) -> str:
    """Run a command; return what went wrong, '' when nothing did."""
    said = " ".join(command)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_COMMAND_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{said}: {error}"
    return f"{said}: {done.stderr.strip() or f'exit code {done.returncode}'}" if done.returncode else ""


def _rights(path: Path) -> tuple[int, tuple[int, int]]:
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return 0o644, (os.geteuid(), os.getegid())
    return there.st_mode & 0o7777, (there.st_uid, there.st_gid)


def _write(root: Path, change: FileChange, record: FileRecord) -> None:
    path = target(root, change.path)
    try:
        if change.after is None:
            durable.remove(path)
        else:
            durable.replace(path, change.after, record.mode, record.owner)
    except OSError as error:
        raise WriteError(
            f"{path} cannot be written: {reason(path, error)}", hint="piaccel tune revert takes back what was changed"
        ) from error
