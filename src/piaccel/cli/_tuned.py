"""``piaccel tune --measure``: what each applied lever does for a model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from piaccel.cli._progress import progress
from piaccel.cli._text import print_json, printable, wide_console

if TYPE_CHECKING:
    from piaccel.tuned import Result, Weighed

_STYLES = {"helped": "green", "did not help": "yellow", "not judged": "dim", "waits for a reboot": "cyan"}


def measure(model: Path, root: Path, backend: str, variant: str | None, threads: int | None, json: bool) -> None:
    """Measure, take back what did not help, and say so."""
    from piaccel import tuned
    from piaccel.bench.run import Progress
    from piaccel.device.tuning import SCHEMA

    with progress("looking at the model and the runtimes") as show:
        steps = 0

        def tell(text: str) -> None:
            nonlocal steps
            if show is not None:
                show(Progress(steps, steps + 1, text))
            steps += 1

        found = tuned.weigh(model, root=root, backend=backend, variant=variant, threads=threads, tell=tell)
    if json:
        print_json({"schema": SCHEMA, "root": os.path.abspath(root), "measured": found.to_dict()})
    else:
        _print(found)


def _print(found: Result) -> None:
    from rich.table import Table
    from rich.text import Text

    console = wide_console()
    threads = f"{found.threads} thread{'s' if found.threads != 1 else ''}"
    console.print(Text(f"{found.model}: {found.variant} on {found.backend}, {threads}", style="bold"))
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("lever", no_wrap=True)
    for name in ("without ms", "with ms", "change", "95 % interval"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("outcome", "and so"):
        table.add_column(name, overflow="fold")
    for each in found.levers:
        table.add_row(*(Text(printable(cell)) for cell in _cells(each)), style=_STYLES[each.outcome])
    console.print(table)
    for how in dict.fromkeys(each.how for each in found.levers if each.how):
        console.print(Text(f"measured {how}", style="dim"), soft_wrap=True)
    for name, why in found.left_alone.items():
        console.print(Text(printable(f"left alone: {name}: {why}"), style="yellow"), soft_wrap=True)
    if found.reboot:
        console.print("Reboot, then: piaccel tune --measure with the same model", style="bold")


def _cells(each: Weighed) -> list[str]:
    if each.old_ms is None or each.new_ms is None or each.ratio is None or each.low is None or each.high is None:
        return [each.lever, "", "", "", "", each.outcome, each.why]
    interval = f"{each.low - 1:+.1%} to {each.high - 1:+.1%}"
    numbers = [f"{each.old_ms:.3g}", f"{each.new_ms:.3g}", f"{each.ratio - 1:+.1%}", interval]
    return [each.lever, *numbers, each.outcome, each.why]
