"""``piaccel backends``."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from piaccel import backends
from piaccel.backends import State
from tests.backends import strangers


def run(*arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "200"}
    if path is not None:
        environment["PYTHONPATH"] = os.pathsep.join([str(path), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, "-m", "piaccel", "backends", *arguments], capture_output=True, text=True, env=environment
    )


@pytest.fixture(scope="module")
def plugged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    strangers.install(folder, ("sound", "segfaults", "old_numpy", "absent", "does_not_import"))
    return folder


def test_every_backend_is_listed_with_what_it_opens() -> None:
    done = run("--json")
    assert done.returncode == 0
    assert done.stderr == ""
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert set(rows) == set(backends.names())
    for name, row in rows.items():
        assert row["state"] in get_args(State)
        assert row["opens"] == list(backends.get(name).suffixes)
        assert (row["state"] == "ready") == (not row["reason"]) == (not row["hint"])
    assert rows["litert"]["state"] == "ready"
    assert rows["litert"]["devices"] == ["CPU"]


def test_broken_and_missing_runtimes_are_rows_with_the_reason_and_the_command(plugged: Path) -> None:
    rows = {row["name"]: row for row in json.loads(run("--json", path=plugged).stdout)}
    assert rows["sound"]["state"] == "ready"
    assert rows["segfaults"]["state"] == "broken"
    assert "SIGSEGV" in rows["segfaults"]["reason"]
    assert rows["old_numpy"]["hint"].endswith("pip install 'numpy<2'")
    assert rows["absent"]["state"] == "not installed"
    assert rows["absent"]["hint"] == "pip install strange"
    assert "does not import" in rows["does_not_import"]["reason"]
    assert rows["litert"]["state"] == "ready"


def test_the_table_shows_the_same_in_words(plugged: Path) -> None:
    done = run(path=plugged)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["backend", "state", "version", "devices", "opens"]
    assert any(line.split()[:2] == ["litert", "ready"] for line in lines)
    assert any(line.startswith("segfaults: starting it kills the process (SIGSEGV)") for line in lines)
    assert "absent: not_installed_anywhere.part is not installed" in lines
    assert "  -> pip install strange" in lines


def test_a_crash_is_remembered_until_again_is_asked_for(plugged: Path) -> None:
    def reason(*arguments: str) -> str:
        rows = {row["name"]: row for row in json.loads(run("--json", *arguments, path=plugged).stdout)}
        return str(rows["segfaults"]["reason"])

    assert ", seen " not in reason("--again")
    assert ", seen " in reason()
    assert ", seen " not in reason("--again")
