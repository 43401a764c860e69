"""Signed releases: what is refused, and that nothing is parsed before its signature was verified."""

import base64
import json
import os
import shutil
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from piaccel.errors import ChecksumError, ModelError, NotFoundError, OptionError
from piaccel.serving import release
from piaccel.serving.release import Verified
from tests.serving.candidates import Signer

NOW = 1_800_000_000.0
"""2027-01-15"""


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return Signer.new(tmp_path / "release.key")


@pytest.fixture
def folder(tmp_path: Path, signer: Signer) -> Path:
    """A signed version; what a model is does not matter here."""
    folder = tmp_path / "7"
    (folder / "golden").mkdir(parents=True)
    for name in ("model.toml", "net.tflite", "golden/a.png"):
        (folder / name).write_bytes(name.encode() * 9)
    signer.sign(folder, "7", now=NOW)
    return folder


def verify(folder: Path, *signers: Signer, highest: Mapping[str, int] | None = None, **given: Any) -> Verified:
    keys = release.read_keys([each.public for each in signers])
    return release.verify(folder, keys, **{"model": "parts", "now": NOW, "highest": highest or {}, **given})


def edit(folder: Path, change: Callable[[dict[str, Any]], object], signer: Signer | None = None) -> None:
    """Change the list; with a signer the signature fits again."""
    path = folder / "release.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    if signer is not None:
        key = release.read_signing_key(signer.path)
        text = base64.b64encode(key.sign(path.read_bytes())).decode()
        (folder / "release.sig").write_text(f"ed25519 {release.key_id(key.public_key())} {text}\n")


def test_a_signed_version_is_who_it_says(folder: Path, signer: Signer) -> None:
    found = verify(folder, signer)
    assert (found.model, found.version, found.counter, found.made_at) == ("parts", "7", 7, NOW)
    assert found.key_id in (folder / "release.sig").read_text()


@pytest.mark.parametrize("name", ["release.json", "release.sig", "model.toml", "net.tflite", "golden/a.png"])
def test_any_bit_that_flips_is_found(folder: Path, signer: Signer, name: str) -> None:
    path = folder / name
    whole = path.read_bytes()
    step = 1 if name == "release.sig" else max(1, len(whole) // 40)
    for place in range(0, len(whole), step):
        for bit in (0, 2, 5):
            blob = bytearray(whole)
            blob[place] ^= 1 << bit
            path.write_bytes(blob)
            with pytest.raises(ModelError):
                verify(folder, signer)
    path.write_bytes(whole)
    verify(folder, signer)


@pytest.mark.parametrize("name", ["release.json", "release.sig", "model.toml", "golden/a.png"])
def test_a_file_that_is_gone_is_found(folder: Path, signer: Signer, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ModelError, match="not signed" if name.startswith("release") else f"{name} is missing"):
        verify(folder, signer)


@pytest.mark.parametrize("name", ["more.onnx", "golden/b.png", "release.txt", "deep/er/file"])
def test_a_file_that_was_added_is_found(folder: Path, signer: Signer, name: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).touch()
    with pytest.raises(ChecksumError, match=r"is not listed in release\.json"):
        verify(folder, signer)


def test_a_link_is_not_followed(folder: Path, signer: Signer, tmp_path: Path) -> None:
    for name in ("net.tflite", "release.json", "release.sig"):
        path = folder / name
        kept = shutil.move(path, tmp_path / "elsewhere")
        path.symlink_to(kept)
        with pytest.raises(ModelError, match="is a link"):
            verify(folder, signer)
        path.unlink()
        shutil.move(kept, path)
    folder.rename(tmp_path / "real")
    folder.symlink_to(tmp_path / "real")
    with pytest.raises(ModelError, match="link"):
        verify(folder, signer)


def test_a_pipe_does_not_hold_the_verification_up(folder: Path, signer: Signer) -> None:
    (folder / "net.tflite").unlink()
    os.mkfifo(folder / "net.tflite")
    with pytest.raises(ModelError):
        verify(folder, signer)


def test_another_key_is_not_trusted(folder: Path, tmp_path: Path) -> None:
    other = Signer.new(tmp_path / "other.key")
    with pytest.raises(ModelError, match="is not trusted here"):
        verify(folder, other)
    with pytest.raises(ModelError, match="is not trusted here"):
        verify(folder)


def test_a_stolen_key_id_does_not_help(folder: Path, signer: Signer, tmp_path: Path) -> None:
    other = Signer.new(tmp_path / "other.key")
    own_id, other_id = (next(iter(release.read_keys([each.public]))) for each in (signer, other))
    text = (folder / "release.sig").read_text()
    (folder / "release.sig").write_text(text.replace(own_id, other_id))
    with pytest.raises(ChecksumError, match="does not fit"):
        verify(folder, signer, other)


def test_nothing_is_parsed_before_it_is_verified(folder: Path, signer: Signer, monkeypatch: pytest.MonkeyPatch) -> None:
    def parse(blob: bytes) -> None:
        raise AssertionError("parsed")

    (folder / "release.json").write_text("[" * 100_000)
    monkeypatch.setattr(release, "decode", parse)
    with pytest.raises(ChecksumError):
        verify(folder, signer)


def test_two_keys_are_trusted_while_one_follows_the_other(tmp_path: Path, folder: Path, signer: Signer) -> None:
    new = Signer.new(tmp_path / "new.key")
    assert verify(folder, new, signer).key_id == next(iter(release.read_keys([signer.public])))
    both = [release.read_signing_key(each.path) for each in (signer, new)]
    release.write(folder, model="parts", version="7", counter=7, keys=both)
    for each in (signer, new):
        assert verify(folder, each).key_id == next(iter(release.read_keys([each.public])))
    new.sign(folder, "7")
    assert verify(folder, signer, new).key_id == next(iter(release.read_keys([new.public])))


def test_one_bad_signature_of_a_trusted_key_is_one_too_many(tmp_path: Path, folder: Path, signer: Signer) -> None:
    new = Signer.new(tmp_path / "new.key")
    good = (folder / "release.sig").read_text()
    edit(folder, lambda document: None, new)
    bad = (folder / "release.sig").read_text()
    signer.sign(folder, "7", now=NOW)
    assert (folder / "release.sig").read_text() == good
    (folder / "release.sig").write_text(good + bad)
    verify(folder, signer)
    with pytest.raises(ChecksumError):
        verify(folder, signer, new)


def test_an_older_release_of_the_same_key_is_refused(folder: Path, signer: Signer, tmp_path: Path) -> None:
    key_id = verify(folder, signer).key_id
    for highest in ({}, {key_id: 6}, {key_id: 7}, {"0123456789abcdef": 99}):
        verify(folder, signer, highest=highest)
    with pytest.raises(ModelError, match="release 7 is older than release 8"):
        verify(folder, signer, highest={key_id: 8})


def test_a_release_of_another_model_is_refused(folder: Path, signer: Signer) -> None:
    with pytest.raises(ModelError, match="of the model parts, not of screws"):
        verify(folder, signer, model="screws")


def test_a_release_expires_by_the_clock_or_by_a_newer_release(folder: Path, signer: Signer) -> None:
    signer.sign(folder, "7", now=NOW, not_after=datetime.fromtimestamp(NOW + 100, UTC))
    verify(folder, signer, now=NOW + 99)
    with pytest.raises(ModelError, match="expired at 2027-01-15"):
        verify(folder, signer, now=NOW + 101)
    verify(folder, signer, now=0.0)
    with pytest.raises(ModelError, match="expired"):
        verify(folder, signer, now=0.0, newest=NOW + 101)


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.update(format=2),
        lambda document: document.update(counter=0),
        lambda document: document.update(counter=-1),
        lambda document: document.update(counter=1.5),
        lambda document: document.update(counter="7"),
        lambda document: document.update(counter=1 << 70),
        lambda document: document.update(made_at="yesterday"),
        lambda document: document.update(made_at="2027-01-01T00:00:00"),
        lambda document: document.update(model="../parts"),
        lambda document: document.update(extra=1),
        lambda document: document["files"].update({"net.tflite": "0" * 63}),
        lambda document: document.pop("files"),
    ],
)
def test_even_a_signed_list_is_read_strictly(
    folder: Path, signer: Signer, change: Callable[[dict[str, Any]], object]
) -> None:
    edit(folder, change, signer)
    with pytest.raises(ModelError, match=r"release\.json"):
        verify(folder, signer)


def test_a_signed_list_that_reaches_outside_names_a_file_that_is_missing(
    folder: Path, signer: Signer, tmp_path: Path
) -> None:
    (tmp_path / "outside").touch()
    edit(folder, lambda document: document["files"].update({"../outside": "0" * 64}), signer)
    with pytest.raises(ChecksumError, match="is missing"):
        verify(folder, signer)


@pytest.mark.parametrize(
    "text", ["", "\n", "ed25519", "rsa 0123456789abcdef AAAA", "ed25519 0123456789abcdef AAAA", "\0" * 99, "x" * 99_999]
)
def test_what_is_no_signature_is_refused(folder: Path, signer: Signer, text: str) -> None:
    (folder / "release.sig").write_text(text)
    with pytest.raises(ModelError, match=r"release\.sig"):
        verify(folder, signer)


def test_hidden_files_are_no_part_of_a_version(folder: Path, signer: Signer) -> None:
    (folder / ".sums").touch()
    verify(folder, signer)


def test_keys_are_read_from_texts_and_files(tmp_path: Path, signer: Signer) -> None:
    other = Signer.new(tmp_path / "other.key")
    ring = tmp_path / "ring"
    ring.write_text(f"# this year\n{signer.public}\n\n{other.public}\n")
    expected = set(release.read_keys([signer.public, other.public]))
    assert len(expected) == 2
    assert set(release.read_keys([str(ring)])) == expected
    assert set(release.read_keys([f"{signer.path}.pub", other.public.removeprefix("ed25519:")])) == expected


@pytest.mark.parametrize("text", ["ed25519:", "ed25519:AAAA", "rsa:AAAA", "absent.pub", "", "ed25519:" + "é" * 44])
def test_what_is_no_key_is_named(text: str) -> None:
    with pytest.raises(OptionError, match="neither a public key"):
        release.read_keys([text])


def test_a_private_key_is_not_taken_for_a_public_one(signer: Signer) -> None:
    with pytest.raises(OptionError, match="neither a public key"):
        release.read_keys([str(signer.path)])


def test_private_keys_of_other_kinds_are_refused(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    def write(key: Any, encryption: Any) -> Path:
        form = serialization.PrivateFormat.PKCS8
        path = tmp_path / f"{len(os.listdir(tmp_path))}.pem"
        path.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, encryption))
        path.chmod(0o600)
        return path

    plain = serialization.NoEncryption()
    release.read_signing_key(write(ed25519.Ed25519PrivateKey.generate(), plain))
    locked = write(ed25519.Ed25519PrivateKey.generate(), serialization.BestAvailableEncryption(b"x"))
    with pytest.raises(OptionError, match="without a password"):
        release.read_signing_key(locked)
    with pytest.raises(OptionError, match="another kind"):
        release.read_signing_key(write(ec.generate_private_key(ec.SECP256R1()), plain))
    with pytest.raises(NotFoundError):
        release.read_signing_key(tmp_path / "absent")
