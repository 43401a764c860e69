"""What a check looks at and what it says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from piaccel.device.board import Board
from piaccel.device.packages import Packages
from piaccel.device.sensors import Sensors
from piaccel.device.throttle import Throttled
from piaccel.device.tree import Tree

Severity = Literal["ok", "note", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """One thing about the machine: ok states a fact, note is worth knowing, warning may hurt, problem does hurt."""

    section: str
    severity: Severity
    what: str
    why: str = ""
    """Why it matters, with the source of the fact."""
    fix: str = ""
    """What to do, in words."""
    command: str = ""
    """The exact shell command that does it; one a line."""


@dataclass(frozen=True)
class Runtime:
    """Whether one runtime works here, as the caller found out."""

    name: str
    ok: bool
    installed: bool = True
    reason: str = ""
    hint: str = ""
    version: str | None = None


@dataclass(frozen=True)
class Subject:
    """The machine that is examined: its files, what they say, and one reading of its sensors."""

    tree: Tree
    board: Board
    packages: Packages
    sensors: Sensors
    readings: Mapping[str, float | None]
    runtimes: tuple[Runtime, ...] | None

    @property
    def throttled(self) -> Throttled | None:
        """The throttle flags, None where they cannot be read."""
        bits = self.readings["throttled"]
        return None if bits is None else Throttled(int(bits))

    @property
    def boot(self) -> str:
        """The folder of config.txt as the machine itself names it: /boot before Bookworm, /boot/firmware since."""
        older = self.tree.exists("boot/config.txt") and not self.tree.exists("boot/firmware/config.txt")
        return "/boot" if older else "/boot/firmware"

    def debian_version(self, package: str) -> str | None:
        """The upstream version of an installed Debian package, such as ``2.36``."""
        status = self.tree.text("var/lib/dpkg/status") or ""
        version = r"Version: (?:\d+:)?(\d{1,9}(?:\.\d{1,9})*)"
        found = re.search(rf"(?m)^Package: {re.escape(package)}\n(?:.+\n)*?{version}", status + "\n")
        return found[1] if found else None
