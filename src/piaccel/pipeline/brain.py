"""What answers a stream's frames: its models, and a lane for each thread that works for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from piaccel.models import Model
from piaccel.pipeline.engine import Engine
from piaccel.pipeline.lanes import Lane

_MARGIN = 1.3
"""A frame is taken so much earlier than preparing it takes, for its time varies."""
_WEIGHT = 0.1


class Seat:
    """A stream's place at one engine: while one frame is prepared for it no second is taken, and the next is taken just
    in time for the end of the run under way.
    """

    def __init__(self, engine: Engine, wake: Callable[[], None]) -> None:
        self.engine = engine
        self.wake = wake
        self._preparing: int | None = None
        """Which of the threads has a frame whose turn has not come."""
        self._prepare_ns = 0.0
        engine.when_free.append(wake)

    def wait_ns(self, now_ns: int) -> int:
        """For how long it is still too early to take a frame."""
        if self._preparing is not None:
            return 1_000_000_000
        return max(0, self.engine.remaining_ns(now_ns) - round(_MARGIN * self._prepare_ns))

    def taken(self, thread: int) -> None:
        """A thread has taken a frame."""
        self._preparing = thread

    def admitted(self, thread: int) -> None:
        """The turn of its frame at the model has come."""
        if self._preparing == thread:
            self._preparing = None
            self.wake()

    def answered(self, thread: int, prepare_ns: int) -> None:
        """Its frame is done, whether it came to its turn or not; it took so long to prepare."""
        self.admitted(thread)
        self._prepare_ns += (prepare_ns - self._prepare_ns) * (_WEIGHT if self._prepare_ns else 1.0)

    def leave(self) -> None:
        if self.wake in self.engine.when_free:
            self.engine.when_free.remove(self.wake)


@dataclass
class Place:
    """What one thread works with."""

    lane: Lane
    seat: Seat
    thread: int = 0


class Brain:
    """The places of a stream's threads. ``release(broken)`` gives the models back, which other streams may share."""

    def __init__(self, places: Sequence[Place], release: Callable[[bool], None]) -> None:
        self.places = list(places)
        self._release = release
        self._users = len(self.places)
        self._lock = threading.Lock()
        self._closed = False

    @property
    def model(self) -> Model:
        return self.places[0].lane.engines()[0].model

    @property
    def closed(self) -> bool:
        """Whether the models were given back, by the last thread or because they are broken."""
        return self._closed

    def left(self) -> None:
        """A thread works here no more; with the last one everything is given back."""
        with self._lock:
            self._users -= 1
            last = self._users == 0
        if last:
            self.close()

    def close(self, broken: bool = False) -> None:
        """Give the models back, as ``broken`` ones that nobody is to be given again. Idempotent."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        for place in self.places:
            place.seat.leave()
        self._release(broken)
