"""A file that keeps the events a sink had to give up."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Mapping
from pathlib import Path

import msgspec

from piaccel.sinks import Event

MOST_BYTES = 100_000_000
"""The file grows no further: a broker that stays away must not fill the disk."""
_log = logging.getLogger("piaccel")


class DeadLetters:
    """Appends events as JSON lines from a thread of its own, so that a slow disk holds up nobody who gives one up."""

    def __init__(self, path: str, bound: int, *, most_bytes: int = MOST_BYTES) -> None:
        self._path = Path(path)
        self._bound = bound
        self._most_bytes = most_bytes
        self._waiting: deque[Event] = deque()
        self._change = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._written = self._lost = 0

    def put(self, event: Event) -> None:
        """Take an event; it is counted as lost when too many wait."""
        with self._change:
            if self._closed or len(self._waiting) >= self._bound:
                self._lost += 1
                return
            self._waiting.append(event.without_image())
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="piaccel-dead-letters", daemon=True)
                self._thread.start()
            self._change.notify()

    def close(self, timeout_s: float = 3.0) -> None:
        """Write what waits, for at most ``timeout_s``. Idempotent."""
        with self._change:
            self._closed = True
            self._change.notify()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def facts(self) -> Mapping[str, float]:
        with self._change:
            return {"dead_letters": self._written, "dead_letters_lost": self._lost}

    def _run(self) -> None:
        while True:
            with self._change:
                while not self._waiting and not self._closed:
                    self._change.wait()
                events = list(self._waiting)
                self._waiting.clear()
            if not events:
                return
            written = self._write(events)
            with self._change:
                self._written += written
                self._lost += len(events) - written

    def _write(self, events: list[Event]) -> int:
        """Append the events; return how many are in the file."""
        written = 0
        try:
            with open(self._path, "ab") as file:
                for event in events:
                    line = msgspec.json.encode(event.to_dict()) + b"\n"
                    if file.tell() + len(line) > self._most_bytes:
                        _log.error("%s is full: %d dead letters are lost", self._path, len(events) - written)
                        break
                    file.write(line)
                    file.flush()
                    written += 1
        except (OSError, TypeError, ValueError) as error:
            _log.error("%s: %d dead letters are lost: %s", self._path, len(events) - written, error)
        return written
