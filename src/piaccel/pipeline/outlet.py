"""A sink with what keeps it from hurting anything else: its queue, its thread, its retries and its numbers."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from piaccel.errors import NotFoundError, OptionError, PiaccelError, UnavailableError, WriteError
from piaccel.sinks import Event, Rule, Sink

PATIENCE_S = (0.5, 30.0)
"""Pauses between tries grow twofold from the first to the second."""
_LATER = (UnavailableError, WriteError)
_log = logging.getLogger("piaccel")


@dataclass(frozen=True)
class OutletNumbers:
    """How a sink fares."""

    name: str
    delivery: str
    state: str
    """"opening", "open", "failing" (tried again), "closed" or "broken"."""
    offered: int
    """Events that its rule let through."""
    sent: int
    given_up: Mapping[str, int]
    """Events it never got, by cause."""
    retries: int
    queued: int
    lag_s: float | None
    """From publishing to delivery of the event sent last."""
    error: str = ""
    facts: Mapping[str, float] = field(default_factory=dict)


class Outlet:
    """Runs one sink. ``offer`` never blocks; ``stop`` drains for a while and closes the sink."""

    def __init__(self, sink: Sink, name: str = "", *, patience_s: tuple[float, float] = PATIENCE_S) -> None:
        self.sink = sink
        self.name = name or str(sink)
        self.fatal: PiaccelError | None = None
        """What ended it for good: an option or a file that will never do."""
        self._rule = Rule.of(sink.chosen.on, sink.chosen.min_score)
        self._bound = sink.chosen.queue or sink.queue
        self._patience_s = patience_s
        self._queue: deque[Event] = deque()
        self._change = threading.Condition()
        self._stop_at: float | None = None
        self._state, self._error = "opening", ""
        self._offered = self._sent = self._retries = 0
        self._given_up: dict[str, int] = {}
        self._lag_s: float | None = None
        self._busy = False
        self._thread = threading.Thread(target=self._run, name=f"piaccel-sink-{self.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def offer(self, event: Event) -> None:
        """Queue an event if it concerns this sink; gives up the oldest when the queue is full."""
        if not self._rule.matches(event):
            return
        if not self.sink.wants_image:
            event = event.without_image()
        lost: Event | None = None
        with self._change:
            self._offered += 1
            if self._state in ("closed", "broken"):
                lost = event
            else:
                if len(self._queue) >= self._bound:
                    lost = self._queue.popleft()
                self._queue.append(event)
                self._change.notify()
        if lost is not None:
            self._give_up(lost, "queue full" if lost is not event else "sink closed")

    def finish(self, drain_s: float = 5.0) -> None:
        """Have it deliver what waits for at most ``drain_s`` and end; does not wait for that."""
        with self._change:
            if self._stop_at is None:
                self._stop_at = time.monotonic() + drain_s
            self._change.notify_all()

    def stop(self, drain_s: float = 5.0) -> None:
        """Deliver what waits for at most ``drain_s``, then close the sink. Idempotent."""
        self.finish(drain_s)
        if self._thread.ident is not None:
            self._thread.join(drain_s + 5.0)
        if self._thread.is_alive():
            _log.warning("%s does not end; it is left behind", self.name)

    def numbers(self) -> OutletNumbers:
        with self._change:
            return OutletNumbers(
                self.name,
                self.sink.delivery,
                self._state,
                self._offered,
                self._sent,
                dict(self._given_up),
                self._retries,
                len(self._queue) + self._busy,
                self._lag_s,
                self._error,
                dict(self.sink.facts()),
            )

    def _run(self) -> None:
        try:
            self._serve()
        except (OptionError, NotFoundError) as error:
            self.fatal = error
            self._failed(error, "broken")
        finally:
            try:
                unsure = self.sink.flush(max(0.0, (self._stop_at or time.monotonic()) - time.monotonic()))
                if unsure:
                    self._count("not confirmed", unsure)
                    _log.warning("%s: %d events were sent but never confirmed", self.name, unsure)
            except Exception as error:  # noqa: BLE001 - a sink raises anything, and must be closed all the same
                _log.warning("%s does not flush: %s", self.name, error)
            try:
                self.sink.close()
            except Exception as error:  # noqa: BLE001 - nothing is left to do for it
                _log.warning("%s does not close: %s", self.name, error)
            with self._change:
                self._state = "broken" if self.fatal else "closed"
                left = list(self._queue)
                self._queue.clear()
            for event in left:
                self._give_up(event, "not delivered by the end")

    def _serve(self) -> None:
        pause_s, opened = self._patience_s[0], False
        while True:
            try:
                if not opened:
                    self.sink.open()
                    opened = True
                    self._recovered()
                self.sink.tick()
                event = self._next()
                if event is not None:
                    self._deliver(event)
                    pause_s = self._patience_s[0]
                elif self._stop_at is not None:
                    return
            except _LATER as error:
                opened = False
                self._failed(error, "failing")
                if self._pause(pause_s):
                    return
                pause_s = min(2 * pause_s, self._patience_s[1])

    def _next(self) -> Event | None:
        """Wait for an event until a tick is due; None when there is none."""
        with self._change:
            if not self._queue and self._stop_at is None:
                self._change.wait(self.sink.tick_s)
            if not self._queue:
                return None
            self._busy = True
            return self._queue.popleft()

    def _deliver(self, event: Event) -> None:
        try:
            self.sink.deliver(event)
        except _LATER as error:
            if self.sink.delivery == "at most once":
                self._give_up(event, "failed")
            else:
                self._put_back(event)
            raise error
        except Exception as error:  # noqa: BLE001 - it may be this event: the next gets its chance
            _log.warning("%s failed on event %s: %s", self.name, event.id, error)
            self._give_up(event, "failed")
        else:
            with self._change:
                self._sent += 1
                self._lag_s = (time.monotonic_ns() - event.published_ns) / 1e9
        finally:
            with self._change:
                self._busy = False

    def _put_back(self, event: Event) -> None:
        full = False
        with self._change:
            self._retries += 1
            full = len(self._queue) >= self._bound
            if not full:
                self._queue.appendleft(event)
        if full:  # while it was tried the queue filled, and it is the oldest
            self._give_up(event, "queue full")

    def _pause(self, pause_s: float) -> bool:
        """Wait before the next try; True when there is no time left for one."""
        until = time.monotonic() + pause_s
        with self._change:
            while (now := time.monotonic()) < until:
                if self._stop_at is not None and (not self._queue or now >= self._stop_at):
                    return True
                self._change.wait(min(until, self._stop_at or until) - now)
            return self._stop_at is not None and (not self._queue or time.monotonic() >= self._stop_at)

    def _give_up(self, event: Event, cause: str) -> None:
        self._count(cause, 1)
        if not self.sink.chosen.dead_letter:
            return
        try:
            with open(Path(self.sink.chosen.dead_letter), "a", encoding="utf-8") as file:
                file.write(json.dumps(event.to_dict()) + "\n")
        except OSError as error:
            self._count("dead letters lost", 1)
            _log.error("%s: the dead letter of %s is lost too: %s", self.name, event.id, error)

    def _count(self, cause: str, number: int) -> None:
        with self._change:
            count = self._given_up[cause] = self._given_up.get(cause, 0) + number
        if count & (count - 1) == 0:  # the first, second, fourth, eighth, ...
            _log.warning("%s: %d events given up: %s", self.name, count, cause)

    def _failed(self, error: PiaccelError, state: str) -> None:
        with self._change:
            was, self._state, self._error = self._error, state, str(error)
        if was != str(error):
            _log.warning("%s: %s%s", self.name, error, f" ({error.hint})" if error.hint else "")

    def _recovered(self) -> None:
        with self._change:
            was, self._state, self._error = self._error, "open", ""
        if was:
            _log.warning("%s works again", self.name)
