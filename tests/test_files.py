import hashlib
import os
import stat
from pathlib import Path

import pytest

from piaccel import files
from piaccel.errors import NotFoundError


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
