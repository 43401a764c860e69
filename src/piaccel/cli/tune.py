"""``piaccel tune``."""

from __future__ import annotations

import os
import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piaccel.cli import _options as options
from piaccel.cli._text import print_json, printable
from piaccel.errors import OptionError, UnavailableError

if TYPE_CHECKING:
    from rich.console import Console

    from piaccel.device.tuning import Applied, Lever, Plan, Reverted, Status

_WORDS_COLUMN, _NAME_COLUMN = 11, 22
_WAITS = {True: "waits for a reboot", False: "applied", None: "applied, and in force if there was a reboot since"}


class Action(StrEnum):
    """What may be asked."""

    show = "show"
    plan = "plan"
    apply = "apply"
    revert = "revert"
    status = "status"


def tune(
    action: Annotated[Action, typer.Argument(help="What to do; 'show' when not given.")] = Action.show,
    only: Annotated[
        str | None, typer.Option("--only", metavar="A,B", help="These levers and no others, opt-in ones too.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; for scripts.")] = False,
    measure: Annotated[
        Path | None,
        typer.Option(metavar="MODEL", help="Benchmark what is applied with this model; take back what does not help."),
    ] = None,
    backend: Annotated[
        str, typer.Option("--backend", "-b", help="With --measure: auto, or a backend's name.")
    ] = "auto",
    variant: options.VariantName = None,
    threads: options.Threads = None,
    json: options.Json = False,
    root: options.Root = Path("/"),
) -> None:
    """Set this board up for inference: each lever with its reason, a journal of every change, and the way back.

    \b
    Examples:
      piaccel tune                            each lever: now, recommended, why
      piaccel tune plan                       what would be changed, file by file
      piaccel tune apply --only governor,psi  change it; a second time changes nothing
      piaccel tune --measure demo/bundle      keep only what makes this model faster
      piaccel tune revert                     put back what was there first
    """
    from piaccel.device import tuning

    names = [each.strip() for each in only.split(",") if each.strip()] if only is not None else None
    if names is not None and action not in (Action.plan, Action.apply):
        raise OptionError(f"--only goes with plan and apply, not with {action.value}")
    if (dry_run or yes) and action not in (Action.apply, Action.revert):
        raise OptionError(f"--dry-run and --yes go with apply and revert, not with {action.value}")
    if measure is None and (backend != "auto" or variant is not None or threads is not None):
        raise OptionError("--backend, --variant and --threads go with --measure")
    if measure is not None:
        if action is not Action.show or names is not None:
            raise OptionError(
                "--measure stands alone: it measures what is applied", hint="piaccel tune apply, then again"
            )
        from piaccel.cli import _tuned

        _tuned.measure(measure, root, backend, variant, threads, json)
    elif action is Action.show:
        _show(tuning.levers(root), root, json)
    elif action is Action.status:
        _tell("status", tuning.status(root), json, root)
    elif action is Action.revert:
        _revert(root, dry_run, yes, json)
    else:
        made = tuning.plan(root, names)
        if action is Action.plan or dry_run or made.empty:
            _tell("plan", made, json, root)
        else:
            _apply(made, only, yes, json, root)
        if action is Action.apply and made.left_alone:
            raise typer.Exit(1)


def _apply(plan: Plan, only: str | None, yes: bool, json: bool, root: Path) -> None:
    if plan.closed:
        if not json:
            _print_plan(_console(), plan)
        _need_root(plan.closed, ["apply", *([f"--only={only}"] if only else [])], yes, root)
    if not json:
        _print_plan(_console(), plan)
    _ask("Make these changes?", yes)
    done = plan.apply()
    _tell("applied", done, json, root)
    if done.failed:
        raise typer.Exit(1)


def _revert(root: Path, dry_run: bool, yes: bool, json: bool) -> None:
    from piaccel.device import tuning

    status = tuning.status(root)
    if dry_run or not (status.files or status.settings or status.not_run or status.levers):
        _tell("status", status, json, root)
        return
    if not json:
        _print_status(_console(), status)
    shut = tuning.closed_to_revert(root)
    if shut:
        _need_root(shut, ["revert"], yes, root)
    _ask("Put back what was there first?", yes)
    done = tuning.revert(root)
    _tell("reverted", done, json, root)
    if done.refused:
        raise typer.Exit(1)


def _need_root(closed: list[str], words: list[str], yes: bool, root: Path) -> None:
    """Say what to run instead. Always raises UnavailableError."""
    given = [*words, *(["--yes"] if yes else []), *([f"--root={root.absolute()}"] if root != Path("/") else [])]
    command = shlex.join(["sudo", sys.executable, "-m", "piaccel", "tune", *given])
    more = f" and {len(closed) - 1} more" if len(closed) > 1 else ""
    raise UnavailableError(f"only root may change {closed[0]}{more}", hint=command)


def _ask(question: str, yes: bool) -> None:
    """Go on only when the user agrees. Raises OptionError where there is nobody to ask."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise OptionError("nobody can be asked here, and --yes is not given", hint="look at: piaccel tune plan")
    if not typer.confirm(question, err=True):
        raise typer.Exit(1)


def _tell(what: str, said: Plan | Applied | Reverted | Status, json: bool, root: Path) -> None:
    if json:
        from dataclasses import asdict

        from piaccel.device.tuning import SCHEMA, Applied

        document: dict[str, Any] = asdict(said) if isinstance(said, Applied) else said.to_dict()
        print_json({"schema": SCHEMA, "root": os.path.abspath(root), what: document})
    else:
        _PRINT[what](_console(), said)


def _show(levers: list[Lever], root: Path, json: bool) -> None:
    from piaccel.device import tuning

    plan = tuning.plan(root, [each.name for each in levers if not each.refused])
    status = tuning.status(root)
    states = {each.name: _state(each, plan, status) for each in levers}
    if json:
        rows = [{**each.to_dict(), "state": states[each.name]} for each in levers]
        print_json({"schema": tuning.SCHEMA, "root": os.path.abspath(root), "levers": rows})
        return
    console = _console()
    for each in levers:
        _print_lever(console, each, states[each.name])
    by_default = [name for name, state in states.items() if state == "to do"]
    if by_default:
        console.print(f"{len(by_default)} to do: {', '.join(by_default)}. See: piaccel tune plan", soft_wrap=True)
    else:
        console.print("Nothing to do. What is opt-in is a matter of purpose: piaccel tune apply --only NAME")


def _state(lever: Lever, plan: Plan, status: Status) -> str:
    if lever.refused:
        return "refused"
    if lever.name in plan.left_alone:
        return "left alone"
    if any(each.name == lever.name for each in plan.levers):
        return "opt-in" if lever.opt_in else "to do"
    return "waits for a reboot" if status.levers.get(lever.name) else "as it should be"


def _print_lever(console: Console, lever: Lever, state: str) -> None:
    colour = {"to do": "bold yellow", "opt-in": "cyan", "left alone": "yellow", "refused": "red"}.get(state, "green")
    _words(console, lever.name, f"{lever.what} - {state}", colour, _NAME_COLUMN)
    now = "unknown" if lever.now is None else lever.now
    _words(
        console, "  now", now if lever.recommended in (None, lever.now) else f"{now}; recommended {lever.recommended}"
    )
    if lever.refused:
        _words(console, "  refused", lever.refused)
    _words(console, "  why", lever.why)
    if lever.risk and not lever.refused:
        _words(console, "  risk", lever.risk)
    _words(console, "  source", lever.source + (". Needs a reboot" if lever.needs_reboot and not lever.refused else ""))
    console.print()


def _print_plan(console: Console, plan: Plan) -> None:
    for name, reason in plan.left_alone.items():
        _words(console, "left alone", f"{name}: {reason}", "yellow")
    if plan.empty:
        console.print("Nothing to do: everything is as it should be.", style="green")
        return
    for line in plan.diff().splitlines():
        style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")
        console.print(printable(line), style=style, markup=False, soft_wrap=True)
    for each in plan.settings:
        console.print(f"now: {each.before} -> {each.after} in /{each.path}", soft_wrap=True)
    for command in plan.commands:
        console.print(f"{'run' if plan.live else 'would run'}: {shlex.join(command.do)}", soft_wrap=True)
    reboot = [each.name for each in plan.levers if each.needs_reboot]
    words = f" After a reboot: {', '.join(reboot)}." if reboot else ""
    console.print(
        f"{_count(len(plan.levers), 'lever')}: {', '.join(x.name for x in plan.levers)}.{words}", soft_wrap=True
    )


def _print_applied(console: Console, done: Applied) -> None:
    for each in done.failed:
        _words(console, "failed", each, "red")
    for each in done.not_run:
        _words(console, "not run", f"{each} (this tree is not the running system)", "yellow")
    changed = len(done.files) + len(done.settings) + len(done.ran)
    reboot = " Reboot for the rest to take effect." if done.reboot else ""
    console.print(f"{_count(changed, 'change')} made.{reboot} Take back: piaccel tune revert", soft_wrap=True)


def _print_reverted(console: Console, done: Reverted) -> None:
    for name, reason in done.refused.items():
        _words(console, "left alone", f"{name}: {reason}", "yellow")
    for name in done.kept:
        _words(console, "kept", f"{name}: what somebody else changed since; our part is out", "yellow")
    back = len(done.files) + len(done.kept) + len(done.settings) + len(done.commands)
    reboot = " Reboot for the rest to take effect." if done.reboot else ""
    console.print(f"{_count(back, 'change')} taken back.{reboot}", soft_wrap=True)


def _print_status(console: Console, status: Status) -> None:
    if not status.levers:
        console.print("Nothing is applied.")
        return
    for name, waits in status.levers.items():
        _words(console, name, _WAITS[waits], column=_NAME_COLUMN)
    moved = {
        path: standing for path, standing in {**status.files, **status.settings}.items() if standing != "as written"
    }
    for path, standing in moved.items():
        _words(console, standing, f"/{path}", "yellow", _NAME_COLUMN)
    if moved:
        console.print("Set it again: piaccel tune apply. Take all of it back: piaccel tune revert", soft_wrap=True)
    for command in status.not_run:
        _words(console, "not run", command, "yellow", _NAME_COLUMN)


_PRINT: dict[str, Any] = {
    "plan": _print_plan,
    "applied": _print_applied,
    "reverted": _print_reverted,
    "status": _print_status,
}


def _words(console: Console, label: str, words: str, style: str = "", column: int = _WORDS_COLUMN) -> None:
    """A label and words that wrap within their own column."""
    import textwrap

    from rich.text import Text

    width = max(20, console.width - column)
    first = label.ljust(column - 1) + " "
    for line in textwrap.wrap(printable(words), width, break_on_hyphens=False, break_long_words=False) or [""]:
        console.print(Text.assemble((first, style or "dim"), line), soft_wrap=True)
        first = " " * column


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False)


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
