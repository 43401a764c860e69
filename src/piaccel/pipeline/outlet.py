"""A sink with what keeps it from hurting anything else: its queue, its thread, its retries and its numbers."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from piaccel.errors import NotFoundError, OptionError, PiaccelError, UnavailableError, WriteError
from piaccel.pipeline._dead_letters import DeadLetters
from piaccel.sinks import Event, Rule, Sink

PATIENCE_S = (0.5, 30.0)
"""Pauses between tries grow twofold from the first to the second; each is shortened by up to a half, at random, so
that many boards do not come back to a server in the same instant."""
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
    """Events that are safe: confirmed, where the sink can tell."""
    given_up: Mapping[str, int]
    """Events it never got, by cause."""
    retries: int
    queued: int
    """Events that wait, or are under way and not confirmed; ``offered == sent + sum(given_up) + queued``."""
    lag_s: float | None
    """From publishing to delivery of the event sent last."""
    error: str = ""
    """Why it fails, or why it could not take the event before."""
    facts: Mapping[str, float] = field(default_factory=dict)


class Outlet:
    """Runs one sink. ``offer`` never blocks; ``stop`` drains for a while and closes the sink.

    A sink whose ``deliver`` returns before an event is safe says in ``facts()["unconfirmed"]`` how many of the events
    delivered last are not yet. They stay this outlet's: when the sink fails, all that it did not see confirmed are
    delivered again (at least once).
    """

    def __init__(self, sink: Sink, name: str = "", *, patience_s: tuple[float, float] = PATIENCE_S) -> None:
        self.sink = sink
        self.name = name or str(sink)
        self.fatal: PiaccelError | None = None
        """What ended it for good: an option or a file that will never do."""
        self._rule = Rule.of(sink.chosen.on, sink.chosen.min_score)
        self._bound = sink.chosen.queue or sink.queue
        self._patience_s = patience_s
        self._queue: deque[Event] = deque()
        self._unconfirmed: deque[Event] = deque()
        self._dead_letters = (
            DeadLetters(sink.chosen.dead_letter, self._bound + 1000) if sink.chosen.dead_letter else None
        )
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
        with self._change:
            self._offered += 1
            if self._state in ("closed", "broken"):
                self._give_up(event, "sink closed")
                return
            if len(self._queue) >= self._bound:
                self._give_up(self._queue.popleft(), "queue full")
            self._queue.append(event)
            self._change.notify()

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
                len(self._queue) + len(self._unconfirmed) + self._busy,
                self._lag_s,
                self._error,
                {**self.sink.facts(), **(self._dead_letters.facts() if self._dead_letters else {})},
            )

    def _run(self) -> None:
        try:
            self._serve()
        except (OptionError, NotFoundError) as error:
            self._broken(error)
        except Exception as error:  # noqa: BLE001 - another package's sink: its end is told, never silent
            self._broken(UnavailableError(f"{self.name} ended: {type(error).__name__}: {error}"))
        finally:
            self._confirm_last()
            try:
                self.sink.close()
            except Exception as error:  # noqa: BLE001 - nothing is left to do for it
                _log.warning("%s does not close: %s", self.name, error)
            with self._change:
                self._state = "broken" if self.fatal else "closed"
                left = len(self._queue)
                while self._queue:
                    self._give_up(self._queue.popleft(), "not delivered by the end", quietly=True)
            if left:
                _log.warning("%s: %d events not delivered by the end", self.name, left)
            if self._dead_letters is not None:
                self._dead_letters.close()

    def _serve(self) -> None:
        pause_s, opened = self._patience_s[0], False
        while True:
            try:
                if not opened:
                    self.sink.open()
                    opened = True
                    if not self._queue:
                        self._works()
                self.sink.tick()
                self._confirm(self._under_way())
                event = self._next()
                if event is not None:
                    self._deliver(event)
                    pause_s = self._patience_s[0]
                elif self._stop_at is not None:
                    left_s = self._stop_at - time.monotonic()
                    if not self._unconfirmed or left_s <= 0:
                        return
                    self._confirm(self.sink.flush(min(left_s, self.sink.tick_s)))
            except _LATER as error:
                opened = False
                self._take_back()
                self._failed(error, "failing")
                wait_s = pause_s * random.uniform(0.5, 1.0)
                if isinstance(error, UnavailableError) and error.retry_after_s is not None:
                    wait_s = max(wait_s, error.retry_after_s)
                if self._pause(wait_s):
                    return
                pause_s = min(2 * pause_s, self._patience_s[1])

    def _next(self) -> Event | None:
        """Wait for an event until a tick is due; None when there is none, or no time left for one."""
        with self._change:
            if not self._queue and self._stop_at is None:
                self._change.wait(self.sink.tick_s)
            if not self._queue or (self._stop_at is not None and time.monotonic() >= self._stop_at):
                return None
            self._busy = True
            return self._queue.popleft()

    def _deliver(self, event: Event) -> None:
        try:
            self.sink.deliver(event)
        except _LATER as error:
            with self._change:
                self._busy = False
                self._unconfirmed.append(event)
            raise error
        except Exception as error:  # noqa: BLE001 - it may be this event: the next gets its chance
            self._failed(error, "open")
            with self._change:
                self._busy = False
                self._give_up(event, "failed")
        else:
            with self._change:
                self._busy = False
                self._unconfirmed.append(event)
                self._lag_s = (time.monotonic_ns() - event.published_ns) / 1e9
            self._confirm(self._under_way())
            self._works()

    def _under_way(self) -> int:
        return int(self.sink.facts().get("unconfirmed", 0))

    def _confirm(self, under_way: int) -> None:
        """Count as sent what was delivered before the last ``under_way`` events."""
        with self._change:
            while len(self._unconfirmed) > under_way:
                self._unconfirmed.popleft()
                self._sent += 1

    def _confirm_last(self) -> None:
        try:
            unsure = self.sink.flush(max(0.0, (self._stop_at or time.monotonic()) - time.monotonic()))
        except Exception as error:  # noqa: BLE001 - a sink raises anything, and must be closed all the same
            _log.warning("%s does not flush: %s", self.name, error)
            unsure = len(self._unconfirmed)
        self._confirm(unsure)
        with self._change:
            earlier = unsure - len(self._unconfirmed)  # those of a sink that tells only when it is flushed
            self._sent -= earlier
            self._count("not confirmed", earlier)
            while self._unconfirmed:
                self._give_up(self._unconfirmed.popleft(), "not confirmed")

    def _take_back(self) -> None:
        """Queue again, in their order, the events that the sink may have lost; at most once they are given up."""
        with self._change:
            while self._unconfirmed:
                event = self._unconfirmed.pop()
                if self.sink.delivery == "at most once":
                    self._give_up(event, "failed")
                    continue
                self._retries += 1
                if len(self._queue) < self._bound:
                    self._queue.appendleft(event)
                else:  # meanwhile the queue filled, and this one is older
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

    def _give_up(self, event: Event, cause: str, quietly: bool = False) -> None:
        self._count(cause, 1, quietly)
        if self._dead_letters is not None:
            self._dead_letters.put(event)

    def _count(self, cause: str, number: int, quietly: bool = False) -> None:
        if not number:
            return
        with self._change:
            count = self._given_up[cause] = self._given_up.get(cause, 0) + number
        if count & (count - 1) == 0 and not quietly:  # the first, second, fourth, eighth, ...
            _log.warning("%s: %d events given up: %s", self.name, count, cause)

    def _broken(self, error: PiaccelError) -> None:
        self.fatal = error
        self._failed(error, "broken")

    def _failed(self, error: Exception, state: str) -> None:
        text = str(error) if isinstance(error, PiaccelError) else f"{type(error).__name__}: {error}"
        with self._change:
            was, self._state, self._error = self._error, state, text
        if was != text:
            hint = error.hint if isinstance(error, PiaccelError) else ""
            _log.warning("%s: %s%s", self.name, text, f" ({hint})" if hint else "")

    def _works(self) -> None:
        with self._change:
            was, self._state, self._error = self._error, "open", ""
        if was:
            _log.warning("%s works again", self.name)
