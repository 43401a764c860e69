"""Copies of versions: whole or not there, checked whenever they are used."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from piaccel.bundles import Bundle
from piaccel.errors import ChecksumError, ModelError, NotFoundError, ServiceError
from piaccel.serving.contents import Contents
from piaccel.serving.repository import Found
from piaccel.serving.store import Store, digest_of
from tests.serving.power import add, find


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    add(folder, "1")
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "state" / "store", reserve_bytes=0, grace_s=0)


def names(store: Store) -> set[str]:
    return {each.name for each in store.folder.iterdir()}


def test_a_copy_is_named_by_its_content_and_cannot_be_written(root: Path, store: Store) -> None:
    found = find(root, "1")
    stored = store.adopt(found)
    assert stored.path == store.verify(stored.digest) == store.folder / stored.digest
    assert stored.digest == found.digest == digest_of(root / "parts" / "1") == digest_of(stored.path)
    files = [path for path in stored.path.rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o444}
    assert stored.size_bytes == sum(path.stat().st_size for path in files if path.name != ".sums")
    assert len(Bundle.open(stored.path).variants) == 2
    assert names(store) == {stored.digest}


def test_a_copy_can_be_checked_with_sha256sum(root: Path, store: Store) -> None:
    stored = store.adopt(find(root, "1"))
    done = subprocess.run(["sha256sum", "-c", ".sums"], cwd=stored.path, capture_output=True, text=True, check=True)
    assert "golden/one.json: OK" in done.stdout
    listed = subprocess.run(["sha256sum", ".sums"], cwd=stored.path, capture_output=True, text=True, check=True)
    assert listed.stdout.startswith(stored.digest)


def test_the_same_content_is_kept_once_whatever_its_name(root: Path, store: Store) -> None:
    first = store.adopt(find(root, "1"))
    before = first.path.stat().st_ino
    shutil.copytree(root / "parts" / "1", root / "parts" / "2")
    (root / "parts" / "2" / ".DS_Store").write_text("no part of a version")
    assert store.adopt(find(root, "2")) == first
    assert first.path.stat().st_ino == before
    assert names(store) == {first.digest}


def damage(path: Path) -> None:
    path.chmod(0o644)
    blob = bytearray(path.read_bytes())
    blob[len(blob) // 2] ^= 1
    path.write_bytes(blob)


@pytest.mark.parametrize("name", ["a.tflite", "golden/one.json", "model.toml"])
def test_one_flipped_bit_is_found_at_load_and_the_file_named(root: Path, store: Store, name: str) -> None:
    stored = store.adopt(find(root, "1"))
    damage(stored.path / name)
    with pytest.raises(ChecksumError) as caught:
        store.verify(stored.digest)
    assert str(caught.value) == f"{name} is damaged: its sha256 differs from what was stored"
    assert str(stored.path) in caught.value.hint


def test_a_missing_an_added_and_a_replaced_file_are_found(root: Path, store: Store, tmp_path: Path) -> None:
    stored = store.adopt(find(root, "1"))
    (stored.path / "a.tflite").rename(tmp_path / "kept")
    with pytest.raises(ChecksumError, match=r"^a\.tflite is missing from the copy$"):
        store.verify(stored.digest)
    (stored.path / "a.tflite").symlink_to(tmp_path / "kept")
    with pytest.raises(ChecksumError, match="is a link"):
        store.verify(stored.digest)
    (stored.path / "a.tflite").unlink()
    (tmp_path / "kept").rename(stored.path / "a.tflite")
    (stored.path / "more.txt").write_text("more")
    with pytest.raises(ChecksumError, match=r"^more\.txt does not belong to the version$"):
        store.verify(stored.digest)
    (stored.path / "more.txt").unlink()
    store.verify(stored.digest)
    damage(stored.path / ".sums")
    with pytest.raises(ChecksumError, match="list of files is damaged"):
        store.verify(stored.digest)
    (stored.path / ".sums").unlink()
    with pytest.raises(ChecksumError, match="list of files cannot be read"):
        store.verify(stored.digest)
    stored.path.rename(tmp_path / "moved")
    stored.path.symlink_to(tmp_path / "moved")
    with pytest.raises(ChecksumError, match="is a link"):
        store.verify(stored.digest)


@pytest.mark.parametrize("digest", ["", "..", "0" * 64, "../../etc", "a" * 63, "A" * 64])
def test_a_copy_that_is_not_there_is_not_found(store: Store, digest: str) -> None:
    with pytest.raises(NotFoundError, match="not in the store"):
        store.verify(digest)


def test_a_damaged_copy_is_replaced_by_adopting_the_version_again(root: Path, store: Store) -> None:
    stored = store.adopt(find(root, "1"))
    damage(stored.path / "b.tflite")
    assert store.adopt(find(root, "1")) == stored
    assert store.verify(stored.digest) == stored.path
    assert names(store) == {stored.digest}


def test_a_version_that_changes_while_it_is_copied_is_refused(
    root: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = find(root, "1")
    (root / "parts" / "1" / "golden" / "one.json").write_text("changed since")
    with pytest.raises(ServiceError, match="version 1 was changed while it was copied") as caught:
        store.adopt(found)
    assert caught.value.kind == "unavailable"
    damage(root / "parts" / "1" / "a.tflite")
    with pytest.raises(ChecksumError, match=r"^a\.tflite is not the file that was stated"):
        store.adopt(found)
    assert names(store) == set()


def test_a_link_that_appears_after_the_scan_is_refused(root: Path, store: Store) -> None:
    found = find(root, "1")
    (root / "parts" / "1" / "labels.txt").unlink()
    (root / "parts" / "1" / "labels.txt").symlink_to("/etc/passwd")
    with pytest.raises(ModelError, match=r"^labels\.txt is a link"):
        store.adopt(found)
    (root / "parts" / "1").rename(root / "away")
    (root / "parts" / "1").symlink_to(root / "away")
    with pytest.raises(ModelError, match="is a link"):
        store.adopt(found)
    assert not store.folder.exists() or names(store) == set()


def test_a_disk_without_room_for_the_version_and_the_reserve_is_not_touched(root: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store", reserve_bytes=1 << 60)
    with pytest.raises(ServiceError, match=r"^version 1 needs .* MB of free disk space") as caught:
        store.adopt(find(root, "1"))
    assert caught.value.kind == "unavailable"
    assert caught.value.retry_after_s
    assert not store.folder.exists()


def test_collecting_removes_what_is_not_kept_and_what_was_cut_off(root: Path, store: Store) -> None:
    add(root, "2")
    first, second = store.adopt(find(root, "1")), store.adopt(find(root, "2"))
    (store.folder / ".adopting-0123").mkdir()
    (store.folder / ".adopting-0123" / "a.tflite").write_bytes(b"half")
    (store.folder / ".gone-0123").mkdir()
    (store.folder / "stray").write_text("stray")
    (store.folder / "link").symlink_to(root)
    assert store.collect({first.digest})
    assert root.is_dir()
    assert names(store) == {first.digest}
    with pytest.raises(NotFoundError):
        store.verify(second.digest)


def test_what_was_just_adopted_is_not_collected_before_its_record_can_name_it(root: Path, tmp_path: Path) -> None:
    now = [0.0]
    store = Store(tmp_path / "store", reserve_bytes=0, grace_s=60, clock=lambda: now[0])
    stored = store.adopt(find(root, "1"))
    assert not store.collect(set())
    assert names(store) == {stored.digest}
    now[0] = 60.0
    assert store.collect(set())
    assert names(store) == set()


def test_an_adoption_under_way_is_not_collected(root: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Contents.open

    def meanwhile(self: Contents, name: str) -> object:
        store.collect(set())
        return real(self, name)

    monkeypatch.setattr(Contents, "open", meanwhile)
    stored = store.adopt(find(root, "1"))
    monkeypatch.undo()
    assert store.verify(stored.digest) == stored.path


def test_collecting_where_nothing_was_ever_stored_does_nothing(store: Store) -> None:
    store.collect(set())
    assert not store.folder.exists()


def test_a_version_can_be_verified_where_it_lies(root: Path, store: Store) -> None:
    found = find(root, "1")
    stored = store.open_in_place(found)
    assert (stored.digest, stored.path) == (found.digest, found.path)
    assert store.verify(stored.digest) == found.path
    assert not store.folder.exists()
    damage(found.path / "golden" / "one.json")
    with pytest.raises(ChecksumError, match="changed since it was verified"):
        store.verify(stored.digest)
    damage(found.path / "a.tflite")
    with pytest.raises(ChecksumError, match=r"^a\.tflite is not"):
        store.open_in_place(found)


def test_a_bare_file_is_adopted_without_a_manifest(root: Path, store: Store, demo: Path) -> None:
    version = root / "bare" / "1"
    version.mkdir(parents=True)
    shutil.copy(demo / "bundle" / "int8.tflite", version / "model.tflite")
    stored = store.adopt(Found("bare", "1", version, True))
    assert sorted(os.listdir(store.verify(stored.digest))) == [".sums", "model.tflite"]
