"""Kernel modules: which are loaded, and for which kernels they were built."""

from __future__ import annotations

import re

from piaccel.device.tree import Tree


class Modules:
    """The kernel's modules by name; ``kernel`` is the release that runs."""

    def __init__(self, tree: Tree, kernel: str | None) -> None:
        self._tree = tree
        self.kernel = kernel

    def loaded(self, name: str) -> bool:
        """Whether the module is in the kernel now."""
        return self._tree.exists(f"sys/module/{name}")

    def version(self, name: str) -> str | None:
        """The version of the loaded module, where its author set one."""
        return self._tree.text(f"sys/module/{name}/version")

    def parameter(self, name: str, key: str) -> int | None:
        """A number the loaded module was started with."""
        return self._tree.number(f"sys/module/{name}/parameters/{key}")

    def kernels_with(self, name: str) -> tuple[str, ...]:
        """The installed kernels that the module was built for, from the lists that depmod keeps."""
        found = set()
        for top in ("lib/modules", "usr/lib/modules"):
            for listing in self._tree.glob(f"{top}/*/modules.dep"):
                if re.search(rf"(?m)(?:^|/){re.escape(name)}\.ko(?:\.\w+)?:", self._tree.text(listing) or ""):
                    found.add(listing.parent.name)
        return tuple(sorted(found))

    def source(self, name: str) -> str | None:
        """The version of the source that DKMS builds the module from, None when there is none."""
        folders = self._tree.glob(f"usr/src/{name}-*") or self._tree.glob(f"var/lib/dkms/{name}/[0-9]*")
        return folders[-1].name.removeprefix(f"{name}-") if folders else None

    def blacklisted_in(self, name: str) -> str | None:
        """The file of modprobe that forbids loading the module by itself."""
        for path, text in self._modprobe():
            if re.search(rf"(?m)^\s*blacklist\s+{re.escape(name)}\s*$", text):
                return path
        return None

    def option(self, name: str, key: str) -> str | None:
        """What modprobe gives the module as ``key`` when it loads it."""
        for _, text in self._modprobe():
            found = re.search(rf"(?m)^\s*options\s+{re.escape(name)}\s(?:.*\s)?{re.escape(key)}=(\S+)", text)
            if found:
                return found[1]
        return None

    def _modprobe(self) -> list[tuple[str, str]]:
        files = [path for top in ("etc", "usr/lib", "lib") for path in self._tree.glob(f"{top}/modprobe.d/*.conf")]
        return [("/" + str(path.relative_to(self._tree.root)), self._tree.text(path) or "") for path in files]
