"""The power goes in the midst of an apply or of a revert, or the disk fails: nothing that was there first is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from piaccel.device.tuning.journal import FOLDER

ROOT = Path(__file__).parents[3]
TIMEOUT_S = 600.0


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """In memory where that can be had: each operation takes a copy of a whole board."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as made:
        yield Path(made)


def cuts(what: str, folder: Path) -> Any:
    program = [sys.executable, "-m", "tests.device.tuning.cuts", what, str(folder)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=TIMEOUT_S, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_tuning_that_ends_before_any_of_its_operations_can_be_taken_back_and_taken_up(folder: Path) -> None:
    found = cuts("cut", folder)
    assert found["failures"] == []
    assert all(points > 10 for points in found["points"].values()), found["points"]


def test_tuning_whose_disk_fails_at_any_operation_says_so_and_can_be_taken_back(folder: Path) -> None:
    found = cuts("fail", folder)
    assert found["failures"] == []
    assert found["points"] > 200


def test_the_journal_lasts_before_anything_else_is_touched_and_every_file_before_it_gets_its_name(
    folder: Path,
) -> None:
    seen = [tuple(each) for each in cuts("order", folder)]
    written = seen.index(("rename", f"{FOLDER}/journal.json"))
    lasting = seen.index(("fsync", FOLDER), written)
    others = [number for number, (name, path) in enumerate(seen) if name != "mkdir" and not path.startswith("var/lib")]
    assert min(number for number in others if seen[number][0] != "fsync") > lasting
    renamed = [path for name, path in seen if name == "rename"]
    assert len(renamed) > 5
    for path in renamed:
        place = Path(path)
        beside = str(place.with_name(f".{place.name}.new"))
        at = seen.index(("rename", path))
        assert ("fsync", beside) in seen[:at]
        assert ("fsync", str(place.parent)) in seen[at:]
