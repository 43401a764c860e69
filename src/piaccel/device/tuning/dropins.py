"""What a configuration file and the drop-ins beside it say together (systemd.syntax(7), swap.conf(5))."""

from __future__ import annotations

import re
from collections.abc import Sequence

from piaccel.device.tree import Tree


def value(tree: Tree, main: str, folders: Sequence[str], key: str) -> str | None:
    """The value in force, None for the default: the drop-in whose name sorts last wins, whichever folder it is in."""
    dropins = {path.name: path for folder in folders for path in tree.glob(f"{folder}/*.conf")}
    texts = [tree.text(main), *(tree.text(dropins[name]) for name in sorted(dropins))]
    found = [each for text in texts for each in re.findall(rf"(?m)^[ \t]*{key}[ \t]*=[ \t]*(.*?)[ \t]*$", text or "")]
    return found[-1] or None if found else None


def systemd(tree: Tree, name: str, key: str) -> str | None:
    """The same of a file of systemd such as ``journald.conf``; a drop-in in /etc hides one of its name in /usr."""
    folders = [f"{top}/systemd/{name}.d" for top in ("usr/lib", "run", "etc")]
    return value(tree, f"etc/systemd/{name}", folders, key)
