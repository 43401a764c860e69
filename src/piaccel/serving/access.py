"""Who may ask for what: API keys with scopes and a quota, and which addresses may be listened on.

A key is 256 random bits, so its plain SHA-256 is kept: there is nothing to guess that a slow hash would protect.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import logging
import math
import os
import secrets
import stat
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from piaccel.errors import ModelError, NotFoundError, OptionError, ServiceError, WriteError
from piaccel.files import reason
from piaccel.serving.settings import Settings

Scope = Literal["infer", "read", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
_PERIOD_S = 2.0
_log = logging.getLogger("piaccel")


@dataclass(slots=True)
class Key:
    """One key of the file, and what is left of its quota."""

    name: str
    digest: bytes
    scopes: frozenset[str]
    rate: float | None = None
    """Requests a second; None: as many as it likes."""
    burst: float = 1.0
    left: float = field(default=0.0, init=False)
    at: float = field(default=-math.inf, init=False)

    def take(self, now: float) -> float:
        """Use up one request; return 0, or in how many seconds there is one again."""
        if self.rate is None:
            return 0.0
        self.left = min(self.burst, self.left + (now - self.at) * self.rate)
        self.at = now
        if self.left >= 1:
            self.left -= 1
            return 0.0
        return (1 - self.left) / self.rate


class Access:
    """The keys of a file, read again when it changes. Without a file everybody may do everything."""

    def __init__(self, path: Path | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises NotFoundError, ModelError, OptionError for a file that cannot be used."""
        self._path = path
        self._clock = clock
        self._next_look = clock() + _PERIOD_S
        self._state = _state(path)
        self._keys = read_keys(path) if path is not None else []

    @classmethod
    def of(cls, settings: Settings) -> Access:
        """What the settings say."""
        return cls(Path(settings.server.keys) if settings.server.keys else None)

    @property
    def asked(self) -> bool:
        """Whether a key is needed at all."""
        return self._path is not None

    def check(self, token: str | bytes | None, scopes: Iterable[Scope]) -> str:
        """Return the name of the key that ``token`` is, "" where none is needed. Nothing in ``scopes`` asks for none.

        Raises ServiceError: unauthenticated, permission_denied, or resource_exhausted when its quota is used up.
        """
        wanted = tuple(scopes)
        if self._path is None or not wanted:
            return ""
        self._refresh()
        if not token:
            raise ServiceError("unauthenticated", "a key is asked for: Authorization: Bearer KEY, or X-API-Key")
        digest = hashlib.sha256(token.encode() if isinstance(token, str) else token).digest()
        found: Key | None = None
        for key in self._keys:  # all of them: the time says nothing
            if hmac.compare_digest(key.digest, digest):
                found = key
        if found is None:
            raise ServiceError("unauthenticated", "the key is not known")
        if "admin" not in found.scopes and not found.scopes.intersection(wanted):
            raise ServiceError("permission_denied", f"key {found.name!r} lacks the scope {' or '.join(wanted)}")
        wait_s = found.take(self._clock())
        if wait_s:
            raise ServiceError("resource_exhausted", f"key {found.name!r} has used up its quota", retry_after_s=wait_s)
        return found.name

    def _refresh(self) -> None:
        """A key that was taken out of the file is refused two seconds later; a broken file changes nothing."""
        now = self._clock()
        if now < self._next_look or self._path is None:
            return
        self._next_look = now + _PERIOD_S
        state = _state(self._path)
        if state == self._state:
            return
        self._state = state
        try:
            keys = read_keys(self._path)
        except (ModelError, NotFoundError, OptionError) as error:
            _log.warning("the keys stay as they were: %s", error)
            return
        before = {key.digest: key for key in self._keys}
        for key in keys:
            if (old := before.get(key.digest)) is not None:
                key.left, key.at = min(old.left, key.burst), old.at
        self._keys = keys


def _state(path: Path | None) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path) if path is not None else None
    except OSError:
        return None
    return None if found is None else (found.st_mtime_ns, found.st_size, found.st_ino)


def read_keys(path: Path) -> list[Key]:
    """Read a file of keys (``[[keys]]`` with name, sha256, scopes, rate, burst).

    Raises NotFoundError, ModelError for what is no TOML, OptionError for a wrong key and for a file that other users
    of the machine can read or write.
    """
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            tables = tomllib.load(file)
    except FileNotFoundError as error:
        raise NotFoundError(f"{path}: no such file", hint="make a key first: see docs/security.md") from error
    except OSError as error:
        raise NotFoundError(f"{path} cannot be read: {reason(path, error)}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ModelError(f"{path}: not valid TOML: {error}") from error
    _private(path, mode)
    rows = tables.get("keys", [])
    if not isinstance(rows, list) or set(tables) - {"keys"}:
        raise OptionError(f"{path}: expected [[keys]] tables only")
    keys = [_key(path, number, row) for number, row in enumerate(rows, 1)]
    for what in ([key.name for key in keys], [key.digest for key in keys]):
        if len(set(what)) < len(what):
            raise OptionError(f"{path}: two keys are the same, or have the same name")
    return keys


def _key(path: Path, number: int, row: object) -> Key:
    where = f"{path}: key {number}"
    known = {"name", "sha256", "scopes", "rate", "burst"}
    if not isinstance(row, dict) or set(row) - known:
        raise OptionError(f"{where} has an unknown entry", hint=f"the entries are {', '.join(sorted(known))}")
    name, digest, scopes = row.get("name"), row.get("sha256"), row.get("scopes")
    rate, burst = row.get("rate"), row.get("burst")
    if not isinstance(name, str) or not name:
        raise OptionError(f"{where} has no name")
    try:
        raw = bytes.fromhex(digest) if isinstance(digest, str) else b""
    except ValueError:
        raw = b""
    if len(raw) != 32:
        raise OptionError(f"{where} ({name}): sha256 is not 64 hexadecimal digits")
    if not isinstance(scopes, list) or not scopes or not all(scope in SCOPES for scope in scopes):
        raise OptionError(f"{where} ({name}): scopes are some of {', '.join(SCOPES)}")
    for value in (rate, burst):
        if value is not None and not (type(value) in (int, float) and 0 < value < math.inf):
            raise OptionError(f"{where} ({name}): rate and burst are numbers above 0")
    return Key(name, raw, frozenset(scopes), rate, max(1.0, burst if burst is not None else math.ceil(rate or 1)))


def _private(path: Path, mode: int) -> None:
    if mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise OptionError(
            f"{path} can be read by every user of this machine, or written by its group",
            hint=f"chmod 600 {path}",
        )


def new_key() -> str:
    """A key that nobody can guess; show it once, only its SHA-256 is kept."""
    return f"pk_{secrets.token_urlsafe(32)}"


def add_key(
    path: Path, name: str, scopes: Iterable[str] = ("infer",), *, rate: float | None = None, burst: float | None = None
) -> str:
    """Add a key to the file (made when it is not there, mode 0600) and return it: the only time that it is seen.

    The file is replaced as a whole. Raises OptionError for a name that is taken or an unknown scope, WriteError.
    """
    path = Path(path)
    text = ""
    if path.exists():
        if any(key.name == name for key in read_keys(path)):
            raise OptionError(f"{path} has a key of the name {name!r} already")
        text = path.read_text(encoding="utf-8").rstrip("\n") + "\n\n"
    chosen = list(scopes)
    token = new_key()
    lines = ["[[keys]]", f"name = {json.dumps(name, ensure_ascii=False)}"]
    lines += [f'sha256 = "{hashlib.sha256(token.encode()).hexdigest()}"', f"scopes = {json.dumps(chosen)}"]
    lines += [f"{what} = {value}" for what, value in (("rate", rate), ("burst", burst)) if value is not None]
    text += "\n".join(lines) + "\n"
    added = tomllib.loads(text)["keys"]
    _key(path, len(added), added[-1])
    _write_private(path, text)
    return token


def _write_private(path: Path, text: str) -> None:
    """As ``files.write_atomic``, but never readable by others, not for a moment."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        except BaseException:
            os.unlink(beside)
            raise
    except OSError as error:
        raise WriteError(f"{path} cannot be written: {reason(path, error)}") from error


def check_bind(settings: Settings) -> None:
    """Refuse to listen beyond this machine without keys and TLS, unless told so; and half a TLS configuration.

    Raises OptionError.
    """
    server = settings.server
    if (server.tls_cert is None) != (server.tls_key is None):
        raise OptionError("TLS needs a certificate and its key", hint="give both --tls-cert and --tls-key")
    for path in (server.tls_cert, server.tls_key):
        if path is not None and not os.access(path, os.R_OK):
            raise OptionError(f"{path} cannot be read", hint="it is named by tls_cert or tls_key")
    if is_loopback(server.host) or server.insecure:
        return
    lacking = [what for what, given in (("keys", server.keys), ("TLS", server.tls_cert)) if not given]
    if lacking:
        raise OptionError(
            f"{server.host or 'every address'} is beyond this machine, and there are no {' and no '.join(lacking)}",
            hint="give --keys FILE, --tls-cert and --tls-key, or --insecure in a network that you trust",
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
