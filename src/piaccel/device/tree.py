"""The files that describe a machine, under a root: ``/`` is this machine, any other folder a copy or a fake."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from piaccel.errors import NotFoundError

_LARGEST_BYTES = 16 << 20
"""More than any file that describes a machine: the longest, dpkg's status, has a few million."""
_LONGEST_NUMBER = 18


def contents(path: Path) -> bytes:
    """Read a file that describes the machine, without ever waiting for it.

    Raises OSError, also for what is no regular file (a pipe's reader waits for ever) and for one that is far too large.
    """
    with open(path, "rb", opener=_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        data = file.read(_LARGEST_BYTES + 1)
    if len(data) > _LARGEST_BYTES:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return data


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


class Tree:
    """Reads small files under ``root``. What is missing or unreadable is None. Raises NotFoundError for no root."""

    def __init__(self, root: str | os.PathLike[str] = "/") -> None:
        self.root = Path(root).absolute()
        if not os.path.isdir(self.root):  # Path.is_dir raises where a folder above is closed to us
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

    def exists(self, name: str | Path) -> bool:
        """Whether there is such a file, a link's target; False where nobody may look."""
        return os.path.exists(self.path(name))

    def glob(self, pattern: str) -> list[Path]:
        """The files that match, sorted by name."""
        return sorted(self.root.glob(pattern))

    def data(self, name: str | Path) -> bytes | None:
        """The file's bytes."""
        try:
            return contents(self.path(name))
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
            return None if text is None or len(text) > _LONGEST_NUMBER else int(text)
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
