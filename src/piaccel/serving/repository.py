"""The folder of models that the service watches: REPO/<model>/<version>/, and which versions are whole."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from piaccel.errors import ModelError, NotFoundError, ServiceError
from piaccel.serving.contents import (
    RELEASE,
    SIGNATURE,
    Contents,
    Stamp,
    disagreeing,
    missing,
    stated,
    sums_of,
    visible,
)

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
COPIED = "it is still being copied"
_log = logging.getLogger("piaccel")


def check_name(text: str, what: str = "model") -> str:
    """Return a name that is safe as a file's: up to 128 of A-Z a-z 0-9 . _ -, not beginning with a dot.

    Call it after percent-decoding. Raises ServiceError("invalid_argument").
    """
    if not _NAME.fullmatch(text):
        shown = ascii(text if len(text) <= 40 else text[:40] + "...")
        raise ServiceError(
            "invalid_argument",
            f"{shown} is no {what} name: up to 128 letters, digits, '.', '_' and '-' are, not beginning with '.'",
        )
    return text


def order(version: str) -> tuple[int, int, str]:
    """The key by which versions are sorted: decimal ones by number, the others after them."""
    decimal = version.isascii() and version.isdecimal()
    return (0, int(version), version) if decimal else (1, 0, version)


@dataclass(frozen=True)
class Found:
    """A version in the repository. ``reason`` says why it is not whole; no path is in it."""

    model: str
    version: str
    path: Path
    whole: bool
    reason: str = ""
    digest: str = ""
    """Of its content as the scan read it; "" while it is not whole."""


@dataclass
class _Seen:
    """What earlier scans know of a version."""

    stamps: dict[str, Stamp]
    since: float
    """When it was first seen as it is."""
    verdict: Found | None = None
    sums: dict[str, tuple[Stamp, str]] = field(default_factory=dict)
    """Checksums that need not be read again while the file's stamp stays."""


class Repository:
    """Looks at the repository again and again. One scan at a time."""

    def __init__(
        self,
        root: Path,
        *,
        settle_s: float = 2.0,
        signed: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """A version without a list of its files counts as whole once it stayed unchanged for ``settle_s``; so does one
        with a list but no signature where versions are to be ``signed``: the signature may still be on its way.
        """
        self.root = root
        self.refused: dict[str, str] = {}
        """What lies in the repository and is not served: its name, made safe, and why."""
        self._settle_s = settle_s
        self._listed = {RELEASE, SIGNATURE} if signed else {RELEASE}
        self._clock = clock
        self._seen: dict[tuple[str, str], _Seen] = {}

    def scan(self) -> dict[str, dict[str, Found]]:
        """Return all versions by model; files are read only where something changed.

        Raises NotFoundError when the repository itself is gone.
        """
        refused: dict[str, str] = {}
        found: dict[str, dict[str, Found]] = {}
        for model in _folders(self.root, "", "model", refused):
            versions = {}
            try:
                names = _folders(self.root / model, f"{model}/", "version", refused)
            except NotFoundError:  # gone since the repository was read
                continue
            for version in names:
                versions[version] = self._look(model, version)
            if versions:
                found[model] = versions
        present = {(model, version) for model, versions in found.items() for version in versions}
        self._seen = {key: seen for key, seen in self._seen.items() if key in present}
        for name, reason in refused.items():
            if self.refused.get(name) != reason:
                _log.warning("%s in the repository is not served: %s", name, reason)
        self.refused = refused
        return found

    def _look(self, model: str, version: str) -> Found:
        path = self.root / model / version
        try:
            with Contents(path) as contents:
                stamps = contents.survey()
                seen = self._seen.setdefault((model, version), _Seen({}, self._clock()))
                if seen.stamps != stamps:
                    seen.stamps, seen.since, seen.verdict = stamps, self._clock(), None
                if seen.verdict is not None:
                    return seen.verdict
                listed = self._listed <= stamps.keys()
                if not listed and self._clock() - seen.since < self._settle_s:
                    return Found(model, version, path, False, COPIED)
                verdict = _judged(contents, seen, model, version)
                if contents.survey() != stamps:
                    return Found(model, version, path, False, COPIED)
                seen.verdict = verdict
                return verdict
        except (ModelError, NotFoundError, OSError) as error:
            self._seen.pop((model, version), None)
            reason = error.message if isinstance(error, ModelError | NotFoundError) else str(error.strerror)
            return Found(model, version, path, False, reason)


def _judged(contents: Contents, seen: _Seen, model: str, version: str) -> Found:
    """Whether all that the manifest names is there, and is what it states."""
    path = contents.path
    names = visible(seen.stamps)
    try:
        expected = stated(path)
        if absent := missing(dict.fromkeys(names), expected):
            return Found(model, version, path, False, absent)
        seen.sums = {name: _sum(contents, seen, name) for name in names}
    except ModelError as error:
        return Found(model, version, path, False, error.message)
    sums = {name: sha256 for name, (_, sha256) in seen.sums.items()}
    if error_found := disagreeing(sums, expected):
        return Found(model, version, path, False, error_found.message)
    return Found(model, version, path, True, digest=hashlib.sha256(sums_of(sums)).hexdigest())


def _sum(contents: Contents, seen: _Seen, name: str) -> tuple[Stamp, str]:
    known = seen.sums.get(name)
    stamp = seen.stamps[name]
    return known if known is not None and known[0] == stamp else (stamp, contents.sha256(name))


def _folders(folder: Path, prefix: str, what: str, refused: dict[str, str]) -> list[str]:
    """Names of the models or versions in a folder, sorted; what may not be served goes into ``refused``."""
    names = []
    try:
        # a linked model leads out of the repository; the repository itself may be a link
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | (os.O_NOFOLLOW if prefix else 0))
    except OSError as error:
        raise NotFoundError(f"{folder}: {error.strerror}") from error
    try:
        with os.scandir(fd) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_symlink():
                    refused[ascii(prefix + entry.name)[:200]] = "it is a link: copy the folder itself"
                elif entry.is_dir(follow_symlinks=False):
                    try:
                        names.append(check_name(entry.name, what))
                    except ServiceError as error:
                        refused[ascii(prefix + entry.name)[:200]] = error.message
    finally:
        os.close(fd)
    return sorted(names, key=order)
