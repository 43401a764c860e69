"""Who may use the cores or the accelerator next, where several streams share them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Gate:
    """Lets so much work in at once as there is ``capacity``, and shares the time fairly.

    Of those who wait, the one that has used the least time goes first (start-time fair queueing: who comes back after
    a pause starts level with the others and has saved nothing up). Nobody overtakes the one whose turn it is, also not
    with less work: no one starves. A stream that prepares ahead always has a frame waiting, so that two such streams
    get the same time; of two that come back only after their turn each gets every other turn.
    """

    def __init__(self, capacity: int = 1, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self.capacity = capacity
        self._free = capacity
        self._clock = clock
        self._lock = threading.Lock()
        self._used: dict[str, int] = {}
        self._waiting: list[tuple[str, int, threading.Event]] = []
        self._level = 0

    @contextmanager
    def turn(self, who: str, units: int = 1) -> Iterator[None]:
        """Wait for a turn of ``units`` (all of the capacity at most), and count its time as used by ``who``."""
        units = min(units, self.capacity)
        self._enter(who, units)
        begin = self._clock()
        try:
            yield
        finally:
            self._leave(who, units, (self._clock() - begin) * units)

    def used_ns(self) -> dict[str, int]:
        """How long each has used it, with the credit of those who came later or paused."""
        with self._lock:
            return dict(self._used)

    def _enter(self, who: str, units: int) -> None:
        with self._lock:
            self._used[who] = max(self._used.get(who, 0), self._level)
            if not self._waiting and self._free >= units:
                self._free -= units
                self._level = max(self._level, self._used[who])
                return
            admitted = threading.Event()
            self._waiting.append((who, units, admitted))
            self._admit()
        admitted.wait()

    def _leave(self, who: str, units: int, used_ns: int) -> None:
        with self._lock:
            self._free += units
            self._used[who] += used_ns
            self._admit()

    def _admit(self) -> None:
        while self._waiting:
            following = min(self._waiting, key=lambda each: self._used[each[0]])
            who, units, admitted = following
            if self._free < units:
                return
            self._level = max(self._level, self._used[who])
            self._free -= units
            self._waiting.remove(following)
            admitted.set()
