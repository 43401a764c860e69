"""Results as lines of text: time, stream, frame, age, findings."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TextIO

from piaccel import sinks
from piaccel.chatter import printable
from piaccel.errors import OptionError, WriteError
from piaccel.sinks import Event, Sink

MOST_FINDINGS = 8
"""A line names no more of them, and says how many there are besides."""


@dataclass(frozen=True, kw_only=True)
class Options(sinks.Options):
    every: int = 1
    """Print the first of so many events, for each stream."""
    changes: bool = False
    """Print an event only when the labels found differ from those of the stream's event before."""

    def __post_init__(self) -> None:
        if self.every < 1:
            raise OptionError(f"console: every={self.every}, it must be at least 1")


class Console(Sink):
    """Prints one line an event to the standard output; the target "stderr" names the other one."""

    options = Options
    chosen: Options

    def __init__(self, target: str, options: Options) -> None:
        super().__init__(target, options)
        if target not in ("", "stdout", "stderr"):
            raise OptionError(f"console:{target} is no such place", hint="write console, or console:stderr")
        self._seen: dict[str, int] = {}
        self._labels: dict[str, list[str]] = {}
        self._printed = 0

    def open(self) -> None:
        """Nothing has to be opened; the stream is looked up at each line, as a program may replace it."""

    def deliver(self, event: Event) -> None:
        seen = self._seen.get(event.stream, 0)
        labels = [event.cause] if event.result is None else sorted(label for label, _ in event.result.findings())
        due = seen % self.chosen.every == 0
        if self.chosen.changes:
            due = due and labels != self._labels.get(event.stream)
        if due:
            self._print(line(event))
            self._labels[event.stream] = labels
            self._printed += 1
        self._seen[event.stream] = seen + 1

    def close(self) -> None:
        """Nothing to close: the standard output is not ours."""

    def facts(self) -> dict[str, float]:
        return {"printed": self._printed}

    def _print(self, text: str) -> None:
        out: TextIO = sys.stderr if self.target == "stderr" else sys.stdout
        try:
            out.write(text.encode(out.encoding or "utf-8", "replace").decode(out.encoding or "utf-8") + "\n")
            out.flush()
        except (OSError, ValueError) as error:  # a pipe whose reader left; a stream that was closed
            raise WriteError(f"{self} cannot be written: {error}") from error


def line(event: Event) -> str:
    """Return what is printed of an event: one line, safe for a terminal."""
    age = "age unknown" if event.age_ns is None else f"{event.age_ns / 1e6:.1f} ms"
    words = [str(event.to_dict()["time"]), event.stream, f"#{event.index}"]
    if event.part is not None:
        words.append(f"part {event.part}")
    words.append(age)
    words += [word for word, so in (("late", event.late), ("held", event.held)) if so]
    return printable("  ".join([*words, _found(event)]))


def _found(event: Event) -> str:
    if event.result is None:
        return f"no result: {event.cause or 'unknown'}"
    findings = event.result.findings()
    named = ", ".join(f"{label} {score:.2f}" for label, score in findings[:MOST_FINDINGS])
    more = f", and {len(findings) - MOST_FINDINGS} more" if len(findings) > MOST_FINDINGS else ""
    return named + more or "nothing"
