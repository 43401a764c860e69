"""Results as JSON lines in a file that is rotated, capped, and whole after a power cut."""

from __future__ import annotations

import json
from pathlib import Path

from piaccel.errors import OptionError
from piaccel.sinks import Event, _lines


class Jsonl(_lines.LinesSink):
    """Writes ``Event.to_dict()`` as one line of the file named by the target."""

    def __init__(self, target: str, options: _lines.Options) -> None:
        super().__init__(target, options)
        if not target:
            raise OptionError("jsonl needs a file", hint="write jsonl:results.jsonl")
        self._lines = _lines.Lines(Path(target), options, whole=_whole, ours=lambda line: line.startswith(b"{"))

    def deliver(self, event: Event) -> None:
        text = json.dumps(event.to_dict(), ensure_ascii=False, separators=(",", ":"))
        self._lines.add(text.encode("utf-8", "replace") + b"\n")


def _whole(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
