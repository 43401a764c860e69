"""Being an ordinary user for a while, whoever runs the tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NOBODY = 65534


@contextmanager
def ordinary_user(root: Path) -> Iterator[None]:
    """Nobody's rights on a tree that belongs to somebody else: root becomes nobody, others close their folders."""
    if os.geteuid() == 0:
        for folder in (root, *root.parents[:-2]):
            folder.chmod(folder.stat().st_mode | 0o055)
        os.seteuid(_NOBODY)
        try:
            yield
        finally:
            os.seteuid(0)
        return
    folders = [Path(folder) for folder, _, _ in os.walk(root)]
    for folder in folders:
        folder.chmod(0o555)
    try:
        yield
    finally:
        for folder in folders:
            folder.chmod(0o755)
