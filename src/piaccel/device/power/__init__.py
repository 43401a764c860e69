"""Power: sources of watts behind one seam, a meter that integrates them, and what they can compare."""

from __future__ import annotations

import os

from piaccel.device.power import constant
from piaccel.device.power.comparison import refusal, used_by
from piaccel.device.power.energy import Energy, Idle, Reading, integrate
from piaccel.device.power.meter import HZ, IDLE_S, Meter, measure_idle
from piaccel.device.power.source import EVERYTHING, Part, PowerSource
from piaccel.device.tree import Tree
from piaccel.errors import OptionError

__all__ = [
    "EVERYTHING",
    "HZ",
    "IDLE_S",
    "Energy",
    "Idle",
    "Meter",
    "Part",
    "PowerSource",
    "Reading",
    "find",
    "integrate",
    "measure_idle",
    "refusal",
    "sources",
    "used_by",
]


def sources(root: str | os.PathLike[str] = "/") -> list[PowerSource]:
    """The sources that this machine has, the one to prefer first. Raises NotFoundError when the folder is missing."""
    Tree(root)
    return []


def find(root: str | os.PathLike[str] = "/", given: str | None = None) -> PowerSource | None:
    """The source that ``given`` names; with None or "auto" the best that is here, None where there is none.

    Raises OptionError for another name, UnavailableError with the cure for one that is not here.
    """
    tree = Tree(root)
    if given is None or given == "auto":
        return next(iter(sources(tree.root)), None)
    kind, _, rest = given.partition(":")
    if kind == "constant":
        return constant.parse(rest)
    raise OptionError(f"{given!r} is no power source", hint="one of: auto, constant:4.2W")
