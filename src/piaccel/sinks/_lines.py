"""A text file of one line an event: written in batches, rotated, capped, and whole after a power cut."""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from piaccel import files, sinks
from piaccel.errors import OptionError, WriteError

MOST_BYTES = 65_536
"""A batch that grew so far is written at once."""
_HOPELESS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG)
_TIME = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@dataclass(frozen=True, kw_only=True)
class Options(sinks.Options):
    max_size_bytes: int = 10_000_000
    """A file that would grow beyond is put aside as NAME.1.SUFFIX, NAME.2.SUFFIX, ... and a new one begun."""
    max_age_s: float = 0.0
    """So is one whose first line is older; 0 is never."""
    keep: int = 10
    """Files there may be, with the one written to; the oldest are deleted."""
    total_size_bytes: int = 1_000_000_000
    """Bytes that all of them may have; the oldest are deleted."""
    sync_s: float = 2.0
    """Lines are written and fsynced together so often, which spares an SD card; a power cut costs at most these. 0 is
    each at once."""

    def __post_init__(self) -> None:
        if self.keep < 1:
            raise OptionError(f"keep={self.keep}: at least 1 file is needed")
        if self.max_size_bytes < 1 or self.total_size_bytes < self.max_size_bytes:
            raise OptionError(
                f"total_size={self.total_size_bytes}B must hold a file of max_size={self.max_size_bytes}B"
            )
        if self.max_age_s < 0 or self.sync_s < 0:
            raise OptionError("max_age and sync must not be negative")


class Lines:
    """Appends lines to ``path``. What is added counts as ``waiting`` until it is written and fsynced.

    A write that fails is taken back whole and forgotten here: nothing of it is in the file, and who added it must add
    it again. Raises WriteError for what may work later, OptionError for a path that never will.
    """

    def __init__(
        self,
        path: Path,
        options: Options,
        *,
        header: bytes = b"",
        whole: Callable[[bytes], bool] = lambda line: False,
        ours: Callable[[bytes], bool] = lambda line: True,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """``ours`` tells by the first line whether a file that exists is one of these; ``whole`` whether a last line
        without its newline is. A file with another ``header`` is put aside."""
        self._path, self._options, self._header = path, options, header
        self._whole, self._ours, self._clock, self._wall = whole, ours, clock, wall
        self._batch: list[bytes] = []
        self._bytes = 0
        self._first_s = 0.0
        self._fd = -1
        self._regular = True
        self._was_open = False
        self._failed = False
        self._begun: float | None = None
        self._facts = dict.fromkeys(("written", "rotated", "deleted", "repaired"), 0)
        self.facts = MappingProxyType(self._facts)

    @property
    def waiting(self) -> int:
        return len(self._batch)

    def open(self) -> None:
        """Open or make the file and mend its last line; forgets what waits."""
        self._forget()
        self._close()
        try:
            self._open()
        except OSError as error:
            reason = f"{self._path} cannot be written: {files.reason(self._path, error)}"
            if not self._was_open and error.errno in _HOPELESS:
                raise OptionError(reason, hint="name a file in a folder that this user may write to") from error
            raise WriteError(reason) from error
        self._was_open = True

    def add(self, line: bytes) -> None:
        """Take a line with its newline."""
        if self._batch and self._bytes + len(line) > min(MOST_BYTES, self._options.max_size_bytes):
            self.commit()
        if not self._batch:
            self._first_s = self._clock()
        self._batch.append(line)
        self._bytes += len(line)
        self.tick()

    def tick(self) -> None:
        """Write what has waited for long enough; after a failure at once, to see whether it works again."""
        if self._batch and (self._failed or self._clock() - self._first_s >= self._options.sync_s):
            self.commit()

    def commit(self) -> None:
        """Write what waits, and fsync it."""
        if not self._batch:
            return
        lines = self._batch
        self._batch, self._bytes = [], 0
        try:
            self._write(b"".join(lines))
        except OSError as error:
            self._failed = True
            raise WriteError(f"{self._path} cannot be written: {files.reason(self._path, error)}") from error
        self._failed = False
        self._facts["written"] += len(lines)

    def close(self) -> None:
        """Forgets what waits: commit before. Idempotent."""
        self._forget()
        self._close()

    def _forget(self) -> None:
        self._batch, self._bytes = [], 0

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        self._regular = stat.S_ISREG(os.fstat(self._fd).st_mode)
        self._begun = None
        if not self._regular:  # a device or a pipe: nothing to mend, nothing to rotate
            return
        size = os.fstat(self._fd).st_size
        if not size:
            self._sync_folder()
            return
        head = os.pread(self._fd, MOST_BYTES, 0)
        first = head.partition(b"\n")[0]
        if not self._ours(first):
            self._close()
            kind = WriteError if self._was_open else OptionError
            raise kind(f"{self._path} holds something else and is left as it is", hint="name another file")
        self._mend(size)
        if found := _TIME.search(head):
            self._begun = datetime.fromisoformat(found[0].decode()).timestamp()
        if self._header and first + b"\n" != self._header:
            self._rotate()

    def _mend(self, size: int) -> None:
        """End the last line, or take away one of which only a part was written before the power went."""
        start, tail = size, b""
        while start and b"\n" not in tail:
            start = max(0, start - MOST_BYTES)
            tail = os.pread(self._fd, size - start, start)
        torn = tail[tail.rfind(b"\n") + 1 :]
        if not torn:
            return
        if self._whole(torn):
            os.write(self._fd, b"\n")
        else:
            os.ftruncate(self._fd, size - len(torn))
        os.fsync(self._fd)
        self._facts["repaired"] += 1

    def _write(self, blob: bytes) -> None:
        if self._fd < 0 or (self._regular and self._moved()):
            self._close()
            self._open()
        if not self._regular:
            _write_all(self._fd, blob)
            return
        size = os.fstat(self._fd).st_size
        aged = self._begun is not None and self._wall() - self._begun >= self._options.max_age_s > 0
        if size > len(self._header) and (aged or size + len(blob) > self._options.max_size_bytes):
            self._rotate()
            size = os.fstat(self._fd).st_size
        try:
            _write_all(self._fd, blob if size else self._header + blob)
            os.fsync(self._fd)
        except OSError:
            os.ftruncate(self._fd, size)
            raise
        if self._begun is None:
            self._begun = self._wall()

    def _moved(self) -> bool:
        """Whether somebody (logrotate) renamed or deleted the file."""
        try:
            now = os.stat(self._path)
        except FileNotFoundError:
            return True
        return not os.path.samestat(now, os.fstat(self._fd))

    def _rotate(self) -> None:
        numbered = self._numbered()
        number = max(numbered, default=0) + 1
        os.rename(self._path, self._path.with_name(f"{self._path.stem}.{number}{self._path.suffix}"))
        self._facts["rotated"] += 1
        self._close()
        self._open()
        self._prune()

    def _prune(self) -> None:
        numbered = self._numbered()
        sizes = {number: path.stat().st_size for number, path in numbered.items()}
        room = self._options.total_size_bytes - self._options.max_size_bytes
        for number in sorted(numbered):
            if len(sizes) < self._options.keep and sum(sizes.values()) <= room:
                return
            numbered[number].unlink(missing_ok=True)
            del sizes[number]
            self._facts["deleted"] += 1

    def _numbered(self) -> dict[int, Path]:
        """The files put aside, by their numbers: the highest is the newest."""
        name = re.compile(re.escape(self._path.stem) + r"\.(\d+)" + re.escape(self._path.suffix))
        found = ((name.fullmatch(path.name), path) for path in self._path.parent.iterdir())
        return {int(match[1]): path for match, path in found if match}

    def _sync_folder(self) -> None:
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _write_all(fd: int, blob: bytes) -> None:
    left = memoryview(blob)
    while left:
        left = left[os.write(fd, left) :]


class LinesSink(sinks.Sink):
    """A sink whose events are lines of a file: it has ``_lines``, and adds one to them in ``deliver``."""

    options = Options
    chosen: Options
    _lines: Lines

    def open(self) -> None:
        self._lines.open()

    def tick(self) -> None:
        self._lines.tick()

    def flush(self, timeout_s: float) -> int:
        self._lines.commit()
        return 0

    def close(self) -> None:
        self._lines.close()

    def facts(self) -> Mapping[str, float]:
        return {**self._lines.facts, "unconfirmed": self._lines.waiting}
