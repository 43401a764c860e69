"""Which processes have a device's file open (proc(5), ``/proc/PID/fd``); those of other users only root sees."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from piaccel.device.tree import Tree


@dataclass(frozen=True)
class Holder:
    """A process, by what it calls itself."""

    pid: int
    name: str


def holders(tree: Tree, node: str) -> tuple[Holder, ...]:
    """Who has ``node`` open; this process and those that it started do not count."""
    found = []
    for folder in tree.glob("proc/[0-9]*/fd"):
        pid = int(folder.parent.name) if folder.parent.name.isdecimal() else 0
        if pid and not (tree.live and _is_ours(tree, pid)) and _has_open(str(folder), node):
            found.append(Holder(pid, tree.text(folder.parent / "comm") or "unnamed"))
    return tuple(found)


def _has_open(folder: str, node: str) -> bool:
    try:
        numbers = os.listdir(folder)
    except OSError:  # it ended meanwhile, or is another user's
        return False
    return any(_target(os.path.join(folder, number)) == node for number in numbers)


def _target(link: str) -> str | None:
    try:
        return os.readlink(link)
    except OSError:  # closed meanwhile
        return None


def _is_ours(tree: Tree, pid: int) -> bool:
    parent = re.search(r"(?m)^PPid:\s*(\d+)$", tree.text(f"proc/{pid}/status") or "")
    return os.getpid() in (pid, int(parent[1]) if parent else 0)
