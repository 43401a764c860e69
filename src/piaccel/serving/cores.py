"""The cores of this board, shared by the versions that are loaded."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from functools import cache


class Cores:
    """Threads that run at the same time are never more than the cores; versions that wait take turns.

    Used from the service's event loop only.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.busy = 0
        self._waiting: deque[Callable[[], None]] = deque()

    def take(self, threads: int | None, wake: Callable[[], None]) -> bool:
        """Take cores for a run; if not now, ``wake`` is called when it is worth asking again.

        A run of more threads than there are cores takes all of them, as does None: the runtime's own choice.
        """
        first = bool(self._waiting) and self._waiting[0] == wake
        if self.busy + self._need(threads) > self.total or (self._waiting and not first):
            if wake not in self._waiting:
                self._waiting.append(wake)
            return False
        if first:
            self._waiting.popleft()
        self.busy += self._need(threads)
        return True

    def give(self, threads: int | None) -> None:
        """Give back what ``take`` took."""
        self.busy -= self._need(threads)
        self._wake()

    def leave(self, wake: Callable[[], None]) -> None:
        """Do not wait any more."""
        if wake in self._waiting:
            self._waiting.remove(wake)
            self._wake()

    def _need(self, threads: int | None) -> int:
        return min(threads or self.total, self.total)

    def _wake(self) -> None:
        while self._waiting and self.busy < self.total:
            first = self._waiting[0]
            first()
            if self._waiting and self._waiting[0] == first:  # there is not enough for it: nobody overtakes
                return


@cache
def here() -> Cores:
    """Those of this process."""
    return Cores(len(os.sched_getaffinity(0)))
