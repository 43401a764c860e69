"""The files that describe a machine, under a root: ``/`` is this machine, any other folder a copy or a fake."""

from __future__ import annotations

import os
from pathlib import Path

from piaccel.errors import NotFoundError


class Tree:
    """Reads small files under ``root``. What is missing or unreadable is None. Raises NotFoundError for no root."""

    def __init__(self, root: str | os.PathLike[str] = "/") -> None:
        self.root = Path(root).absolute()
        if not self.root.is_dir():
            raise NotFoundError(
                f"{root}: no such folder to read a board from",
                hint="make one with: python -m piaccel.testing fake-board pi5 DIR",
            )

    @property
    def live(self) -> bool:
        """True when the root is this machine's own, so that its libraries and calls may be asked too."""
        return self.root.resolve() == Path("/")

    def path(self, name: str | Path) -> Path:
        """The file ``name`` (relative to the root, or found by ``glob``) as a path."""
        return self.root / name

    def glob(self, pattern: str) -> list[Path]:
        """The files that match, sorted by name."""
        return sorted(self.root.glob(pattern))

    def data(self, name: str | Path) -> bytes | None:
        """The file's bytes."""
        try:
            return self.path(name).read_bytes()
        except OSError:
            return None

    def text(self, name: str | Path) -> str | None:
        """The file's text without surrounding white space and device-tree's closing NUL."""
        data = self.data(name)
        return None if data is None else data.decode(errors="replace").strip().strip("\0")

    def number(self, name: str | Path) -> int | None:
        """The file's text as a whole number."""
        text = self.text(name)
        try:
            return None if text is None else int(text)
        except ValueError:
            return None

    def device_tree(self, name: str) -> bytes | None:
        """A device-tree property's bytes, from where the kernel shows it."""
        data = self.data(f"proc/device-tree/{name}")
        return self.data(f"sys/firmware/devicetree/base/{name}") if data is None else data

    def hwmon(self, *names: str) -> Path | None:
        """The hwmon folder of the first driver in ``names`` that is there; its number changes between boots."""
        for name in names:
            for entry in self.glob("sys/class/hwmon/hwmon*/name"):
                if self.text(entry) == name:
                    return entry.parent
        return None
