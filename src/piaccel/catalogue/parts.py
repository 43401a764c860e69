"""A file that has not come whole yet: what is here of it, and what the server said it is a part of."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from pathlib import Path
from typing import Any, BinaryIO

from piaccel import files
from piaccel.catalogue.entries import RemoteFile
from piaccel.errors import ChecksumError, WriteError

_BLOCK = 1 << 20


class Part:
    """``NAME.part`` and ``NAME.part.json`` beside the file that is to be. Every byte that came is kept, and hashed.

    A context: at its end what came is on the disk, also after an error or Ctrl-C.
    Raises WriteError where the folder cannot be written or the disk has no room.
    """

    def __init__(self, folder: Path, file: RemoteFile) -> None:
        self.whole = folder / file.name
        self.path = folder / f"{file.name}.part"
        self._about = folder / f"{file.name}.part.json"
        self._file = file
        self._check_room()
        try:
            self._out: BinaryIO = open(self.path, "ab", buffering=0)  # noqa: SIM115 - closed by __exit__
        except OSError as error:
            raise self._refused(error) from error
        self._hash: Any = None
        self.size = 0
        self._count()

    def __enter__(self) -> Part:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # of a full disk; the file's own end checks it once more
            os.fsync(self._out.fileno())
        self._out.close()
        if not self.size:
            self.path.unlink(missing_ok=True)
            self._about.unlink(missing_ok=True)

    def validator(self, url: str) -> str:
        """Return the ETag or date under which the part came from ``url``; '' where that is unknown."""
        about = files.recall(self._about)
        return str(about.get("validator", "")) if about.get("url") == url and self.size else ""

    def begin(self, url: str, validator: str) -> None:
        """Start with nothing: what comes now is from ``url`` and is what the server calls ``validator``."""
        self._out.truncate(0)
        self._count()
        files.remember(self._about, {"url": url, "validator": validator})

    def add(self, data: bytes) -> None:
        """Keep what came. Raises ChecksumError for more than the file has, and WriteError."""
        if self.size + len(data) > self._file.size:
            self.restart()
            raise ChecksumError(
                f"{self._file.name} is larger than the {self._file.size} bytes that the catalogue states",
                hint="this is not the file: a proxy or a mirror may have answered with another one",
            )
        left = memoryview(data)
        while left:
            try:
                written = self._out.write(left)
            except OSError as error:
                raise self._refused(error) from error
            self._hash.update(left[:written])
            self.size += written
            left = left[written:]

    @property
    def sha256(self) -> str:
        """Of what is here."""
        return str(self._hash.hexdigest())

    def finish(self) -> Path:
        """Make the part the file, when it is the one that the catalogue states. Raises ChecksumError without a part."""
        if self.sha256 != self._file.sha256:
            came = self.sha256
            self.restart()
            raise ChecksumError(
                f"{self._file.name}: sha256 of what came is {came}, the catalogue states {self._file.sha256}",
                hint="it was changed on its way or at its source, and is removed; pull again, or from another --mirror",
            )
        os.fsync(self._out.fileno())
        os.replace(self.path, self.whole)
        self._about.unlink(missing_ok=True)
        return self.whole

    def restart(self) -> None:
        """Forget what is here; a part that stays empty is gone at the end."""
        self._out.truncate(0)
        self._about.unlink(missing_ok=True)
        self._count()

    def _count(self) -> None:
        self._hash, self.size = hashlib.sha256(), 0
        with open(self.path, "rb") as file:
            while block := file.read(_BLOCK):
                self._hash.update(block)
                self.size += len(block)

    def _check_room(self) -> None:
        here = self.path.stat().st_size if self.path.exists() else 0
        free, needed = shutil.disk_usage(self.path.parent).free, self._file.size - here
        if free < needed:
            raise WriteError(
                f"{self.path.parent} has {free / 1e6:.1f} MB free, {self._file.name} needs {needed / 1e6:.1f} MB",
                hint="make room, or name a folder on another disk: --to DIR",
            )

    def _refused(self, error: OSError) -> WriteError:
        return WriteError(
            f"{self.path} cannot be written: {files.reason(self.path, error)}",
            hint="make room or choose another folder: --to DIR; what came so far is kept",
        )
