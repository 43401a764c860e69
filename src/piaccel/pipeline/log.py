"""Monitoring as JSON lines: one snapshot a period, in files of bounded size."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec

from piaccel.errors import OptionError
from piaccel.pipeline.masking import masked
from piaccel.pipeline.snapshot import Snapshot

_log = logging.getLogger("piaccel")


class JsonLines:
    """Appends ``snapshot()`` to ``path`` every ``period_s`` and once more at the end.

    A file that would grow over ``max_size_bytes`` becomes ``path.1`` (which becomes ``path.2`` ...); ``keep`` old files
    are kept. Lines hold no history: the lines are it. A disk that fails is a warning, and tried again next time.
    """

    def __init__(
        self,
        path: Path,
        snapshot: Callable[[], Snapshot],
        period_s: float = 10.0,
        *,
        max_size_bytes: int = 10_000_000,
        keep: int = 3,
    ) -> None:
        if period_s <= 0:
            raise OptionError(f"a log period of {period_s:g} s is not above 0", hint="such as log_period = '10s'")
        self._path = path
        self._snapshot = snapshot
        self._period_s = period_s
        self._max_size_bytes = max_size_bytes
        self._keep = keep
        self._failing = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="piaccel-log", daemon=True)

    def start(self) -> None:
        """Raises OptionError when the file cannot be written."""
        try:
            _end_line(self._path)
        except OSError as error:
            raise OptionError(
                f"{self._path}: the numbers cannot be written there: {error.strerror}",
                hint="name a file in a folder that exists and may be written",
            ) from error
        self._thread.start()

    def stop(self) -> None:
        """Write the last line and end. Idempotent."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join(10.0)

    def write(self) -> None:
        """Write one line now. Raises OSError."""
        line = masked(msgspec.json.encode(replace(self._snapshot(), history=())).decode()) + "\n"
        data = line.encode()
        if self._path.exists() and self._path.stat().st_size + len(data) > self._max_size_bytes:
            self._rotate()
        with self._path.open("ab") as file:
            file.write(data)

    def _run(self) -> None:
        over = False
        while not over:
            over = self._over.wait(self._period_s)
            try:
                self.write()
                self._failing = False
            except Exception as error:  # noqa: BLE001 - what watches must not die of what it watches
                if not self._failing:
                    _log.warning("%s: the numbers are not written: %s", self._path, error)
                self._failing = True

    def _rotate(self) -> None:
        for number in range(self._keep, 0, -1):
            old = self._path if number == 1 else self._numbered(number - 1)
            if old.exists():
                os.replace(old, self._numbered(number))
        if self._keep == 0:
            self._path.unlink()

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


def _end_line(path: Path) -> None:
    """End a line that a loss of power cut, so that the next one is whole."""
    with path.open("a+b") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
