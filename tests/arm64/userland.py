"""What a board has installed: Debian's arm64 packages and the aarch64 wheels of a lock file.

Both are fetched as this machine fetches its own (apt's sources, pip's index), into a folder of ours: apt works on a
state of its own, so that nothing is installed here and no foreign architecture is added.
"""

from __future__ import annotations

import compileall
import hashlib
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

PACKAGES = ("python3", "libc6", "libgcc-s1", "libstdc++6", "libgomp1", "zlib1g")
GLIBC = (35, 34, 31, 28, 27, 24, 17)
"""Bookworm has glibc 2.36, so that wheels for these and older ones run."""
UNREACHABLE = (
    "Failed to fetch", "Failed to establish a new connection", "Connection refused", "Name or service not known",
    "Temporary failure", "Could not resolve", "Could not connect", "timed out", "No route to host",
)  # fmt: skip


class Unreachable(Exception):
    """A package archive or index does not answer."""


def fetch(command: list[str], env: dict[str, str] | None = None) -> None:
    """Run a command that downloads. Raises Unreachable, or SystemExit with its output when it fails otherwise."""
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stdout + done.stderr
        if any(sign in said for sign in UNREACHABLE):
            raise Unreachable(f"{command[0]}: {said.strip().splitlines()[-1]}")
        raise SystemExit(f"{' '.join(command[:3])} failed:\n{said}")


def debian(folder: Path) -> Path:
    """Unpack the packages and what they depend on into ``folder``/debian; does nothing the second time."""
    root = folder / "debian"
    if root.is_dir():
        return root
    apt = folder / "apt"
    for name in ("sources.d", "state/lists/partial", "cache/archives/partial"):
        (apt / name).mkdir(parents=True, exist_ok=True)
    (apt / "status").touch()
    _copy_sources(apt / "sources.d", platform.freedesktop_os_release()["VERSION_CODENAME"])
    settings = {
        "APT::Architecture": "arm64", "APT::Architectures": "arm64", "APT::Sandbox::User": "root",
        "Dir::State": apt / "state", "Dir::State::status": apt / "status", "Dir::Cache": apt / "cache",
        "Dir::Etc::sourcelist": "/dev/null", "Dir::Etc::sourceparts": apt / "sources.d", "Debug::NoLocking": 1,
    }  # fmt: skip
    command = ["apt-get", "-q", *(word for key, value in settings.items() for word in ("-o", f"{key}={value}"))]
    fetch([*command, "update", "--error-on=any"])
    fetch([*command, "install", "--download-only", "--no-install-recommends", "-y", *PACKAGES])
    new = folder / "debian.new"
    for package in sorted((apt / "cache/archives").glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", package, new], check=True)
    if not (new / "lib").exists():  # Trixie's packages have all of it in /usr
        (new / "lib").symlink_to("usr/lib")
    for library in new.glob("usr/lib/python3.*"):  # where its own interpreter would, emulated, take minutes
        if library.name == f"python3.{sys.version_info.minor}":
            compileall.compile_dir(library, quiet=2, stripdir=str(new), prependdir="/", workers=os.cpu_count() or 1)
    new.rename(root)
    return root


def _copy_sources(folder: Path, release: str) -> None:
    """The sources of this machine's own release; other archives may not have the architecture."""
    ours = re.compile(rf"^(Suites:.*|deb (\[.*\] )?\S+) {release}\b", re.MULTILINE)
    for source in [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]:
        if source.suffix in (".list", ".sources") and source.is_file():
            separator = "\n" if source.suffix == ".list" else "\n\n"
            kept = [part for part in source.read_text().split(separator) if ours.search(part)]
            (folder / source.name).write_text(separator.join(kept) + "\n")


def wheels(folder: Path, lock: Path, python: str) -> Path:
    """Install the lock file's aarch64 wheels for that Python into a folder below ``folder``, kept until it changes."""
    if python != f"{sys.version_info.major}.{sys.version_info.minor}":
        raise SystemExit(
            f"pip reads a lock file for the Python it runs on, and the boards have {python}: "
            f"make test-arm64 PYTHON=python{python}"
        )
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    site = folder / f"site-{lock.stem}-{digest}"
    if site.is_dir():
        return site
    new = folder / "site.new"
    platforms = [f"manylinux_2_{minor}_aarch64" for minor in GLIBC] + ["manylinux2014_aarch64"]
    fetch(
        [
            sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--upgrade",
            "--target", str(new), "--only-binary=:all:", "--implementation", "cp", "--python-version", python,
            *(f"--platform={platform}" for platform in platforms), "-r", str(lock),
        ]
    )  # fmt: skip
    (new / "piaccel.pth").write_text(f"{Path(__file__).parents[2] / 'src'}\n")
    new.rename(site)
    return site
