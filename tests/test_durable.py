"""Files that are there after the power went."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from piaccel import durable


def test_a_file_is_replaced_whole_with_its_mode_and_owner(tmp_path: Path) -> None:
    path = tmp_path / "made" / "file"
    owner = (1000, 1000) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    durable.replace(path, b"one", 0o640, owner)
    there = path.stat()
    assert (path.read_bytes(), there.st_mode & 0o7777, (there.st_uid, there.st_gid)) == (b"one", 0o640, owner)
    durable.replace(path, b"two")
    assert (path.read_bytes(), path.stat().st_mode & 0o7777) == (b"two", 0o644)
    assert os.listdir(path.parent) == ["file"]


def test_what_a_cut_left_beside_a_file_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "file"
    durable.beside(path).write_bytes(b"half of something longer")
    durable.replace(path, b"whole")
    assert path.read_bytes() == b"whole"
    assert os.listdir(tmp_path) == ["file"]


def test_a_file_system_without_modes_and_owners_keeps_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")  # FAT's answer, which no test machine can be asked for

    monkeypatch.setattr(os, "fchmod", refuse)
    monkeypatch.setattr(os, "fchown", refuse)
    durable.replace(tmp_path / "file", b"whole", 0o755, (0, 4711))
    assert (tmp_path / "file").read_bytes() == b"whole"
    with pytest.raises(PermissionError):
        durable.replace(tmp_path / "other", b"whole", 0o755)


def test_removing_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    durable.replace(tmp_path / "file", b"whole")
    durable.remove(tmp_path / "file")
    durable.remove(tmp_path / "file")
    assert os.listdir(tmp_path) == []
