"""A folder of pictures or clips, one folder a day, of which the oldest are deleted."""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from piaccel import files, sinks
from piaccel.errors import OptionError, WriteError
from piaccel.sinks import Event

_HOPELESS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.ENAMETOOLONG)
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_NAME = re.compile(r"\d{6}\.\d{3}-.*-[0-9a-f]{8}\.(jpg|png|avi|json)")
_BESIDE = re.compile(r"\.\d{6}\.\d{3}-.*-[0-9a-f]{8}\.(jpg|png|avi|json)\..*")
"""What ``files.write_atomic`` leaves of a file when the power goes before it is renamed."""


@dataclass(frozen=True, kw_only=True)
class Options(sinks.Options):
    max_files: int = 10_000
    """Files there may be; the oldest are deleted."""
    max_size_bytes: int = 1_000_000_000
    """Bytes that all of them may have; the oldest are deleted."""

    def __post_init__(self) -> None:
        if self.max_files < 1 or self.max_size_bytes < 1:
            raise OptionError("max_files and max_size must be at least 1")


class Album:
    """Writes files whole or not at all and deletes the oldest, but never a file that it does not know as its own."""

    def __init__(self, target: str, options: Options, kind: str) -> None:
        if not target:
            raise OptionError(f"{kind} needs a folder", hint=f"write {kind}:FOLDER")
        self._folder, self._options = Path(target), options
        self._sizes: deque[tuple[Path, int]] = deque()
        self._total = 0
        self._was_open = False
        self.written = self.deleted = 0

    def open(self) -> None:
        """Make the folder, and find what is in it. Raises OptionError where it cannot be, WriteError if later."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            found = [(path, path.stat().st_size) for path in sorted(self._files())]
        except OSError as error:
            reason = f"{self._folder} cannot be used: {files.reason(self._folder / 'x', error)}"
            if self._was_open or error.errno not in _HOPELESS:
                raise WriteError(reason) from error
            raise OptionError(reason, hint="name a folder that this user may write to") from error
        self._sizes, self._total = deque(found), sum(size for _, size in found)
        self._was_open = True

    def path(self, event: Event, suffix: str) -> Path:
        """Return the event's file: the same when it is delivered again, never that of another one."""
        when = datetime.fromtimestamp(event.at, UTC)
        stream = re.sub(r"[^A-Za-z0-9_-]+", "_", event.stream)[:40]
        number = hashlib.sha256(event.id.encode("utf-8", "replace")).hexdigest()[:8]
        time = f"{when:%H%M%S}.{when.microsecond // 1000:03d}"
        return self._folder / f"{when:%Y-%m-%d}" / f"{time}-{stream}-{number}.{suffix}"

    def write(self, path: Path, blob: bytes) -> None:
        """Make room and write a file. Raises WriteError."""
        most = self._options
        while self._sizes and (len(self._sizes) >= most.max_files or self._total + len(blob) > most.max_size_bytes):
            self._delete_oldest()
        files.write_atomic(path, blob)
        if all(known != path for known, _ in self._sizes):
            self._sizes.append((path, len(blob)))
            self._total += len(blob)
            self.written += 1

    def _delete_oldest(self) -> None:
        path, size = self._sizes[0]
        try:
            path.unlink(missing_ok=True)
            if not any(path.parent.iterdir()):
                path.parent.rmdir()
        except FileNotFoundError:
            pass  # somebody tidied up the day's whole folder
        except OSError as error:
            raise WriteError(f"{path} cannot be deleted: {files.reason(path, error)}") from error
        self._sizes.popleft()
        self._total -= size
        self.deleted += 1

    def _files(self) -> list[Path]:
        found = []
        for day in self._folder.iterdir():
            if not _DAY.fullmatch(day.name) or day.is_symlink() or not day.is_dir():
                continue
            for path in day.iterdir():
                if _NAME.fullmatch(path.name):
                    found.append(path)
                elif _BESIDE.fullmatch(path.name):
                    os.unlink(path)
        return found
