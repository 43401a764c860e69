"""Which frame is answered next, and which are dropped: the rules, without threads and clocks.

With exposures every T and a model that takes S (at most S_max):

* ``latest``: the newest frame waits, a newer one takes its place. Age at most T + S_max, rate 1/S or the camera's.
* ``fresh``: the first frame exposed after the previous result. Age at most S_max, rate lower: one exposure every
  ceil(S / T) T.
* ``paced``: a result on a fixed grid; work starts so that it ends just in time, and the last result is given again
  where it did not. Rate exact, age about S plus at most T.
* ``every``: first come, first served, nothing is dropped; the source waits while the queue is full. For files: with a
  live source that is too fast its driver loses frames, and the age is the queue's length times S.
* ``triggered``: one frame for each part that a trigger announced, in order; see ``parts.py``.

A policy is told of every frame (``offer``), gives one when it is asked (``take``), and is told when a result is there
(``done``). Not thread-safe: the mailbox locks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import ClassVar

from piaccel.errors import OptionError
from piaccel.frames import Frame

Drop = Callable[[Frame, str], None]
_SERVICE_SAMPLES = 64


class Policy(ABC):
    """``drop(frame, cause)`` is called for every frame that will not be answered."""

    name: ClassVar[str]
    ahead: ClassVar[bool] = True
    """Whether the next frame may be taken while another is still being answered."""

    def __init__(self, drop: Drop, deadline_ns: int | None = None) -> None:
        self.drop = drop
        self.deadline_ns = deadline_ns

    @property
    @abstractmethod
    def waiting(self) -> int:
        """How many frames wait."""

    @abstractmethod
    def offer(self, frame: Frame, now_ns: int) -> None:
        """Take note of a new frame."""

    @abstractmethod
    def take(self, now_ns: int) -> Frame | None:
        """Return the frame to answer now, None while there is none."""

    def due_ns(self, now_ns: int) -> int | None:
        """When ``take`` should be tried again though no frame came; None: not before one does."""
        return None

    def done(self, now_ns: int, service_ns: int) -> None:  # noqa: B027 - most need not know
        """A frame that was taken has been answered, ``service_ns`` after that."""

    def full(self) -> bool:
        """Whether the source has to wait."""
        return False

    def clear(self, cause: str) -> None:
        """Drop what waits."""
        while (frame := self._pop()) is not None:
            self.drop(frame, cause)

    @abstractmethod
    def _pop(self) -> Frame | None: ...

    def _expired(self, frame: Frame, now_ns: int) -> bool:
        """Whether the frame's deadline has passed; it is dropped then, before any work goes into it."""
        late = (
            self.deadline_ns is not None
            and frame.exposed_ns is not None
            and now_ns - frame.exposed_ns >= self.deadline_ns
        )
        if late:
            self.drop(frame, "expired")
        return late


class Latest(Policy):
    name = "latest"

    def __init__(self, drop: Drop, deadline_ns: int | None = None) -> None:
        super().__init__(drop, deadline_ns)
        self._slot: Frame | None = None

    @property
    def waiting(self) -> int:
        return int(self._slot is not None)

    def offer(self, frame: Frame, now_ns: int) -> None:
        if self._slot is not None:
            self.drop(self._slot, "overwritten")
        self._slot = frame

    def take(self, now_ns: int) -> Frame | None:
        frame = self._pop()
        return None if frame is None or self._expired(frame, now_ns) else frame

    def _pop(self) -> Frame | None:
        frame, self._slot = self._slot, None
        return frame


class Fresh(Latest):
    name = "fresh"
    ahead = False

    def __init__(self, drop: Drop, deadline_ns: int | None = None) -> None:
        super().__init__(drop, deadline_ns)
        self._since_ns: int | None = None
        """Since when the model has nothing to do; None while it works."""

    def offer(self, frame: Frame, now_ns: int) -> None:
        if self._since_ns is None or (frame.exposed_ns is not None and frame.exposed_ns < self._since_ns):
            self.drop(frame, "not fresh")
        else:
            super().offer(frame, now_ns)

    def take(self, now_ns: int) -> Frame | None:
        if self._since_ns is None:
            self._since_ns = now_ns
        frame = super().take(now_ns)
        if frame is not None:
            self._since_ns = None
        return frame

    def done(self, now_ns: int, service_ns: int) -> None:
        self._since_ns = now_ns


class Paced(Latest):
    name = "paced"
    ahead = False

    def __init__(self, drop: Drop, deadline_ns: int | None = None, period_ns: int = 100_000_000) -> None:
        super().__init__(drop, deadline_ns)
        if period_ns <= 0:
            raise OptionError("policy paced needs a period above 0", hint='such as period = "100ms"')
        self.period_ns = period_ns
        self._origin_ns: int | None = None
        self._aimed_ns = 0
        self._services: deque[int] = deque(maxlen=_SERVICE_SAMPLES)

    def tick_ns(self, now_ns: int) -> int:
        """The next point of the grid after ``now_ns``."""
        if self._origin_ns is None:
            self._origin_ns = now_ns
        return self._origin_ns + ((now_ns - self._origin_ns) // self.period_ns + 1) * self.period_ns

    def service_ns(self) -> int:
        """How long an answer takes: the 95th percentile of the last ones; half a period before there are any."""
        if not self._services:
            return self.period_ns // 2
        ordered = sorted(self._services)
        return ordered[min(len(ordered) * 95 // 100, len(ordered) - 1)]

    def due_ns(self, now_ns: int) -> int | None:
        aim = self._aim(now_ns)
        return max(now_ns, aim - self.service_ns())

    def take(self, now_ns: int) -> Frame | None:
        aim = self._aim(now_ns)
        if now_ns < aim - self.service_ns():
            return None
        frame = super().take(now_ns)
        if frame is not None:
            self._aimed_ns = aim
        return frame

    def done(self, now_ns: int, service_ns: int) -> None:
        self._services.append(service_ns)

    def _aim(self, now_ns: int) -> int:
        """The point that the next answer is for: the next one that no answer was begun for."""
        aim = self.tick_ns(now_ns)
        return aim if aim > self._aimed_ns else self._aimed_ns + self.period_ns


class Every(Policy):
    name = "every"

    def __init__(self, drop: Drop, deadline_ns: int | None = None, bound: int = 4) -> None:
        super().__init__(drop, deadline_ns)
        self._queue: deque[Frame] = deque()
        self._bound = bound

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def offer(self, frame: Frame, now_ns: int) -> None:
        self._queue.append(frame)

    def take(self, now_ns: int) -> Frame | None:
        while (frame := self._pop()) is not None:
            if not self._expired(frame, now_ns):
                return frame
        return None

    def full(self) -> bool:
        return len(self._queue) >= self._bound

    def _pop(self) -> Frame | None:
        return self._queue.popleft() if self._queue else None


NAMES = ("latest", "fresh", "paced", "every")


def make(name: str, drop: Drop, deadline_ns: int | None = None, *, period_ns: int | None = None) -> Policy:
    """Return the policy called ``name``; ``period_ns`` is for "paced". Raises OptionError."""
    if name not in NAMES:
        raise OptionError(f"no policy is called {name!r}", hint=f"choose from {', '.join(NAMES)}")
    if name == "paced":
        if period_ns is None:
            raise OptionError("policy paced needs the time between two results", hint="such as --period 100ms")
        return Paced(drop, deadline_ns, period_ns)
    if period_ns is not None:
        raise OptionError(f"a period is for policy paced, not for {name}", hint="leave it out, or --policy paced")
    kinds: dict[str, type[Policy]] = {"latest": Latest, "fresh": Fresh, "every": Every}
    return kinds[name](drop, deadline_ns)
