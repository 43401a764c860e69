"""Levers that are applied, put aside for a moment and back again; and some of them taken back for good."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from piaccel.device.tree import Tree
from piaccel.device.tuning import journal as journals
from piaccel.device.tuning import planning, reverting
from piaccel.device.tuning.lever import Command, Lever, Setting
from piaccel.device.tuning.targets import set_value
from piaccel.errors import WriteError


def can_switch(root: Path, lever: Lever) -> bool:
    """Whether the running system follows it at once: it has values of the kernel, or commands that may be run here."""
    if lever.needs_reboot:
        return False
    journal = journals.read(root)
    ran = {tuple(each.do) for each in journal.commands if each.ran}
    return any(
        (isinstance(each, Setting) and each.path in journal.settings) or (isinstance(each, Command) and each.do in ran)
        for each in lever.changes
    )


def switch(tree: Tree, lever: Lever, on: bool) -> None:
    """Let the running system be as the lever makes it, or as it was first; files stay as they are.

    What is cut off in between is put right by ``apply`` or ``revert``: the journal knows both. Raises WriteError.
    """
    journal = journals.read(tree.root)
    for change in lever.changes:
        if isinstance(change, Setting) and (record := journal.settings.get(change.path)) is not None:
            set_value(tree.root, change.path, record.wrote if on else record.first)
        elif isinstance(change, Command) and tree.live:
            problem = planning.run(change.do if on else change.undo)
            if problem:
                raise WriteError(f"{lever.name} cannot be switched {'on' if on else 'off'}: {problem}")


def keep_only(tree: Tree, levers: Collection[Lever]) -> dict[str, str]:
    """Take back every lever that is applied and not among ``levers``; return what was left alone, and why.

    Everything is taken back and these are made again, so that a power cut leaves the board as it was first, or so.
    """
    boots = {name: each.boot for name, each in journals.read(tree.root).levers.items()}
    kept = {each.name for each in levers}
    if kept >= boots.keys():
        return {}
    done = reverting.revert(tree)
    if done.refused or not levers:
        return done.refused
    made = planning.make(tree, list(levers))
    made.apply()
    with journals.locked(tree.root):
        journal = journals.read(tree.root)
        for name, record in journal.levers.items():
            record.boot = boots.get(name)  # what is in force since an earlier boot still is
        journal.write()
    return made.left_alone
