"""A policy on a virtual clock: what ages, gaps and drops it gives for a camera and a model of given speeds."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from piaccel.frames import Frame
from piaccel.pipeline.policies import Drop, Policy

_EMPTY = np.zeros((1, 1, 3), np.uint8)


@dataclass
class Simulated:
    """What happened, times in ns."""

    produced: int = 0
    answered: list[int] = field(default_factory=list)
    """Indices in the order of the results."""
    taken_ns: list[int] = field(default_factory=list)
    results_ns: list[int] = field(default_factory=list)
    ages_ns: list[int] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    waiting: int = 0
    """Frames that waited, or were worked on, at the end."""

    @property
    def gaps_ns(self) -> list[int]:
        return np.diff(self.results_ns).tolist()

    @property
    def rate(self) -> float:
        """Results a second."""
        span = self.results_ns[-1] - self.results_ns[0] if len(self.results_ns) > 1 else 0
        return (len(self.results_ns) - 1) / span * 1e9 if span else 0.0


def simulate(make: Callable[[Drop], Policy], exposures_ns: Iterable[int], service_ns: Callable[[], int]) -> Simulated:
    """Run one model behind the policy: frames arrive as they are exposed, an answer takes ``service_ns()``.

    A source that has to wait (``Policy.full``) offers its frame as soon as there is room.
    """
    seen = Simulated()
    policy = make(lambda frame, cause: seen.dropped.update([cause]))
    arrivals = iter(enumerate(exposures_ns))
    blocked: Frame | None = None
    busy: Frame | None = None
    began = now = 0
    events: list[tuple[int, int, str]] = []  # time, order among equal times, what
    following = next(arrivals, None)
    if following is not None:
        heapq.heappush(events, (following[1], 1, "frame"))
    while events:
        now, _, what = heapq.heappop(events)
        if what == "done":
            assert busy is not None
            assert busy.exposed_ns is not None
            seen.answered.append(busy.index)
            seen.results_ns.append(now)
            seen.ages_ns.append(now - busy.exposed_ns)
            busy = None
            policy.done(now, now - began)
        elif what == "frame":
            assert following is not None
            frame = Frame(_EMPTY, following[0], following[1])
            seen.produced += 1
            if policy.full():
                blocked = frame
            else:
                policy.offer(frame, now)
                following = _schedule(arrivals, events, now)
        if busy is None:
            busy = policy.take(now)
            if busy is not None:
                began = now
                seen.taken_ns.append(now)
                heapq.heappush(events, (now + service_ns(), 0, "done"))
            elif (due := policy.due_ns(now)) is not None and due > now and (following or blocked):
                heapq.heappush(events, (due, 2, "look"))
        if blocked is not None and not policy.full():
            policy.offer(blocked, now)
            blocked = None
            following = _schedule(arrivals, events, now)
    seen.waiting = policy.waiting + (busy is not None)
    return seen


def _schedule(
    arrivals: Iterable[tuple[int, int]], events: list[tuple[int, int, str]], now: int
) -> tuple[int, int] | None:
    following: tuple[int, int] | None = next(iter(arrivals), None)
    if following is not None:
        heapq.heappush(events, (max(following[1], now), 1, "frame"))
    return following
