"""The Debian packages that are installed, from dpkg's own list."""

from __future__ import annotations

import re
from functools import cached_property

from piaccel.device.tree import Tree


class Debs:
    """Versions of installed packages by name. A package that was removed but left its configuration is not there."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def get(self, name: str) -> str | None:
        """The whole version without its epoch, such as ``4.23.0-1``; None when the package is not installed."""
        return self._versions.get(name)

    def upstream(self, name: str) -> str | None:
        """The numbers that the version begins with, such as ``4.23.0``."""
        return numbers(self._versions.get(name))

    def first(self, *names: str) -> str | None:
        """The first of these that is installed."""
        return next((name for name in names if name in self._versions), None)

    @cached_property
    def _versions(self) -> dict[str, str]:
        versions = {}
        for paragraph in (self._tree.text("var/lib/dpkg/status") or "").split("\n\n"):
            fields = dict(re.findall(r"(?m)^(Package|Status|Version): *(.+)$", paragraph))
            if "Package" in fields and "Version" in fields and fields.get("Status", "").endswith(" installed"):
                versions[fields["Package"]] = fields["Version"].partition(":")[2] or fields["Version"]
        return versions


def numbers(version: str | None) -> str | None:
    """The numbers that a version begins with: ``4.23.0`` of ``4.23.0-1``, None where there are none."""
    found = re.match(r"\d{1,9}(?:\.\d{1,9})*", version or "")
    return found[0] if found else None
