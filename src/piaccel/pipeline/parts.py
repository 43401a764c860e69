"""One result for each part on a conveyor, in order: frames are matched with parts that a trigger announced."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from piaccel.frames import Frame
from piaccel.pipeline.policies import Drop, Policy


@dataclass(frozen=True, slots=True)
class Part:
    """A part that has to be answered for."""

    number: int
    due_ns: int
    """When it is in front of the camera (CLOCK_MONOTONIC)."""


class Triggered(Policy):
    """The first frame exposed at ``due_ns`` or later is the part's; others are dropped ("no part").

    A part is missed when its frame does not come within ``patience_ns``, when too many wait, or when its frame expires:
    ``missed(part, cause)`` is called in the order of the parts, between those that are taken. A camera that is itself
    triggered needs no trigger here: every frame of it is a part (``announce`` is called with each frame's exposure).
    """

    name = "triggered"

    def __init__(
        self,
        drop: Drop,
        missed: Callable[[Part, str], None],
        deadline_ns: int | None = None,
        *,
        patience_ns: int = 500_000_000,
        early_ns: int = 0,
        bound: int = 16,
    ) -> None:
        super().__init__(drop, deadline_ns)
        self.missed = missed
        self._patience_ns = patience_ns
        self._early_ns = early_ns
        self._bound = bound
        self._parts: deque[tuple[Part, Frame | None]] = deque()
        self._count = 0
        self.taken: Part | None = None
        """The part whose frame ``take`` returned last."""

    @property
    def waiting(self) -> int:
        return sum(frame is not None for _, frame in self._parts)

    @property
    def expected(self) -> int:
        """Parts that were announced and are neither taken nor missed."""
        return len(self._parts)

    def announce(self, due_ns: int) -> Part:
        """A part will be in front of the camera at ``due_ns``. Parts come in order."""
        part = Part(self._count, due_ns)
        self._count += 1
        self._parts.append((part, None))
        if len(self._parts) > self._bound:
            self._miss_first("too many parts wait")
        return part

    def offer(self, frame: Frame, now_ns: int) -> None:
        exposed = now_ns if frame.exposed_ns is None else frame.exposed_ns
        for place, (part, taken) in enumerate(self._parts):
            if taken is not None:
                continue
            if exposed >= part.due_ns - self._early_ns and exposed - part.due_ns <= self._patience_ns:
                self._parts[place] = (part, frame)
                return
            if exposed < part.due_ns - self._early_ns:
                break
        self.drop(frame, "no part")

    def take(self, now_ns: int) -> Frame | None:
        while self._parts:
            part, frame = self._parts[0]
            if frame is None:
                if now_ns - part.due_ns <= self._patience_ns:
                    return None
                self._miss_first("no frame")
            elif self._expired(frame, now_ns):
                self._parts[0] = (part, None)
                self._miss_first("expired")
            else:
                self._parts.popleft()
                self.taken = part
                return frame
        return None

    def due_ns(self, now_ns: int) -> int | None:
        if not self._parts or self._parts[0][1] is not None:
            return None
        return max(now_ns, self._parts[0][0].due_ns + self._patience_ns + 1)

    def clear(self, cause: str) -> None:
        while self._parts:
            self._miss_first(cause)

    def _pop(self) -> Frame | None:
        return None

    def _miss_first(self, cause: str) -> None:
        part, frame = self._parts.popleft()
        if frame is not None:
            self.drop(frame, cause)
        self.missed(part, cause)
