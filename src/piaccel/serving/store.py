"""The versions' immutable copies, each in a folder named by its content: what was verified is what is loaded."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from piaccel import durable
from piaccel.errors import ChecksumError, ModelError, NotFoundError, PiaccelError, ServiceError, WriteError
from piaccel.serving.contents import Contents, disagreeing, missing, stated, sums_of, visible
from piaccel.serving.contents import digest_of as digest_of
from piaccel.serving.repository import Found

SUMS = ".sums"
"""In each copy: the checksums of its files, as ``sha256sum`` writes them; its own sha256 is the folder's name."""
_ADOPTING, _GONE = ".adopting-", ".gone-"
_PIECE = 1 << 20


@dataclass(frozen=True)
class Stored:
    """A verified version: its digest, the folder to load it from, and what it takes."""

    digest: str
    path: Path
    size_bytes: int


class Store:
    """``<folder>/<digest>/``. Nothing in it is ever changed, only added whole and removed."""

    def __init__(
        self,
        folder: Path,
        *,
        reserve_bytes: int = 16 << 20,
        grace_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``reserve_bytes`` stay free on the disk; what was adopted less than ``grace_s`` ago is not collected, as its
        model's record may not name it yet.
        """
        self.folder = folder
        self._reserve = reserve_bytes
        self._grace_s = grace_s
        self._clock = clock
        self._adopted: dict[str, float] = {}
        self._under_way: set[str] = set()
        self._in_place: dict[str, Path] = {}

    def adopt(self, found: Found) -> Stored:
        """Copy a version into the store, checked and synced; what is there already is only checked.

        Raises ChecksumError or ModelError for what its manifest does not describe, ServiceError("unavailable") when the
        disk has no room, WriteError when it is full all the same or read-only. Leaves nothing behind then.
        """
        with Contents(found.path) as source:
            stamps = source.survey()
            names = visible(stamps)
            size = sum(stamps[name].size for name in names)
            digest = found.digest or digest_of(found.path)
            with self._kept_from_collection(digest):
                if not self._holds(digest):
                    self._room(found, size + 4096 * (len(names) + 4))
                    with self._beside() as beside:
                        sums = _copied(source, names, beside)
                        self._check(sums, beside, found, digest)
                        self._settle(beside, digest)
                self._adopted[digest] = self._clock()
        return Stored(digest, self.folder / digest, size)

    def open_in_place(self, found: Found) -> Stored:
        """Verify a version where it lies, for a disk that cannot be written. Raises ChecksumError, ModelError."""
        with Contents(found.path) as source:
            stamps = source.survey()
            sums = {name: source.sha256(name) for name in visible(stamps)}
            expected = stated(found.path)
            _complain(sums, expected)
        digest = hashlib.sha256(sums_of(sums)).hexdigest()
        self._in_place[digest] = found.path
        return Stored(digest, found.path, sum(stamps[name].size for name in sums))

    def verify(self, digest: str) -> Path:
        """Check every file of a copy again and return its folder; do so at every load.

        Raises NotFoundError when there is none, ChecksumError naming the file, relative to the version.
        """
        if digest in self._in_place and not (self.folder / digest).is_dir():
            path = self._in_place[digest]
            if digest_of(path) != digest:
                raise ChecksumError("the version was changed since it was verified", hint=f"it lies in {path}")
            return path
        path = self.folder / digest
        if not re.fullmatch(r"[0-9a-f]{64}", digest) or not path.is_dir():
            raise NotFoundError("the version's copy is not in the store", hint=f"it would be {path}")
        try:
            with Contents(path) as contents:
                _verify(contents, digest)
        except ChecksumError:
            raise
        except (ModelError, NotFoundError) as error:
            raise ChecksumError(error.message, hint=f"{path}: the disk may be failing") from error
        return path

    def collect(self, keep: set[str]) -> bool:
        """Remove all copies but these, and what an adoption or a removal that was cut off left behind.

        Returns False when something was left for later: what was just adopted. On a read-only disk everything stays.
        Raises WriteError for a disk that fails.
        """
        if not self.folder.is_dir() or not durable.writable(self.folder):
            return True
        present = list(self.folder.iterdir())
        # asked for after the look: what is there by now was marked before it came
        now = self._clock()
        spared = {digest for digest, at in list(self._adopted.items()) if now - at < self._grace_s} | self._under_way
        try:
            # under its own name a copy is whole or not there: first it loses the name
            gone = [_renamed(each) for each in present if each.name not in keep | spared]
            if gone:
                durable.sync_folder(self.folder)
            for each in gone:
                _remove(each)
        except OSError as error:
            raise WriteError(f"the store cannot be tidied: {error.strerror}", hint=str(self.folder)) from error
        return not any(each.name in spared - keep for each in present)

    @contextmanager
    def _kept_from_collection(self, name: str) -> Iterator[None]:
        self._under_way.add(name)
        try:
            yield
        finally:
            self._under_way.discard(name)

    def _holds(self, digest: str) -> bool:
        """Whether a good copy is there; a damaged one has to go."""
        if not (self.folder / digest).is_dir():
            return False
        try:
            self.verify(digest)
        except ChecksumError:
            with _writing():
                gone = _renamed(self.folder / digest)
                durable.sync_folder(self.folder)
                _remove(gone)
            return False
        return True

    def _room(self, found: Found, size: int) -> None:
        parent = durable.existing_parent(self.folder)
        disk = os.statvfs(parent)
        free, needed = disk.f_bavail * disk.f_frsize, round(size * 1.1) + self._reserve
        if free < needed:
            raise ServiceError(
                "unavailable",
                f"version {found.version} needs {needed / 1e6:.1f} MB of free disk space, {free / 1e6:.1f} MB are free",
                hint=f"free some space below {parent}; {self._reserve / 1e6:.1f} MB are kept free for the system",
                retry_after_s=60.0,
            )

    @contextmanager
    def _beside(self) -> Iterator[Path]:
        """A folder of the store that has no name yet; what is left of it is removed whatever happens."""
        beside = self.folder / f"{_ADOPTING}{os.urandom(8).hex()}"
        with self._kept_from_collection(beside.name):
            try:
                with _writing():
                    durable.make_folder(self.folder)
                    os.mkdir(beside, 0o755)
                yield beside
            finally:
                shutil.rmtree(beside, ignore_errors=True)

    def _check(self, sums: dict[str, str], beside: Path, found: Found, digest: str) -> None:
        """What was copied, not what lay there before, is compared with what is stated."""
        _complain(sums, stated(beside))
        if hashlib.sha256(sums_of(sums)).hexdigest() != digest:
            raise ServiceError(
                "unavailable", f"version {found.version} was changed while it was copied", retry_after_s=5.0
            )
        with _writing():
            durable.write(beside / SUMS, sums_of(sums), 0o444)
            for folder, _, _ in os.walk(beside, topdown=False):
                durable.sync_folder(Path(folder))

    def _settle(self, beside: Path, digest: str) -> None:
        with _writing():
            try:
                os.rename(beside, self.folder / digest)
            except OSError:
                if not (self.folder / digest).is_dir():  # else another thread adopted the same content
                    raise
            durable.sync_folder(self.folder)


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except PiaccelError:
        raise
    except OSError as error:
        raise WriteError(f"the store cannot be written: {error.strerror}", hint=str(error)) from error


def _renamed(path: Path) -> Path:
    if path.name.startswith((_GONE, _ADOPTING)):
        return path
    gone = path.with_name(f"{_GONE}{os.urandom(8).hex()}")
    os.rename(path, gone)
    return gone


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _copied(source: Contents, names: list[str], target: Path) -> dict[str, str]:
    """Copy the files, fsync each, and return the checksums of what was written."""
    sums = {}
    for name in names:
        path = target / name
        with _writing():
            if not path.parent.is_dir():
                path.parent.mkdir(parents=True)
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with source.open(name) as file:
                hasher = hashlib.sha256()
                while piece := _read(file, name):
                    hasher.update(piece)
                    with _writing():
                        durable.write_all(fd, piece)
            with _writing():
                os.fchmod(fd, 0o444)
                os.fsync(fd)
        finally:
            os.close(fd)
        sums[name] = hasher.hexdigest()
    return sums


def _read(file: BufferedReader, name: str) -> bytes:
    try:
        return file.read(_PIECE)
    except OSError as error:
        raise ModelError(f"{name} cannot be read: {error.strerror}") from error


def _complain(sums: dict[str, str], expected: dict[str, str]) -> None:
    if absent := missing(sums, expected):
        raise ModelError(absent)
    if error := disagreeing(sums, expected):
        raise error


def _sums(contents: Contents, digest: str) -> dict[str, str]:
    """Read the copy's own list, which its digest vouches for. Raises ChecksumError."""
    try:
        with contents.open(SUMS) as file:
            text = file.read()
    except (ModelError, OSError) as error:
        raise ChecksumError("the copy's list of files cannot be read", hint=f"{contents.path}: {error}") from error
    if hashlib.sha256(text).hexdigest() != digest:
        raise ChecksumError("the copy's list of files is damaged", hint=str(contents.path / SUMS))
    rows = (line.partition("  ") for line in text.decode().splitlines())
    return {name: sha256 for sha256, _, name in rows}


def _verify(contents: Contents, digest: str) -> None:
    expected = _sums(contents, digest)
    names = visible(contents.survey())
    for name in sorted(set(names) ^ set(expected)):
        what = "is missing from the copy" if name in expected else "does not belong to the version"
        raise ChecksumError(f"{name} {what}", hint=f"it is about {contents.path}")
    for name, sha256 in expected.items():
        actual = contents.sha256(name)
        if actual != sha256:
            raise ChecksumError(
                f"{name} is damaged: its sha256 differs from what was stored",
                hint=f"{contents.path / name} is {actual}, stored was {sha256}; the disk may be failing",
            )
