"""The power goes in the midst of an activation, the disk is full, or read-only: what serves afterwards."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
TIMEOUT_S = 600.0
PROGRAM = (sys.executable, "-m", "tests.serving.power")


def run(*command: str | Path) -> str:
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=TIMEOUT_S, env=env, cwd=HERE.parents[1], check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def power(what: str, folder: Path) -> Any:
    printed = run(*PROGRAM, what, folder)
    return json.loads(printed) if printed else None


def test_a_process_that_ends_before_any_system_call_of_an_activation_leaves_a_version_that_boots(
    tmp_path: Path,
) -> None:
    found = power("points", tmp_path)
    assert found["failures"] == []
    assert found["points"] > 60
    # the old one until the new one is on probation, the new one from then on
    assert found["booted"] == sorted(found["booted"])
    assert set(found["booted"]) == {"1", "2"}


def test_an_operation_that_fails_is_told_and_leaves_a_version_that_boots(tmp_path: Path) -> None:
    found = power("errors", tmp_path)
    assert found["failures"] == []
    assert found["points"] > 60


@pytest.fixture(scope="session")
def own_mounts() -> None:
    """Skips where this user may not mount anything, even for itself."""
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not installed")
    tried = subprocess.run(
        ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, text=True, check=False
    )
    if tried.returncode:
        pytest.skip(f"nothing can be mounted here: {tried.stderr.strip()}")


@pytest.fixture(scope="session")
def fuse(own_mounts: None, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python that can mount a filesystem of its own; skips where there is none."""
    folder = tmp_path_factory.mktemp("fuse")
    reasons = []
    for python in (sys.executable, "/usr/bin/python3"):
        (folder / "mount").mkdir(exist_ok=True)
        tried = subprocess.run(
            ["unshare", "-m", python, "-P", HERE / "dropfs.py", folder / "mount", folder, folder / "out", "true"],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        if tried.returncode == 0:
            return python
        reasons.append((tried.stderr.strip().splitlines() or ["no reason given"])[-1])
    pytest.skip(f"no FUSE here (apt install python3-fusepy libfuse2): {'; '.join(reasons)}")


def lose_power(python: str, what: str, folder: Path) -> Any:
    """Activate on the filesystem that forgets, and boot from whatever a cut may have left."""
    power("make", folder / "base")
    (folder / "mount").mkdir()
    program: list[str | Path] = [*PROGRAM, what, folder / "mount"]
    dropping: list[str | Path] = [
        python,
        "-P",
        HERE / "dropfs.py",
        folder / "mount",
        folder / "base",
        folder / "states.json",
    ]
    operations = int(run("unshare", "-m", *dropping, *program))
    assert operations > 50
    return power("check", folder)


def test_what_was_not_fsynced_is_not_missed_after_a_power_cut(fuse: str, tmp_path: Path) -> None:
    found = lose_power(fuse, "activate", tmp_path)
    assert found["failures"] == []
    assert found["booted"] == ["1", "2"]


@pytest.mark.parametrize("what", ["forget-files", "forget-folders"])
def test_an_fsync_left_out_would_be_noticed(what: str, fuse: str, tmp_path: Path) -> None:
    assert lose_power(fuse, what, tmp_path)["failures"]


def on_small_disk(what: str, then: str, folder: Path) -> Any:
    program = shlex.join(PROGRAM)
    script = f'mount -t tmpfs -o size=1m none "{folder}" && {then} {program} {what} "{folder}"'
    return json.loads(run("unshare", "-m", "sh", "-c", script))


def test_a_full_disk_refuses_the_new_version_and_keeps_the_old(own_mounts: None, tmp_path: Path) -> None:
    found = on_small_disk("full", "", tmp_path)
    assert found["early"] == ["ServiceError", "version 3 needs 0.3 MB of free disk space, 0.1 MB are free"]
    assert found["midst"] == ["WriteError", "the store cannot be written: No space left on device"]
    assert found["record"] == ["WriteError", "the state of model parts cannot be written: No space left on device"]
    assert found["left"] == []
    assert found["booted"] == "1"


def test_a_read_only_disk_keeps_serving_and_says_why_nothing_else_works(own_mounts: None, tmp_path: Path) -> None:
    make = f'{shlex.join(PROGRAM)} make "{tmp_path}"'
    found = on_small_disk("read-only", f'{make} && mount -o remount,ro "{tmp_path}" &&', tmp_path)
    assert found["booted"] == "1"
    assert found["read_only"] is True
    assert found["adopt"] == ["WriteError", "the store cannot be written: Read-only file system"]
    unwritable = ["WriteError", "the state of model parts cannot be written: Read-only file system"]
    assert found["record"] == found["attempt"] == unwritable
    assert found["collect"] == []
    assert found["in_place"] == "parts/2"


def whole_service(what: str, folder: Path, bundle: Path, *before: str) -> Any:
    program: list[str | Path] = [sys.executable, "-m", "tests.serving.service_cuts", folder, bundle, what]
    return json.loads(run(*before, *program))


def test_a_service_that_ends_in_the_midst_of_a_swap_serves_after_its_next_start(tmp_path: Path, demo: Path) -> None:
    every = os.environ.get("PIACCEL_TORTURE") == "1"
    found = whole_service("0" if every else "6", tmp_path, demo / "bundle")
    assert found["failures"] == []
    assert found["points"] > 30
    assert len(found["booted"]) == 1 + (found["points"] if every else 6)


def test_a_version_that_takes_the_board_down_is_tried_twice_and_put_away(tmp_path: Path, demo: Path) -> None:
    found = whole_service("killer", tmp_path, demo / "bundle")
    assert found["ends"] == [9, 9, 0]
    assert found["again"] == 0
    assert found["told"] == "1 2 it ended the service 2 times while it was tried"


def test_a_service_on_a_read_only_disk_serves_with_and_without_a_state(
    own_mounts: None, tmp_path: Path, demo: Path
) -> None:
    mount = f'mount -t tmpfs -o size=30m none "{tmp_path}" && exec "$@"'
    found = whole_service("read-only", tmp_path, demo / "bundle", "unshare", "-m", "sh", "-c", mount, "sh")
    version, alarms = found["known"]
    assert version == "1"
    assert alarms == ["parts version 2: the store cannot be written: Read-only file system"]
    assert found["new"][0] == "1"
