"""The Python and its packages: this process's own on this machine, the system's in another root."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from piaccel.device.tree import Tree

_APT = "usr/lib/python3/dist-packages"
_INSTALLED = re.compile(r"(.+?)-(\d[^-]*)(?:-py3.*)?\.(?:dist|egg)-info")
"""How the folder (or Debian's file) of a distribution's metadata is named (PyPA, recording installed projects)."""


@dataclass(frozen=True)
class Package:
    """One installed distribution."""

    version: str
    from_apt: bool

    @property
    def major(self) -> int:
        """The first number of the version, 0 when there is none."""
        number = re.match(r"\d+", self.version)
        return int(number[0]) if number else 0


class Packages:
    """What ``import`` would find, by normalised name; ``apt`` holds the system's, shadowed ones too."""

    def __init__(self, tree: Tree) -> None:
        apt = tree.path(_APT)
        if tree.live:
            self.python: tuple[int, ...] | None = sys.version_info[:3]
            self.executable: str | None = sys.executable
            found = _read([Path(entry) for entry in sys.path], apt)
        else:
            self.python = _system_python(tree)
            self.executable = None
            found = _read([*tree.glob("usr/local/lib/python3*/dist-packages"), apt], apt)
        self._found = found
        self.apt = _read([apt], apt)

    def get(self, name: str) -> Package | None:
        """The package that an import would take, None when it is not installed."""
        return self._found.get(name)


def _read(folders: list[Path], apt: Path) -> dict[str, Package]:
    """What lies in the folders, the first of a name. Goes by the names alone: the files may be damaged."""
    packages: dict[str, Package] = {}
    for folder in folders:
        for entry in _entries(folder):
            named = _INSTALLED.fullmatch(entry)
            if named and _is_whole(folder / entry):
                key = re.sub(r"[-_.]+", "-", named[1]).lower()
                packages.setdefault(key, Package(named[2], folder == apt))
    return packages


def _entries(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:  # not there, a zip file, or closed to us: nothing is imported from it either
        return []


def _is_whole(metadata: Path) -> bool:
    """Whether it is a distribution, not a folder left behind by a broken uninstall."""
    return os.path.isfile(metadata) or any(os.path.isfile(metadata / name) for name in ("METADATA", "PKG-INFO"))


def _system_python(tree: Tree) -> tuple[int, ...] | None:
    try:
        target = str(tree.path("usr/bin/python3").readlink())
    except OSError:  # not there, no link, or in a folder that is closed to us
        return None
    version = re.search(r"python(\d+)\.(\d+)$", target)
    return tuple(int(part) for part in version.groups()) if version else None
