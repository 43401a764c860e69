"""``piaccel backends``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from piaccel.cli import _options as options
from piaccel.cli._text import print_json

if TYPE_CHECKING:
    from rich.console import Console


_STATES = {
    "ready": "[green]ready[/]",
    "no device": "[yellow]no device[/]",
    "broken": "[red]broken[/]",
    "unsupported": "[yellow]unsupported[/]",
    "not installed": "[dim]not installed[/]",
}


def backends(
    again: Annotated[
        bool, typer.Option("--again", help="Start those again that crashed or hung when they were last started.")
    ] = False,
    json: options.Json = False,
) -> None:
    """List the backends: what works here, and for what does not, why and the command that mends it.

    Each runtime is started in a process of its own, so that one that crashes is reported like any other; a crash or a
    hang is remembered for that version of the runtime.

    Example: piaccel backends
    """
    from concurrent.futures import ThreadPoolExecutor

    from piaccel import backends as seam

    if again:
        from piaccel import trial

        seam.forget()
        trial.forget()
    with ThreadPoolExecutor(2) as pool:  # two runtimes at a time fit into the smallest board
        rows = list(pool.map(_row, seam.names()))
    rows.sort(key=lambda row: (row["state"] != "ready", -row["priority"]))
    if json:
        print_json(rows)
        return
    from rich.console import Console

    _print(Console(highlight=False), rows)


def _row(name: str) -> dict[str, Any]:
    from piaccel import backends as seam
    from piaccel.errors import OptionError

    row: dict[str, Any] = {
        "name": name,
        "state": "broken",
        "version": None,
        "devices": [],
        "opens": [],
        "reason": "",
        "hint": "",
    }
    try:
        backend = seam.get(name)
    except OptionError as error:  # another package's plug-in that does not import
        return {**row, "priority": 0, "reason": str(error), "hint": "mend or uninstall the package that brings it"}
    found = backend.probe()
    return {
        **row,
        "state": found.state,
        "priority": backend.priority,
        "version": found.version,
        "devices": found.devices,
        "opens": backend.suffixes,
        "reason": found.reason,
        "hint": found.hint,
    }


def _print(console: Console, rows: list[dict[str, Any]]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    for column in ("backend", "state", "version", "devices", "opens"):
        table.add_column(column, no_wrap=column != "opens")
    for row in rows:
        table.add_row(
            f"[bold]{escape(row['name'])}[/]",
            _STATES[row["state"]],
            escape(row["version"] or "-"),
            escape(", ".join(row["devices"]) or "-"),
            escape(" ".join(row["opens"])),
        )
    console.print(table)
    for row in rows:
        if row["reason"]:
            console.print(f"\n[bold]{escape(row['name'])}[/]: {escape(row['reason'])}", soft_wrap=True)
            console.print(f"  -> {escape(row['hint'])}", soft_wrap=True)
