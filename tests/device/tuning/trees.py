"""What a tree of files holds, to be compared before and after."""

from __future__ import annotations

import os
from pathlib import Path

from piaccel.device.tuning.journal import FOLDER

Tree = dict[str, tuple[int, bytes]]


def snapshot(root: Path) -> Tree:
    """Every file's mode and bytes, every link's target, and every folder."""
    found: Tree = {}
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(folder, name)
            mode = path.lstat().st_mode
            data = os.readlink(path).encode() if path.is_symlink() else b"" if path.is_dir() else path.read_bytes()
            found[str(path.relative_to(root))] = (mode, data)
    return found


def without_journal(tree: Tree) -> Tree:
    """The same without the journal and the folders that were made for it."""
    inside = (FOLDER, *(str(each) for each in Path(FOLDER).parents))
    return {name: each for name, each in tree.items() if name not in inside and not name.startswith(FOLDER)}
