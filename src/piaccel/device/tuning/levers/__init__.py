"""Every lever that is known, one file a family; a board that has no use for one is told why."""

from __future__ import annotations

import os

from piaccel.device import accelerators, cameras, sensors
from piaccel.device.board import detect
from piaccel.device.debs import Debs
from piaccel.device.findings import Subject
from piaccel.device.modules import Modules
from piaccel.device.packages import Packages
from piaccel.device.tree import Tree
from piaccel.device.tuning.lever import Lever
from piaccel.device.tuning.levers import buses, clock, endurance, kernel, memory, realtime, services

_FAMILIES = (
    clock.levers,
    memory.levers,
    buses.levers,
    services.levers,
    realtime.levers,
    kernel.levers,
    endurance.levers,
)


def look(root: str | os.PathLike[str] = "/") -> Subject:
    """Read what levers go by; sensors are not asked. Raises NotFoundError for a missing root."""
    tree = Tree(root)
    board = detect(root)
    silent = sensors.silent()
    return Subject(
        tree=tree,
        board=board,
        packages=Packages(tree),
        debs=Debs(tree),
        modules=Modules(tree, board.kernel),
        accelerators=accelerators.find(tree),
        cameras=cameras.find(tree),
        sensors=silent,
        readings=silent.read(),
        runtimes=None,
    )


def find(subject: Subject) -> list[Lever]:
    """The levers of this machine, by family."""
    return [lever for family in _FAMILIES for lever in family(subject)]
