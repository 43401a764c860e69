"""The requests that wait for a version: bounded by the time they would wait, not by their number."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from piaccel.errors import ServiceError
from piaccel.serving.runner import Runner

COLD = 4
"""Requests that may wait for each runner while nobody knows how long a run takes."""
MOST = 512
"""That may wait however fast the version is: each holds a body."""
_FLOOR = 50
"""Every so many turns are the lowest waiting priority's, so that it does not starve."""
_SAMPLES = 128
_UNKNOWN_RETRY_S = 1.0


@dataclass(slots=True, eq=False)
class Waiting:
    """A request and whoever waits for its outcome. Times are CLOCK_MONOTONIC."""

    work: Callable[[Runner], Awaitable[Any]]
    priority: int
    deadline_ns: int
    since_ns: int
    outcome: asyncio.Future[Any]
    tries: int = 0
    """How many runners it has seen end."""
    timer: asyncio.TimerHandle | None = None
    queued: bool = False


class Pace:
    """How long a version takes for a request, over its last runs."""

    def __init__(self) -> None:
        self._last: deque[int] = deque(maxlen=_SAMPLES)
        self.p95_ns: int | None = None
        self.expected_ns: int | None = None
        """What to reckon with: the warm-up's run until there are others; None where nobody knows."""

    def add(self, ns: int) -> None:
        self._last.append(ns)
        self.p95_ns = self.expected_ns = sorted(self._last)[len(self._last) * 95 // 100]


class Queue:
    """Strict priority (1 is the highest) with a floor for the lowest; first come, first served within one."""

    def __init__(self) -> None:
        self.pace = Pace()
        self._classes: dict[int, deque[Waiting]] = {}
        self._passed_over = 0

    def __len__(self) -> int:
        return sum(map(len, self._classes.values()))

    def admit(self, waiting: Waiting, *, busy_ns: int | None, runners: int) -> None:
        """Let a request in, or refuse it at once: it would not be answered before its deadline.

        ``busy_ns`` is how long the next of the ``runners`` stays busy, None for a free one. Raises ServiceError.
        """
        left_ns = waiting.deadline_ns - waiting.since_ns
        if left_ns <= 0:
            raise ServiceError("deadline_exceeded", "the deadline had passed when the request came")
        if busy_ns is None and not len(self):  # always tried: only runs can tell that the version is fast again
            self._append(waiting)
            return
        needed_ns = self.needed_ns(waiting.priority, busy_ns or 0, runners)
        if needed_ns is None:
            if len(self) >= COLD * runners:
                raise _full(_UNKNOWN_RETRY_S)
        elif needed_ns > left_ns:
            raise _full((needed_ns - left_ns) / 1e9)
        if len(self) >= MOST:
            raise _full(_UNKNOWN_RETRY_S)
        self._append(waiting)

    def needed_ns(self, priority: int, busy_ns: int, runners: int) -> int | None:
        """How long a new request of this priority would take, nearly at worst; None where nobody knows yet."""
        if self.pace.expected_ns is None:
            return None
        ahead = sum(len(each) for rank, each in self._classes.items() if rank <= priority)
        return busy_ns + ahead * self.pace.expected_ns // runners + self.pace.expected_ns

    def take(self) -> Waiting | None:
        """The next request's turn."""
        ranks = sorted(rank for rank, each in self._classes.items() if each)
        if not ranks:
            return None
        self._passed_over = self._passed_over + 1 if len(ranks) > 1 else 0
        rank = ranks[0]
        if self._passed_over >= _FLOOR:
            self._passed_over, rank = 0, ranks[-1]
        waiting = self._classes[rank].popleft()
        waiting.queued = False
        return waiting

    def put_back(self, waiting: Waiting) -> None:
        """At the head of its class: a request whose runner ended."""
        waiting.queued = True
        self._classes[waiting.priority].appendleft(waiting)

    def drop(self, waiting: Waiting) -> bool:
        """Forget a request; False where it does not wait any more."""
        if not waiting.queued:
            return False
        waiting.queued = False
        self._classes[waiting.priority].remove(waiting)
        return True

    def empty(self) -> Iterator[Waiting]:
        """Take everything out, the most urgent first."""
        while waiting := self.take():
            yield waiting

    def _append(self, waiting: Waiting) -> None:
        waiting.queued = True
        self._classes.setdefault(waiting.priority, deque()).append(waiting)


def _full(retry_after_s: float) -> ServiceError:
    return ServiceError("unavailable", "too many requests wait for this model", retry_after_s=retry_after_s)
