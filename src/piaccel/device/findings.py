"""What a check looks at and what it says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from piaccel.device import bootconfig
from piaccel.device.accelerators import Accelerator, Kind
from piaccel.device.board import Board
from piaccel.device.cameras import Camera
from piaccel.device.debs import Debs
from piaccel.device.modules import Modules
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
    state: str = ""
    """A word for it, such as "no device"; "no answer" when the time did not suffice to find out."""


@dataclass(frozen=True)
class Subject:
    """The machine that is examined: its files, what they say, and one reading of its sensors."""

    tree: Tree
    board: Board
    packages: Packages
    debs: Debs
    modules: Modules
    accelerators: tuple[Accelerator, ...]
    cameras: tuple[Camera, ...]
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

    @property
    def settings(self) -> tuple[tuple[str, str], ...]:
        """What config.txt sets for this board."""
        folder = self.boot.lstrip("/")
        return tuple(bootconfig.settings(bootconfig.whole(lambda name: self.tree.text(f"{folder}/{name}")), self.board))

    def parameter(self, name: str) -> str | None:
        """The value of a dtparam, '' for one without; the last one counts."""
        found = [part for key, value in self.settings if key == "dtparam" for part in value.split(",")]
        values = [value for part in found for key, _, value in [part.partition("=")] if key == name]
        return values[-1] if values else None

    def overlay(self, *words: str) -> bool:
        """Whether a dtoverlay line has all these words, the overlay's own name first."""
        lines = [re.split(r"[,=]", value) for key, value in self.settings if key == "dtoverlay"]
        return any(line[0] == words[0] and set(words) <= set(line) for line in lines)

    def append(self, line: str) -> str:
        """The command that adds a line for all boards to config.txt."""
        return f"printf '\\n[all]\\n{line}\\n' | sudo tee -a {self.boot}/config.txt"

    def accelerator(self, *kinds: Kind) -> Accelerator | None:
        """The first accelerator of these kinds."""
        return next((each for each in self.accelerators if each.kind in kinds), None)
