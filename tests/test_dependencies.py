"""Every locked dependency has a wheel for the Pythons and machines that are promised: nothing is compiled on a Pi."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GLIBC = (35, 34, 31, 28, 27, 24, 17)
"""Bookworm has glibc 2.36, so that wheels for these and older ones run."""
UNREACHABLE = ("Failed to establish a new connection", "Connection refused", "Name or service not known", "timed out")


RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
"""pip reads the lock file's markers with the Python it runs on, whatever --python-version says."""


@pytest.mark.parametrize(
    ("profile", "python", "machine"),
    [("default", RUNNING, "aarch64"), ("default", RUNNING, "x86_64"), ("bookworm", "3.11", "aarch64")],
)
def test_the_lock_file_resolves_to_wheels(profile: str, python: str, machine: str, tmp_path: Path) -> None:
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in GLIBC] + [f"manylinux2014_{machine}"]
    done = subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--ignore-installed", "--no-deps",
            "--only-binary=:all:", "--target", str(tmp_path), "--python-version", python, "--implementation", "cp",
            *(f"--platform={platform}" for platform in platforms), "-r", str(ROOT / "requirements" / f"{profile}.txt"),
        ],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    if any(sign in done.stderr for sign in UNREACHABLE):
        pytest.skip("the package index cannot be reached")
    assert done.returncode == 0, done.stderr
