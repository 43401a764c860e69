"""A lever of the system: what it is now, what is recommended, and the changes that move it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Edit:
    """A file's bytes become other bytes.

    ``rewrite`` gets what is in the file, None where there is none, and returns what shall be; for what it has written
    itself it returns the same.
    """

    path: str
    """Relative to the root."""
    rewrite: Callable[[bytes | None], bytes | None]


@dataclass(frozen=True)
class Setting:
    """A value written into a file of the running kernel (sysfs, procfs); it lasts until the next boot."""

    path: str
    value: str


@dataclass(frozen=True)
class Command:
    """A program to run, and the one that takes it back."""

    do: tuple[str, ...]
    undo: tuple[str, ...]


Change = Edit | Setting | Command


@dataclass(frozen=True)
class Lever:
    """One thing that can be set on this machine."""

    name: str
    what: str
    now: str | None
    """How it stands on the running system; None where nothing tells."""
    recommended: str | None
    """How it should stand; None where there is nothing to recommend."""
    why: str
    source: str
    """Where the fact comes from."""
    risk: str = ""
    needs_reboot: bool = False
    opt_in: bool = False
    """A matter of purpose: only moved when it is asked for by name."""
    changes: tuple[Change, ...] = ()
    for_speed: bool = False
    """Whether a benchmark of a model can tell what it does."""
    refused: str = ""
    """Why it is never moved here: harmful, or without effect on this board."""

    def to_dict(self) -> dict[str, Any]:
        """What it says of itself, ready for JSON."""
        names = ("name", "what", "now", "recommended", "why", "source", "risk", "needs_reboot", "opt_in", "refused")
        return {name: getattr(self, name) for name in names}


def whole(path: str, text: str) -> Edit:
    """A file that is ours from the first to the last byte."""
    data = text.encode()
    return Edit(path, lambda _: data)
