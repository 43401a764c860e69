"""``piaccel compare``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from piaccel.cli import _options as options
from piaccel.cli._text import print_json, wide_console
from piaccel.errors import ConditionsError, OptionError

if TYPE_CHECKING:
    from piaccel.bench.compare import Comparison, Row

_COLOURS = {"faster": "green", "slower": "red", "broken": "bold red", "not compared": "yellow"}


def compare(
    old: Annotated[Path, typer.Argument(help="The report to compare with.", metavar="OLD.json")],
    new: Annotated[Path, typer.Argument(help="The report that may be better or worse.", metavar="NEW.json")],
    fail_above: Annotated[
        str, typer.Option("--fail-above", metavar="PERCENT", help="How much slower a row may be before it fails.")
    ] = "5%",
    allow: Annotated[
        list[str],
        typer.Option("--allow", metavar="CONDITION,...", help="Conditions that may differ: board, model, ..."),
    ] = [],  # noqa: B006 - typer copies it
    json: options.Json = False,
) -> None:
    """Say what became faster or slower between two reports of `piaccel bench --json`; exit code 1 for a regression.

    Exit code 0 means none, 2 that the reports cannot be compared.

    Example: piaccel compare before.json after.json --fail-above 5%
    """
    from piaccel.bench import compare as comparing
    from piaccel.bench import report

    limit = _share(fail_above)
    groups = [name.strip() for each in allow for name in each.split(",") if name.strip()]
    found = comparing.compare(report.read(old), report.read(new), allow=groups, fail_above=limit)
    if json:
        _print_json(found)
    else:
        _print(found)
    if all(row.outcome == "not compared" for row in found.rows):
        raise ConditionsError("no row is valid, right and measured in both reports", hint="measure again")
    if found.regressions:
        raise typer.Exit(1)


def _share(text: str) -> float:
    """Read "5%" or "0.05". Raises OptionError."""
    number, percent, rest = text.strip().partition("%")
    try:
        share = float(number) / (100 if percent else 1)
    except ValueError:
        share = -1.0
    if rest or math.isnan(share) or share < 0 or (share >= 1 and not percent) or math.isinf(share):
        raise OptionError(f"--fail-above {text!r} is not a share", hint="write it as 5% or 0.05")
    return share


def _print(found: Comparison) -> None:
    from rich.table import Table
    from rich.text import Text

    console = wide_console()
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("backend", "variant"):
        table.add_column(heading, overflow="fold")
    for heading in ("threads", "old ms", "new ms", "change", "95 % interval"):
        table.add_column(heading, justify="right")
    table.add_column("outcome", no_wrap=True)
    scenarios = {row.scenario for row in found.rows}
    if len(scenarios) > 1:
        table.add_column("scenario")
    for row in found.rows:
        cells = [row.backend, row.variant, str(row.threads), *_numbers(row), row.outcome]
        cells += [row.scenario] if len(scenarios) > 1 else []
        table.add_row(*(Text(cell) for cell in cells), style=_COLOURS.get(row.outcome, ""))
    console.print(table)
    _print_energies(found)
    for label, lines in (
        ("", [f"{row.name}: {row.outcome}: {row.reason}" for row in found.rows if row.reason]),
        ("only in the old report: ", found.only_old),
        ("only in the new report: ", found.only_new),
        ("changed: ", found.changed),
        ("not equal, but allowed: ", found.allowed),
    ):
        for line in lines:
            console.print(Text(label + line), soft_wrap=True)
    console.print(Text(found.conclusion, style="bold red" if found.regressions else "bold"), soft_wrap=True)


def _print_energies(found: Comparison) -> None:
    from rich.table import Table
    from rich.text import Text

    rows = [(row, row.energy) for row in found.rows if row.energy is not None]
    if not rows:
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("energy of an inference", overflow="fold")
    for heading in ("old mJ", "new mJ", "change", "95 % interval"):
        table.add_column(heading, justify="right")
    table.add_column("outcome", overflow="fold")
    for row, each in rows:
        change = interval = ""
        if each.ratio is not None and each.low is not None and each.high is not None:
            change, interval = f"{each.ratio - 1:+.1%}", f"{each.low - 1:+.1%} to {each.high - 1:+.1%}"
        known = ["" if value is None else f"{value:.3g}" for value in (each.old_mj, each.new_mj)]
        outcome = f"{each.outcome}: {each.refused}" if each.refused else each.outcome
        cells = [*known, change, interval, outcome]
        table.add_row(*(Text(cell) for cell in (row.name, *cells)))
    console = wide_console()
    console.print()
    console.print(table)


def _numbers(row: Row) -> list[str]:
    if row.old_ms is None or row.new_ms is None or row.ratio is None:
        return ["", "", "", ""]
    interval = f"{row.interval.low - 1:+.1%} to {row.interval.high - 1:+.1%}" if row.interval else "unknown"
    return [f"{row.old_ms:.3f}", f"{row.new_ms:.3f}", f"{row.ratio - 1:+.1%}", interval]


def _print_json(found: Comparison) -> None:
    import msgspec

    document = {
        "conclusion": found.conclusion,
        **msgspec.to_builtins(found),
        "regressions": [row.name for row in found.regressions],
    }
    print_json(document)
