"""Where a camera's frames wait for a model: a policy, a lock, and the order of the results."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from piaccel.frames import Frame
from piaccel.pipeline.parts import Part, Triggered
from piaccel.pipeline.policies import Policy

_LONGEST_S = 0.5
"""Nobody waits longer without looking again."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A frame to answer. Results are published in the order of ``ticket``."""

    frame: Frame
    ticket: int
    taken_ns: int
    part: Part | None = None


@dataclass(slots=True)
class Counts:
    """``offered == answered + failed + sum(dropped.values()) + waiting`` at any moment."""

    offered: int = 0
    answered: int = 0
    failed: int = 0
    in_work: int = 0


class Mailbox:
    """One thread offers, any number take. ``policy_of(drop)`` makes the policy; ``missed(part, cause, ticket)`` tells
    of a part that will have no result."""

    def __init__(
        self,
        policy_of: Callable[[Callable[[Frame, str], None]], Policy],
        *,
        limit: int | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.policy = policy_of(self._dropped)
        self.gap_ns = 0
        """Least time from one take to the next: the heat ladder's rate."""
        self.every_frame_is_a_part = False
        self.counts = Counts()
        self.dropped: dict[str, int] = {}
        self._limit = limit
        self._clock = clock
        self._change = threading.Condition()
        self._tickets = 0
        self._taken_ns: int | None = None
        self._closed = False

    def offer(self, frame: Frame) -> bool:
        """Hand a frame over; waits while the policy is full. False when nothing is taken any more."""
        with self._change:
            while self.policy.full() and not self._closed:
                self._change.wait(_LONGEST_S)
            if self._closed:
                return False
            now = self._clock()
            self.counts.offered += 1
            if self.every_frame_is_a_part and isinstance(self.policy, Triggered):
                self.policy.announce(now if frame.exposed_ns is None else frame.exposed_ns)
            self.policy.offer(frame, now)
            self._change.notify_all()
            return True

    def announce(self, due_ns: int) -> None:
        """A trigger: a part will be there at ``due_ns``."""
        with self._change:
            if isinstance(self.policy, Triggered) and not self._closed:
                self.policy.announce(due_ns)
                self._change.notify_all()

    def take(self, wait_ns: Callable[[int], int] | None = None, stop: Callable[[], bool] | None = None) -> Taken | None:
        """Wait for the frame to answer next; None when there will be none, or ``stop`` says so.

        ``wait_ns(now)`` tells for how long it is still too early to take one; whoever changes that calls ``wake``.
        """
        with self._change:
            while True:
                if self._full_up() or (stop is not None and stop()):
                    return None
                now = self._clock()
                early = wait_ns(now) if wait_ns is not None else 0
                if self.gap_ns and self._taken_ns is not None:
                    early = max(early, self._taken_ns + self.gap_ns - now)
                if early <= 0:
                    frame = self.policy.take(now)
                    if frame is not None:
                        return self._take(frame, now)
                    if self._closed and not self.policy.waiting:
                        self.policy.clear("at the end")
                        return None
                    due = self.policy.due_ns(now)
                    early = 0 if due is None else max(due - now, 1)
                self._change.wait(min(early / 1e9, _LONGEST_S) if early else _LONGEST_S)

    def ticket(self) -> int:
        """The next place in the order of results. The caller holds the lock: it is asked from within a policy."""
        self._tickets += 1
        return self._tickets - 1

    def done(self, taken: Taken, answered: bool) -> None:
        """The frame has been answered, or has failed."""
        with self._change:
            now = self._clock()
            self.counts.in_work -= 1
            self.counts.answered += answered
            self.counts.failed += not answered
            self.policy.done(now, now - taken.taken_ns)
            self._change.notify_all()

    def wake(self) -> None:
        """Have those who wait look again."""
        with self._change:
            self._change.notify_all()

    def end(self) -> None:
        """No more frames come; what waits is still answered."""
        with self._change:
            self._closed = True
            self._change.notify_all()

    def close(self) -> None:
        """Take no more frames; what waits is still answered only under a policy that drops nothing."""
        with self._change:
            self._closed = True
            if self.policy.name not in ("every", "triggered"):
                self.policy.clear("at the end")
            self._change.notify_all()

    def abandon(self) -> None:
        """Drop what waits, too."""
        with self._change:
            self._closed = True
            self.policy.clear("at the end")
            self._change.notify_all()

    @property
    def waiting(self) -> int:
        return self.policy.waiting + self.counts.in_work

    def numbers(self) -> tuple[Counts, dict[str, int], int]:
        """(counts, dropped by cause, waiting), all of one moment."""
        with self._change:
            counts = self.counts
            copy = Counts(counts.offered, counts.answered, counts.failed, counts.in_work)
            return copy, dict(self.dropped), self.waiting

    def _full_up(self) -> bool:
        """Whether so many results were begun as were asked for."""
        if self._limit is None or self._tickets < self._limit:
            return False
        self._closed = True
        self.policy.clear("at the end")
        self._change.notify_all()
        return True

    def _take(self, frame: Frame, now: int) -> Taken:
        self.counts.in_work += 1
        self._taken_ns = now
        part = self.policy.taken if isinstance(self.policy, Triggered) else None
        self._change.notify_all()  # there is room again
        return Taken(frame, self.ticket(), now, part)

    def _dropped(self, frame: Frame, cause: str) -> None:
        self.dropped[cause] = self.dropped.get(cause, 0) + 1
