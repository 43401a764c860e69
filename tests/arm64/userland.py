"""What a board has installed: Debian's arm64 packages and the aarch64 wheels of a lock file.

Both are fetched as this machine fetches its own (apt's sources, pip's index), into a folder of ours: apt works on a
state of its own, so that nothing is installed here and no foreign architecture is added.
"""

from __future__ import annotations

import compileall
import hashlib
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

from piaccel.testing.captures import OperatingSystem
from tests import test_dependencies as dependencies

RELEASE: OperatingSystem = "bookworm"
PYTHON = "3.11"
"""The release's own."""
PACKAGES = ("python3", "libc6", "libgcc-s1", "libstdc++6", "libgomp1", "zlib1g")
UNREACHABLE = (*dependencies.UNREACHABLE, "Failed to fetch", "Failed to resolve", "Temporary failure")


class Unreachable(Exception):
    """What the boards are made of cannot be had on this machine."""


def fetch(command: list[str], env: dict[str, str] | None = None) -> None:
    """Run a command that downloads. Raises Unreachable, or SystemExit with its output when it fails otherwise."""
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stdout + done.stderr
        signs = [line.strip() for line in said.splitlines() if any(sign in line for sign in UNREACHABLE)]
        if signs:
            raise Unreachable(signs[0])
        raise SystemExit(f"{' '.join(command[:3])} failed:\n{said}")


def debian(folder: Path) -> Path:
    """Unpack the packages and what they depend on into ``folder``/debian; does nothing the second time."""
    root = folder / "debian"
    if root.is_dir():
        return root
    if not shutil.which("apt-get") or platform.freedesktop_os_release().get("VERSION_CODENAME") != RELEASE:
        raise Unreachable(f"the packages are taken from this machine's own archive: it needs Debian {RELEASE}")
    apt = folder / "apt"
    for name in ("sources.d", "state/lists/partial", "cache/archives/partial"):
        (apt / name).mkdir(parents=True, exist_ok=True)
    (apt / "status").touch()
    _copy_sources(apt / "sources.d")
    settings = {
        "APT::Architecture": "arm64", "APT::Architectures": "arm64", "APT::Sandbox::User": "root",
        "Dir::State": apt / "state", "Dir::State::status": apt / "status", "Dir::Cache": apt / "cache",
        "Dir::Etc::sourcelist": "/dev/null", "Dir::Etc::sourceparts": apt / "sources.d", "Debug::NoLocking": 1,
    }  # fmt: skip
    command = ["apt-get", "-q", *(word for key, value in settings.items() for word in ("-o", f"{key}={value}"))]
    fetch([*command, "update", "--error-on=any"])
    fetch([*command, "install", "--download-only", "--no-install-recommends", "-y", *PACKAGES])
    new = _empty(folder / "debian.new")
    for package in sorted((apt / "cache/archives").glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", package, new], check=True)
    # Debian compiles when it installs; here the boards' own interpreter would do it, emulated, in every process.
    compileall.compile_dir(new / f"usr/lib/python{PYTHON}", quiet=2, stripdir=str(new), prependdir="/")
    new.rename(root)
    return root


def _copy_sources(folder: Path) -> None:
    """The sources of this machine's own release; other archives may not have the architecture."""
    ours = re.compile(rf"^(Suites:.*|deb (\[.*\] )?\S+) {RELEASE}\b", re.MULTILINE)
    for source in [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]:
        if source.suffix in (".list", ".sources") and source.is_file():
            separator = "\n" if source.suffix == ".list" else "\n\n"
            kept = [part for part in source.read_text().split(separator) if ours.search(part)]
            (folder / source.name).write_text(separator.join(kept) + "\n")


def wheels(folder: Path, lock: Path) -> Path:
    """Install the lock file's aarch64 wheels, and a link to our source, below ``folder``; kept until it changes."""
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    site = folder / f"site-{lock.stem}-{digest}"
    if not site.is_dir():
        new = _empty(folder / "site.new")
        platforms = [f"manylinux_2_{minor}_aarch64" for minor in dependencies.GLIBC] + ["manylinux2014_aarch64"]
        fetch(
            [
                sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
                "--target", str(new), "--only-binary=:all:", "--implementation", "cp", "--python-version", PYTHON,
                *(f"--platform={platform}" for platform in platforms), "-r", str(lock),
            ]
        )  # fmt: skip
        for old in folder.glob(f"site-{lock.stem}-*"):
            shutil.rmtree(old)
        new.rename(site)
    (site / "piaccel.pth").write_text(f"{Path(__file__).parents[2] / 'src'}\n")
    return site


def _empty(folder: Path) -> Path:
    """The folder without what an interrupted run left in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder
