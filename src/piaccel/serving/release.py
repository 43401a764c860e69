"""Releases: the list of a version's files with their checksums, and the ed25519 signatures over that list.

``release.json`` says which model and version the folder holds, how far it is in the row of releases (``counter``) and
every file's sha256. ``release.sig`` holds lines "ed25519 KEY-ID SIGNATURE" over the exact bytes of ``release.json``;
they are verified before anything of it is parsed. Several lines are for the time in which one key follows another.

A key is told apart by the first 16 hexadecimal digits of the sha256 of its 32 public bytes. Source: RFC 8032.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from piaccel import durable
from piaccel.errors import ChecksumError, ModelError, NotFoundError, OptionError, UnavailableError, WriteError
from piaccel.serving.contents import RELEASE, Contents, visible

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIGNATURE = "release.sig"
_ALGORITHM = "ed25519"
_MOST_RELEASE_BYTES = 4 << 20
_MOST_SIGNATURE_BYTES = 16 << 10
_MOST_KEY_BYTES = 64 << 10
_KEY_BYTES = 32
_LINE = re.compile(r"ed25519 ([0-9a-f]{16}) ([A-Za-z0-9+/]{86}==)")

_Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$")]
_Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
_Time = Annotated[datetime, msgspec.Meta(tz=True)]


class Release(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """``release.json``."""

    format: Literal[1]
    model: _Name
    version: _Name
    counter: Annotated[int, msgspec.Meta(gt=0, lt=1 << 53)]
    """Grows from release to release; a device takes no lower one of the same key than it took before."""
    files: dict[str, _Sha256]
    """Every file of the folder, its name relative to it, with "/"."""
    made_at: _Time
    not_after: _Time | None = None
    device: str | None = None
    """For whom it is meant, such as "pi5"; told, not judged."""


@dataclass(frozen=True, kw_only=True)
class Verified:
    """A release that a trusted key signed and whose files are all there, unchanged."""

    key_id: str
    counter: int
    model: str
    version: str
    made_at: float
    """Seconds since 1970."""
    device: str | None = None


def verify(
    folder: Path,
    keys: Mapping[str, Ed25519PublicKey],
    *,
    model: str,
    now: float,
    highest: Mapping[str, int],
    newest: float = 0.0,
) -> Verified:
    """Verify the signature, then the list, then every file of a version's folder.

    ``keys`` are those of ``read_keys``; ``highest`` holds the highest counter that was taken of each key. ``now`` and
    ``newest`` (``made_at`` of the newest release that was verified) are seconds since 1970: the later one counts, as a
    Raspberry Pi up to the 4 has no battery-backed clock and may wake in the past.
    Raises ModelError for what is unsigned, signed by nobody who is trusted, older than what was taken, expired, or for
    another model; ChecksumError when a signature or a file is not what it should be.
    """
    with Contents(folder) as contents:
        names = visible(contents.survey())
        if RELEASE not in names or SIGNATURE not in names:
            raise ModelError("the version is not signed", hint="sign it: piaccel push BUNDLE REPO --sign KEYFILE")
        blob = _read(contents, RELEASE, _MOST_RELEASE_BYTES)
        key_id = _signer(blob, _read(contents, SIGNATURE, _MOST_SIGNATURE_BYTES), keys)
        release = decode(blob)
        _judge(release, key_id, model=model, now=max(now, newest), highest=highest)
        _compare(contents, names, release)
    return Verified(
        key_id=key_id,
        counter=release.counter,
        model=release.model,
        version=release.version,
        made_at=release.made_at.timestamp(),
        device=release.device,
    )


def decode(blob: bytes) -> Release:
    """Read ``release.json``. Raises ModelError."""
    try:
        return msgspec.json.decode(blob, type=Release)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ModelError(f"{RELEASE}: {error}") from error


def _signer(blob: bytes, signatures: bytes, keys: Mapping[str, Ed25519PublicKey]) -> str:
    """The trusted key of which a signature is good: every one of a trusted key has to be."""
    from cryptography.exceptions import InvalidSignature

    lines = [line for line in signatures.decode("ascii", errors="replace").split("\n") if line]
    found = [match for line in lines if (match := _LINE.fullmatch(line))]
    signed = [(match[1], base64.b64decode(match[2])) for match in found]
    written = [base64.b64encode(signature).decode() for _, signature in signed]
    if not signed or len(found) < len(lines) or written != [match[2] for match in found]:
        raise ModelError(f"{SIGNATURE} holds no signature", hint=f'its lines are "{_ALGORITHM} KEY-ID SIGNATURE"')
    known = [(key_id, signature) for key_id, signature in signed if key_id in keys]
    if not known:
        raise ModelError(
            f"signed with the key {', '.join(key_id for key_id, _ in signed[:4])}, which is not trusted here",
            hint=f"trusted are {', '.join(keys) or 'none'}: add the key to trusted_keys if it should be",
        )
    for key_id, signature in known:
        try:
            keys[key_id].verify(signature, blob)
        except InvalidSignature as error:
            raise ChecksumError(
                f"the signature of the key {key_id} does not fit {RELEASE}",
                hint="one of the two was changed: copy the version again",
            ) from error
    return known[0][0]


def _judge(release: Release, key_id: str, *, model: str, now: float, highest: Mapping[str, int]) -> None:
    if release.model != model:
        raise ModelError(f"the release is of the model {release.model}, not of {model}")
    taken = highest.get(key_id, 0)
    if release.counter < taken:
        raise ModelError(
            f"release {release.counter} is older than release {taken}, which was taken before",
            hint="publish the old content again as a new version: piaccel push",
        )
    if release.not_after is not None and now > release.not_after.timestamp():
        raise ModelError(
            f"the release expired at {text_of(release.not_after)}", hint="publish it again with a later --not-after"
        )


def _compare(contents: Contents, names: list[str], release: Release) -> None:
    there = set(names) - {RELEASE, SIGNATURE}
    for name in sorted(there ^ set(release.files)):
        what = f"is not listed in {RELEASE}" if name in there else "is missing"
        raise ChecksumError(f"{name[:200]} {what}", hint="copy the version again, whole")
    for name, sha256 in release.files.items():
        if contents.sha256(name) != sha256:
            raise ChecksumError(f"{name}: its sha256 is not the one that was signed", hint="copy the version again")


def _read(contents: Contents, name: str, most: int) -> bytes:
    with contents.open(name) as file:
        blob = file.read(most + 1)
    if len(blob) > most:
        raise ModelError(f"{name} is larger than {most >> 10} KiB")
    return blob


def write(
    folder: Path,
    *,
    model: str,
    version: str,
    counter: int,
    keys: Iterable[Ed25519PrivateKey] = (),
    not_after: datetime | None = None,
    device: str | None = None,
    now: float | None = None,
) -> Release:
    """List a version's files in ``release.json``, and sign it with each of ``keys``. Raises ModelError, OSError."""
    with Contents(folder) as contents:
        names = [name for name in visible(contents.survey()) if name not in (RELEASE, SIGNATURE)]
        sums = {name: contents.sha256(name) for name in names}
    made_at = datetime.fromtimestamp(int(time.time() if now is None else now), UTC)
    release = Release(1, model, version, counter, sums, made_at, not_after, device)
    blob = msgspec.json.format(msgspec.json.encode(release), indent=1) + b"\n"
    decode(blob)
    durable.write(folder / RELEASE, blob, 0o644)
    lines = [f"{_ALGORITHM} {key_id(key.public_key())} {base64.b64encode(key.sign(blob)).decode()}\n" for key in keys]
    if lines:
        durable.write(folder / SIGNATURE, "".join(lines).encode(), 0o644)
    durable.sync_folder(folder)
    return release


def new_signing_key(path: Path) -> str:
    """Write a new private key (PEM, PKCS #8, mode 0600) that nobody else may read; return its public text.

    The public text, "ed25519:BASE64", is also written beside it, as ``NAME.pub``. Raises OptionError when ``path`` is
    there already, WriteError, UnavailableError.
    """
    _need_cryptography()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    text = public_text(key.public_key())
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(fd)
        durable.replace(path.with_name(f"{path.name}.pub"), f"{text}\n".encode())
    except FileExistsError as error:
        raise OptionError(f"{path} exists", hint="a key is never written over: choose another name") from error
    except OSError as error:
        raise WriteError(f"{path} cannot be written: {error.strerror}") from error
    return text


def read_signing_key(path: Path) -> Ed25519PrivateKey:
    """Read a private key of ``new_signing_key``, or of ``openssl genpkey -algorithm ed25519``.

    Raises NotFoundError, OptionError for one that others may read, or for what is no such key.
    """
    _need_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            blob = file.read(_MOST_KEY_BYTES)
    except FileNotFoundError as error:
        raise NotFoundError(f"{path}: no such file", hint="make one: piaccel push --new-key KEYFILE") from error
    except OSError as error:
        raise OptionError(f"{path} cannot be read: {error.strerror}") from error
    if mode & 0o077:
        raise OptionError(f"{path}: a private key that others may read", hint=f"chmod 600 {path}")
    try:
        key = load_pem_private_key(blob, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise OptionError(f"{path} is no private key in PEM without a password") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise OptionError(f"{path} is a private key of another kind than ed25519")
    return key


def read_keys(given: Iterable[str]) -> dict[str, Ed25519PublicKey]:
    """Return the public keys of texts "ed25519:BASE64" or of files of such lines, by their ids.

    Empty lines and lines that begin with "#" are left out. Raises OptionError naming what is no key.
    """
    _need_cryptography()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    keys = {}
    for each in given:
        for text in _texts(each):
            try:
                raw = base64.b64decode(text.removeprefix(f"{_ALGORITHM}:"), validate=True)
            except (binascii.Error, ValueError):
                raw = b""
            if len(raw) != _KEY_BYTES:
                raise OptionError(
                    f"{text[:80]!r} is neither a public key nor a file of such",
                    hint="a key is written as ed25519:BASE64; make one: piaccel push --new-key KEYFILE",
                )
            key = Ed25519PublicKey.from_public_bytes(raw)
            keys[key_id(key)] = key
    return keys


def _texts(given: str) -> list[str]:
    if given.startswith(f"{_ALGORITHM}:") or not os.path.isfile(given):
        return [given.strip()]
    try:
        with open(given, encoding="utf-8") as file:
            lines = [line.strip() for line in file.read(_MOST_KEY_BYTES).splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"{given} cannot be read as a file of public keys") from error
    if texts := [line for line in lines if line and not line.startswith("#")]:
        return texts
    raise OptionError(f"{given} holds no public key")


def public_text(key: Ed25519PublicKey) -> str:
    """The key as "ed25519:BASE64"."""
    return f"{_ALGORITHM}:{base64.b64encode(key.public_bytes_raw()).decode()}"


def key_id(key: Ed25519PublicKey) -> str:
    """By which a key is told apart."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def text_of(moment: datetime) -> str:
    """The moment in UTC, as people read it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _need_cryptography() -> None:
    """Raise UnavailableError where the package is absent."""
    if find_spec("cryptography") is None:
        raise UnavailableError("signatures need the package cryptography", hint="pip install 'piaccel[serve]'")
