"""``piaccel doctor``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from piaccel.cli import _options as options
from piaccel.cli._text import print_json, printable

if TYPE_CHECKING:
    from rich.console import Console

    from piaccel.device.deadline import Answer
    from piaccel.device.doctor import Report
    from piaccel.device.findings import Finding, Runtime

_COLOURS = {"problem": "bold red", "warning": "yellow", "note": "cyan"}
_WORDS_COLUMN = 11
_PROBES_S = 3.0
"""With what ``diagnose`` may take, and the start of Python, the answer is there within 5 s."""
_AT_A_TIME = 2
_ROOMY_BYTES = 900 << 20
"""Two runtimes at a time fit into the smallest board."""


def doctor(json: options.Json = False, root: options.Root = Path("/")) -> None:
    """Say what this machine is and what is wrong with it, each problem with its cure; exit code 1 for a problem.

    Example: piaccel doctor --json
    """
    from piaccel.device.doctor import diagnose

    report = diagnose(root, _start_probes())
    if json:
        print_json(report.to_dict())
    else:
        from rich.console import Console

        _print(Console(highlight=False), report)
    if not report.healthy:
        raise typer.Exit(1)


def _start_probes() -> Callable[[], list[Runtime]]:
    """Start to probe every backend, side by side; returns the function that collects what has answered in time.

    Each probe is a child process. One that hangs is left behind, and ends with us.
    """
    import threading

    from piaccel import backends
    from piaccel.device.deadline import Answer, Deadline

    deadline = Deadline(_PROBES_S)
    names = backends.names()
    turns = threading.Semaphore(len(names) if _memory_bytes() >= _ROOMY_BYTES else _AT_A_TIME)
    answers = {name: Answer(partial(_probe, name, turns)) for name in names}
    return lambda: [_collect(name, answer, deadline.left()) for name, answer in answers.items()]


def _probe(name: str, turns: AbstractContextManager[object]) -> Runtime:
    from piaccel import backends
    from piaccel.device.findings import Runtime
    from piaccel.errors import OptionError

    with turns:
        try:
            backend = backends.get(name)
        except OptionError as error:  # another package's plug-in that does not import
            return Runtime(name, False, True, str(error), "mend or uninstall the package that brings it")
        found = backend.probe()
        return Runtime(name, found.ok, backend.installed(), found.reason, found.hint, found.version, found.state or "")


def _collect(name: str, answer: Answer[Runtime], seconds: float) -> Runtime:
    from piaccel.device.findings import Runtime
    from piaccel.errors import HangError

    try:
        return answer.within(seconds)
    except HangError:
        return Runtime(name, False, True, "it did not answer in time", "piaccel backends", state="no answer")
    except Exception as error:  # noqa: BLE001 - another package's probe may raise anything, and the rest is shown
        reason = f"probing it failed: {type(error).__name__}: {error}"
        return Runtime(name, False, True, reason, "mend or uninstall the package that brings it", state="broken")


def _memory_bytes() -> int:
    import os

    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE")


def _print(console: Console, report: Report) -> None:
    """Print the troubles, the facts by section, the notes, and the verdict last, where the eye rests."""
    for finding in report.of("problem", "warning"):
        _print_trouble(console, finding)
    _print_facts(console, report)
    for finding in report.of("note"):
        _print_note(console, finding)
    if report.of("note"):
        console.print()
    _print_verdict(console, report)


def _print_verdict(console: Console, report: Report) -> None:
    problems, warnings, notes = (len(report.of(severity)) for severity in ("problem", "warning", "note"))
    counts = [_count(problems, "problem"), _count(warnings, "warning"), _count(notes, "note")]
    counted = ", ".join(text for text in counts if text)
    if problems or warnings:
        console.print(counted[0].upper() + counted[1:] + ".", style=_COLOURS["problem" if problems else "warning"])
    else:
        console.print("Healthy" + (f" ({counted})." if counted else "."), style="green")


def _print_trouble(console: Console, finding: Finding) -> None:
    style = _COLOURS[finding.severity]
    _print_words(console, finding.severity, finding.what, style, "bold")
    _print_words(console, "why", finding.why)
    _print_words(console, "cure", finding.fix)
    _print_command(console, finding.command)
    console.print()


def _print_note(console: Console, finding: Finding) -> None:
    text = f"{finding.what}. {finding.fix}" if finding.fix else finding.what
    _print_words(console, "note", text, _COLOURS["note"])
    _print_command(console, finding.command)


def _print_facts(console: Console, report: Report) -> None:
    section = ""
    for finding in report.of("ok"):
        _print_words(console, "" if finding.section == section else finding.section, finding.what, "bold")
        section = finding.section
    console.print()


def _print_words(console: Console, label: str, words: str, label_style: str = "dim", style: str = "") -> None:
    """A label and words that wrap within their own column."""
    import textwrap

    from rich.text import Text

    for line in textwrap.wrap(printable(words), max(20, console.width - _WORDS_COLUMN), break_on_hyphens=False):
        console.print(Text.assemble((label.ljust(_WORDS_COLUMN), label_style), (line, style)), soft_wrap=True)
        label = ""


def _print_command(console: Console, command: str) -> None:
    """A command stays on one line, however long: what is copied has to run."""
    from rich.text import Text

    for line in command.splitlines():
        console.print(Text(" " * _WORDS_COLUMN + line, style="green"), soft_wrap=True)


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}" if number else ""
