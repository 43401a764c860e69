"""What ``piaccel choose`` prints: the pick, the options, how each figure was come by, and what was left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from piaccel.selection.limits import KINDS, written

if TYPE_CHECKING:
    from rich.console import Console

    from piaccel.selection import Option, Selection

COLUMNS = (
    ("p99 ms", "latency_p99_ms", 1.0),
    ("fps", "fps", 1.0),
    ("accuracy %", "accuracy", 100.0),
    ("drop", "accuracy_drop", 100.0),
    ("memory MB", "memory_bytes", 1e-6),
    ("°C", "temp_c", 1.0),
    ("W", "power_w", 1.0),
)


def show(found: Selection, console: Console) -> None:
    """Print the answer first, then the evidence."""
    for line in headline(found):
        console.print(escape(line), style="bold")
    if found.options:
        console.print()
        console.print(_table(found))
        console.print("* on the Pareto front: nothing else is better in everything", style="dim")
    for line in (*_evidence(found), *_left_out(found), *found.notes):
        console.print(escape(line), soft_wrap=True)


def headline(found: Selection) -> list[str]:
    """The pick, or what stands against one, in lines of text."""
    if found.pick is None:
        lines = [f"nothing fits: {found.why}"]
        lines += [f"{name} rules out {count} of {len(found.options)}" for name, count in found.ruled_out.items()]
        return lines + [change.text for change in found.changes]
    doubt = "" if found.fits else " (not known to fit)"
    lines = [f"pick{doubt}: {found.pick.name}", f"because: {found.why}"]
    for kind in KINDS:
        if kind.option in found.unjudged:
            lines.append(f"{kind.option} cannot be judged: {found.pick.figures[kind.key].how}")
    if not found.fits:
        lines.append("take it all the same with: --allow-unknown")
    return lines


def _table(found: Selection) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("", no_wrap=True)
    table.add_column("option", overflow="fold")
    for title, _, _ in COLUMNS:
        table.add_column(title, justify="right", no_wrap=True)
    for each in sorted(found.options, key=lambda option: option.value("latency_p99_ms") or 0.0):
        marks = ("*" if each.name in found.front else " ") + (">" if each == found.pick else " ")
        table.add_row(marks, escape(each.name), *(_cell(each, key, scale) for _, key, scale in COLUMNS))
    return table


def _cell(option: Option, key: str, scale: float) -> str:
    value = option.value(key)
    return "unknown" if value is None else f"{value * scale:.4g}"


def _evidence(found: Selection) -> list[str]:
    """How the pick's figures were come by; the first option's where there is no pick."""
    option = found.pick or next(iter(found.options), None)
    if option is None:
        return []
    lines = ["", f"evidence for {option.name} (round {option.round}, {option.samples} runs):"]
    for kind in KINDS:
        figure = option.figures[kind.key]
        shown = "unknown" if figure.value is None else written(kind, figure.value)
        limit = f" (limit {found.limits[kind.option]})" if kind.option in found.limits else ""
        lines.append(f"  {kind.word}: {shown}{limit} - {figure.how}")
        if kind.key == "fps":
            accuracy = option.figures["accuracy"]
            shown = "unknown" if accuracy.value is None else f"{accuracy.value:.2%}"
            lines.append(f"  accuracy: {shown} - {accuracy.how}")
    return lines + [f"  conditions: {remark}" for remark in option.remarks]


def _left_out(found: Selection) -> list[str]:
    if not found.left_out:
        return []
    lines = ["", "left out:"]
    for each in found.left_out:
        when = f"after round {each.round}" if each.round else "not measured"
        lines.append(f"  {each.name}, {when}: {each.why}" + (f" -> {each.hint}" if each.hint else ""))
    return lines
