"""Whether the user may open a device node.

On this machine the kernel is asked. In another root the owners of files mean nothing, so it is inferred: from the udev
rules there, and for the login user (number 1000) and his groups.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from piaccel.device.tree import Tree

_LOGIN = "1000"
_RULES = ("usr/lib/udev/rules.d", "lib/udev/rules.d", "etc/udev/rules.d")


@dataclass(frozen=True)
class Rights:
    """May the user read and write the node (None when unknown), and the group that udev gives it to."""

    may_open: bool | None
    group: str | None
    ruled: bool
    """Whether any udev rule speaks of the node."""


def rights(tree: Tree, node: str, *marks: str) -> Rights:
    """What holds for ``node``; ``marks`` are what a udev rule for it contains, such as ``SUBSYSTEM=="apex"``."""
    rule = _rule(tree, marks)
    group = rule.get("GROUP")
    if tree.live:
        return Rights(os.access(tree.path(node), os.R_OK | os.W_OK), group, bool(rule))
    user = _login(tree)
    if user is None:
        return Rights(None, group, bool(rule))
    mode = int(rule.get("MODE", "0660" if group else "0600"), 8)
    in_group = group is not None and group in groups(tree, user)
    return Rights(mode & 6 == 6 or (in_group and mode >> 3 & 6 == 6), group, bool(rule))


def groups(tree: Tree, user: str) -> frozenset[str]:
    """The groups that ``user`` was put into."""
    lines = (line.split(":") for line in (tree.text("etc/group") or "").splitlines())
    return frozenset(fields[0] for fields in lines if len(fields) == 4 and user in fields[3].split(","))


def _login(tree: Tree) -> str | None:
    lines = (line.split(":") for line in (tree.text("etc/passwd") or "").splitlines())
    return next((fields[0] for fields in lines if fields[2:3] == [_LOGIN]), None)


def _rule(tree: Tree, marks: tuple[str, ...]) -> dict[str, str]:
    """MODE and GROUP of the udev rules that contain all ``marks``; a later rule overrides an earlier one."""
    found: dict[str, str] = {}
    for path in sorted((path for top in _RULES for path in tree.glob(f"{top}/*.rules")), key=lambda path: path.name):
        for line in (tree.text(path) or "").splitlines():
            plain = line.replace(" ", "")
            if all(mark in plain for mark in marks) and not plain.startswith("#"):
                found["rule"] = path.name
                found.update(re.findall(r'\b(MODE|GROUP):?="([^"]+)"', plain))
    if not re.fullmatch(r"[0-7]{3,4}", found.get("MODE", "0660")):
        del found["MODE"]
    return found
