"""Where log lines go out: a thread of their own writes them, so that who reads them slowly holds up nobody.

journald on a busy SD card stops reading for seconds, and a pipe that nobody reads is full after 64 KiB.
"""

from __future__ import annotations

import io
import os
import queue
import threading
from collections.abc import Callable
from typing import TextIO

MOST = 2000
"""Lines that may wait; more are left out and counted."""
PATIENCE_S = 2.0
"""How long ``stop`` waits for a reader."""


class Outlet:
    """Writes lines at once until ``start``, then in the thread until ``stop``."""

    def __init__(self, stream: TextIO, told: Callable[[int], None]) -> None:
        """``told`` is called with the number of lines that were left out, once there is room again."""
        self._stream = stream
        self._told = told
        self._lines: queue.Queue[str | None] = queue.Queue(MOST)
        self._thread: threading.Thread | None = None
        self._left_out = 0

    def start(self) -> None:
        self._thread = threading.Thread(target=self._work, name="piaccel-log", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what waits, as far as somebody reads it. Idempotent."""
        if self._thread is None:
            return
        try:
            self._lines.put(None, timeout=PATIENCE_S)
            self._thread.join(PATIENCE_S)
        except queue.Full:  # nobody reads: the thread ends with the process
            return
        finally:
            self._thread = None

    def put(self, line: str) -> None:
        if self._thread is None:
            self._write(line)
            return
        if self._left_out and not self._lines.full():
            count, self._left_out = self._left_out, 0
            self._told(count)
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self._left_out += 1

    def _work(self) -> None:
        while (line := self._lines.get()) is not None:
            self._write(line)

    def _write(self, line: str) -> None:
        try:
            self._send((line + "\n").encode())
        except (OSError, ValueError):  # it is closed or its disk full: no reason for a request to fail
            return

    def _send(self, data: bytes) -> None:
        try:
            number = self._stream.fileno()
        except io.UnsupportedOperation:  # memory
            self._stream.write(data.decode())
            return
        # Not through the stream: Python aborts at its end where a thread still holds the stream's lock.
        while data:
            data = data[os.write(number, data) :]
