import hashlib
import os
import stat
from pathlib import Path

import pytest

from piaccel import files
from piaccel.errors import NotFoundError, WriteError


def test_what_is_written_is_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    files.write_atomic(path, "text")
    files.write_atomic(path, b"other")
    assert path.read_bytes() == b"other"
    assert os.listdir(path.parent) == ["file"]


def test_a_failed_write_leaves_the_old_file_and_no_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        files.write_atomic(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_link_is_written_through_and_a_device_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    link, device = tmp_path / "link", tmp_path / "device"
    link.symlink_to(tmp_path / "far" / "file")
    device.symlink_to(os.devnull)
    files.write_atomic(link, "text")
    files.write_atomic(device, "text")
    assert link.is_symlink()
    assert (tmp_path / "far" / "file").read_text() == "text"
    assert device.resolve() == Path(os.devnull)
    assert Path(os.devnull).is_char_device()


def test_a_file_in_the_place_of_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match=r"file/deep/new cannot be written: .*file is not a folder"):
        files.write_atomic(tmp_path / "file" / "deep" / "new", "")


def test_a_name_that_is_too_long_is_one_line(tmp_path: Path) -> None:
    name = "x" * 300
    with pytest.raises(WriteError, match="name too long"):
        files.write_atomic(tmp_path / name, "")
    with pytest.raises(NotFoundError, match="name too long"):
        files.existing(tmp_path / name)


def test_a_user_without_a_home_has_nowhere_to_keep_things(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", nobody)
    with pytest.raises(OSError):
        files.write_atomic(files.cache() / "choices" / "net.json", "")


def test_a_written_file_has_the_permissions_that_open_would_give(tmp_path: Path) -> None:
    plain, ours = tmp_path / "plain", tmp_path / "ours"
    plain.write_text("")
    files.write_atomic(ours, "")
    assert stat.S_IMODE(ours.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_sha256_is_the_files_own(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc" * 100_000)
    assert files.sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for function in (files.sha256, files.existing):
        with pytest.raises(NotFoundError, match="nowhere"):
            function(tmp_path / "nowhere")


def test_what_is_remembered_is_recalled_until_it_is_forgotten(tmp_path: Path) -> None:
    files.remember(tmp_path / "kept" / "a.json", {"at": 1})
    assert files.recall(tmp_path / "kept" / "a.json") == {"at": 1}
    files.forget(tmp_path / "kept")
    files.forget(tmp_path / "absent")
    assert files.recall(tmp_path / "kept" / "a.json") == {}


@pytest.mark.parametrize("damage", [b"", b"{", b"[1]", b"\xff"])
def test_a_damaged_memory_is_none(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "a.json").write_bytes(damage)
    assert files.recall(tmp_path / "a.json") == {}


def test_what_cannot_be_remembered_is_no_error() -> None:
    files.remember(Path("/dev/null/a.json"), {})
    assert files.recall(Path("/dev/null/a.json")) == {}
