"""The Python and its packages: this process's own on this machine, the system's in another root."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from piaccel.device.tree import Tree

_APT = "usr/lib/python3/dist-packages"


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
            found = _read(None, apt)
        else:
            self.python = _system_python(tree)
            self.executable = None
            found = _read([*tree.glob("usr/local/lib/python3*/dist-packages"), apt], apt)
        self._found = found
        self.apt = _read([apt], apt)

    def get(self, name: str) -> Package | None:
        """The package that an import would take, None when it is not installed."""
        return self._found.get(name)


def _read(folders: list[Path] | None, apt: Path) -> dict[str, Package]:
    packages: dict[str, Package] = {}
    for found in distributions() if folders is None else distributions(path=[str(folder) for folder in folders]):
        if "Name" in found.metadata:  # a folder left behind by a broken uninstall has none
            key = re.sub(r"[-_.]+", "-", found.metadata["Name"]).lower()
            packages.setdefault(key, Package(found.version, Path(str(found.locate_file(""))) == apt))
    return packages


def _system_python(tree: Tree) -> tuple[int, ...] | None:
    link = tree.path("usr/bin/python3")
    version = re.search(r"python(\d+)\.(\d+)$", str(link.readlink())) if link.is_symlink() else None
    return tuple(int(part) for part in version.groups()) if version else None
