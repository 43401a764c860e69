"""Tuning the board: levers with their reasons, a plan that is shown first, a journal, and the way back."""

from __future__ import annotations

import os
from collections.abc import Sequence

from piaccel.device.tree import Tree
from piaccel.device.tuning import planning, reverting, switching
from piaccel.device.tuning.lever import Lever as Lever
from piaccel.device.tuning.levers import find, look
from piaccel.device.tuning.planning import Applied as Applied
from piaccel.device.tuning.planning import Plan as Plan
from piaccel.device.tuning.reverting import Reverted as Reverted
from piaccel.device.tuning.reverting import Status as Status
from piaccel.errors import OptionError

SCHEMA = "piaccel.tune/1"

Root = str | os.PathLike[str]


def levers(root: Root = "/") -> list[Lever]:
    """Every lever of the machine under ``root``, also the refused ones. Raises NotFoundError for a missing root."""
    return find(look(root))


def plan(root: Root = "/", only: Sequence[str] | None = None) -> Plan:
    """Work out the changes: of the levers named in ``only``, else of all that are no matter of purpose.

    Raises OptionError for a lever that does not exist or is refused, InputError for a damaged journal.
    """
    subject = look(root)
    known = {each.name: each for each in find(subject)}
    for name in only or ():
        if name not in known:
            raise OptionError(f"no lever is called {name!r}", hint=f"one of: {', '.join(known)}")
        if known[name].refused:
            raise OptionError(f"{name} is refused here: {known[name].refused}", hint=known[name].source)
    chosen = [each for each in known.values() if (each.name in only if only is not None else not each.opt_in)]
    return planning.make(subject.tree, [each for each in chosen if not each.refused])


def revert(root: Root = "/") -> Reverted:
    """Put back what was there before the first ``Plan.apply``. Raises UnavailableError, WriteError, InputError."""
    return reverting.revert(Tree(root))


def closed_to_revert(root: Root = "/") -> list[str]:
    """Return what this user may not put back. Raises InputError for a damaged journal."""
    return reverting.closed_to_revert(Tree(root).root)


def applied(root: Root = "/") -> list[Lever]:
    """The levers that are moved, as they are known now. Raises InputError for a damaged journal."""
    names = status(root).levers
    return [each for each in levers(root) if each.name in names]


def can_switch(lever: Lever, root: Root = "/") -> bool:
    """Whether an applied lever can be put aside for a moment (``switch``), without a reboot."""
    return switching.can_switch(Tree(root).root, lever)


def switch(lever: Lever, on: bool, root: Root = "/") -> None:
    """Let the running system be as an applied lever makes it, or as it was first. Raises WriteError."""
    switching.switch(Tree(root), lever, on)


def keep_only(kept: Sequence[Lever], root: Root = "/") -> dict[str, str]:
    """Take back all applied levers but these; return what was left alone, and why.

    Raises UnavailableError, WriteError.
    """
    return switching.keep_only(Tree(root), kept)


def status(root: Root = "/") -> Status:
    """Say what is applied, what waits for a reboot, and what was changed since. Raises InputError."""
    return reverting.status(Tree(root))
