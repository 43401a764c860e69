"""What a version's folder holds: its files, their checksums, and what its manifest says of them."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Self

import msgspec

from piaccel import formats
from piaccel.bundles import MANIFEST, Bundle
from piaccel.errors import ChecksumError, ModelError, NotFoundError, PiaccelError, UnavailableError

RELEASE = "release.json"
"""The list of all files of a version with their sha256, as ``piaccel push`` writes it; "release.*" belongs to it."""
SIGNATURE = "release.sig"
"""The signatures over that list."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DEEPEST = 8
_MOST = 10_000
_LONGEST_RELEASE = 4 << 20


class Release(msgspec.Struct):
    """What is read here of ``release.json``; the rest is for whoever checks signatures."""

    files: dict[str, str]
    """Name relative to the version's folder, with "/", and sha256."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """By what a change of a file is noticed without reading it."""

    size: int
    mtime_ns: int
    ino: int


class Contents:
    """A version's folder, held open: nothing read through it can be exchanged for a link meanwhile.

    Files whose names begin with "." do not belong to the version: copying programs leave such behind.
    """

    def __init__(self, path: Path) -> None:
        """Raises ModelError for a link or what is no folder, NotFoundError for nothing."""
        self.path = path
        try:
            parent = os.open(path.parent, _FOLDER)
            try:
                self._fd = os.open(path.name, _FOLDER, dir_fd=parent)
            finally:
                os.close(parent)
        except FileNotFoundError as error:
            raise NotFoundError("the folder is gone") from error
        except (OSError, ValueError) as error:
            raise ModelError("is a link or no folder", hint=f"copy the folder itself to {path}") from error

    def survey(self) -> dict[str, Stamp]:
        """Return every file's stamp by its relative name, hidden ones too; reads no file.

        Raises ModelError naming what has no place in a version: a link, a device, a name that is no plain text.
        """
        found: dict[str, Stamp] = {}
        try:
            self._walk(self._fd, "", 0, found)
        except OSError as error:
            raise ModelError(f"cannot be read: {error.strerror}", hint=str(self.path)) from error
        return found

    def _walk(self, fd: int, prefix: str, depth: int, found: dict[str, Stamp]) -> None:
        if depth > _DEEPEST:
            raise ModelError(f"{prefix}: folders lie more than {_DEEPEST} deep")
        with os.scandir(fd) as entries:
            for entry in entries:
                name = prefix + entry.name
                if not _plain(name):
                    raise ModelError(f"the file name {name[:80]!a} is no plain text")
                try:
                    about = entry.stat(follow_symlinks=False)
                except FileNotFoundError:  # gone since the folder was read: the next survey tells
                    continue
                if stat.S_ISDIR(about.st_mode):
                    self._descend(fd, entry.name, name, depth, found)
                elif stat.S_ISREG(about.st_mode):
                    found[name] = Stamp(about.st_size, about.st_mtime_ns, about.st_ino)
                else:
                    raise ModelError(f"{name} is a link or a device", hint="copy the file itself")
                if len(found) > _MOST:
                    raise ModelError(f"holds more than {_MOST} files")

    def _descend(self, fd: int, entry: str, name: str, depth: int, found: dict[str, Stamp]) -> None:
        try:
            inner = os.open(entry, _FOLDER, dir_fd=fd)
        except OSError as error:
            raise ModelError(f"{name} cannot be looked into: {error.strerror}") from error
        try:
            self._walk(inner, f"{name}/", depth + 1, found)
        finally:
            os.close(inner)

    @contextmanager
    def open(self, name: str) -> Iterator[BufferedReader]:
        """Open a file of the survey; no link is followed anywhere on the way. Raises ModelError."""
        *folders, last = name.split("/")
        fds = [self._fd]
        try:
            for folder in folders:
                fds.append(os.open(folder, _FOLDER, dir_fd=fds[-1]))
            # a pipe put in the file's place must not block us
            fd = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fds[-1])
        except OSError as error:
            raise ModelError(f"{name} cannot be read: {error.strerror}") from error
        finally:
            for each in fds[1:]:
                os.close(each)
        with os.fdopen(fd, "rb") as file:
            yield file

    def sha256(self, name: str) -> str:
        """Raises ModelError when the file cannot be read."""
        with self.open(name) as file:
            try:
                return hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise ModelError(f"{name} cannot be read: {error.strerror}") from error

    def close(self) -> None:
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _plain(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return name.isprintable()


def visible(names: Iterator[str] | Mapping[str, object]) -> list[str]:
    """Return the names that belong to the version, sorted."""
    return sorted(name for name in names if not any(part.startswith(".") for part in name.split("/")))


def sums_of(checksums: Mapping[str, str]) -> bytes:
    """Write the checksums as ``sha256sum`` does; the sha256 of these bytes is the version's digest."""
    return "".join(f"{checksums[name]}  {name}\n" for name in sorted(checksums)).encode()


def digest_of(path: Path) -> str:
    """Return the digest of what a version's folder holds now. Raises ModelError, NotFoundError."""
    with Contents(path) as contents:
        sums = sums_of({name: contents.sha256(name) for name in visible(contents.survey())})
    return hashlib.sha256(sums).hexdigest()


def bare_model(folder: Path) -> Path | None:
    """Return the one model file of a folder without a manifest, such as 1/model.tflite; None where there is a manifest.

    Raises ModelError when there is no model file, or more than one.
    """
    if (folder / MANIFEST).is_file():
        return None
    known = tuple(suffix for suffixes in formats.SUFFIXES.values() for suffix in suffixes)
    names = sorted(each.name for each in folder.iterdir() if each.suffix.lower() in known and each.name[0] != ".")
    if not names:
        raise ModelError(f"has neither {MANIFEST} nor a model file")
    if len(names) > 1:
        raise ModelError(f"has no {MANIFEST} and more than one model file: {', '.join(names)[:200]}")
    return folder / names[0]


def stated(folder: Path) -> dict[str, str]:
    """Open the version as a bundle, and return the sha256 that its manifest and its ``release.json`` state, by name.

    Raises ModelError, with no path in it, when it does not open as a bundle or its lists disagree.
    """
    found = _listed(folder)
    try:
        bare = bare_model(folder)
        bundle = Bundle.open(bare or folder)
    except UnavailableError:
        return found  # a reader that is not installed: whoever loads the model says so
    except (PiaccelError, OSError, RecursionError) as error:  # nesting that deep is no manifest
        raise ModelError(_relative(str(error), folder), hint=str(error)) from error
    for variant in bundle.variants:
        for path, sha256 in ((variant.path, variant.sha256), (variant.weights, variant.weights_sha256)):
            if path is None or sha256 is None:
                continue
            name = os.path.normpath(os.path.relpath(path, folder))
            if found.setdefault(name, sha256) != sha256:
                raise ChecksumError(f"{name}: {MANIFEST} and {RELEASE} state two different checksums")
    return found


def _listed(folder: Path) -> dict[str, str]:
    try:
        with open(folder / RELEASE, "rb") as file:
            text = file.read(_LONGEST_RELEASE)
        return dict(msgspec.json.decode(text, type=Release).files)
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ModelError(f"{RELEASE} is no list of files", hint=str(error)) from error


def _relative(text: str, folder: Path) -> str:
    """What is said of a file, without where the version lies: clients may read it."""
    for prefix in (f"{folder}/", f"{folder.resolve()}/"):
        text = text.replace(prefix, "")
    return text.replace(str(folder), "the version").replace(str(folder.resolve()), "the version")


def missing(names: Mapping[str, object], expected: Mapping[str, str]) -> str:
    """Say in words which file is absent, or is not listed where a list has to be complete; "" when all is well."""
    for name in expected:
        if name not in names:
            return f"{name} is missing"
    if RELEASE in names:
        for name in visible(names):
            if name not in expected and not name.startswith("release."):
                return f"{name} is not listed in {RELEASE}"
    return ""


def disagreeing(actual: Mapping[str, str], expected: Mapping[str, str]) -> ChecksumError | None:
    """Return the error that names the first file that is not the one stated; None when all are."""
    for name, sha256 in sorted(expected.items()):
        if actual.get(name) != sha256:
            return ChecksumError(
                f"{name} is not the file that was stated: its sha256 differs",
                hint=f"it is {actual.get(name, 'missing')}, stated was {sha256}: copy the version again",
            )
    return None
