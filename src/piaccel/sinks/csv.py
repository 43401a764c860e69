"""Results as a table for a spreadsheet: one row an event, rotated and capped as JSON lines are."""

from __future__ import annotations

from pathlib import Path

from piaccel.errors import OptionError
from piaccel.sinks import Event, _lines

COLUMNS = (
    "time",
    "stream",
    "frame",
    "part",
    "label",
    "score",
    "findings",
    "age_ms",
    "late",
    "held",
    "cause",
    "model",
    "variant",
    "backend",
    "id",
)
_FORMULA = ("=", "+", "-", "@")
"""A cell that begins so is computed by a spreadsheet, or even run: OWASP, "CSV Injection"."""


class Csv(_lines.LinesSink):
    """Writes one row for each event: its best finding, and all of them as "crack 0.91; hole 0.40"."""

    def __init__(self, target: str, options: _lines.Options) -> None:
        super().__init__(target, options)
        if not target:
            raise OptionError("csv needs a file", hint="write csv:results.csv")
        header = (",".join(COLUMNS) + "\n").encode()
        self._lines = _lines.Lines(Path(target), options, header=header, ours=lambda line: line.startswith(b"time,"))

    def deliver(self, event: Event) -> None:
        self._lines.add(row(event))


def row(event: Event) -> bytes:
    """Return an event's row: UTF-8, always one line, "" for what is not known."""
    known = event.to_dict()
    findings = [] if event.result is None else event.result.findings()
    known["label"], known["score"] = (findings[0][0], f"{findings[0][1]:.4g}") if findings else ("", "")
    known["findings"] = "; ".join(f"{label} {score:.4g}" for label, score in findings)
    return (",".join(_cell(known[name]) for name in COLUMNS) + "\n").encode("utf-8", "replace")


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if not isinstance(value, str):
        return str(value)
    text = "".join(each if each.isprintable() else " " for each in value)
    if text.lstrip().startswith(_FORMULA):
        text = f"'{text}"
    return '"' + text.replace('"', '""') + '"' if any(each in text for each in '",;') else text
