"""A reject actuator on a GPIO pin: it fires when the part that was judged is in front of it, or not at all.

``gpio:17,reject=crack,delay=120ms,pulse=50ms``. The pulse begins at the frame's exposure plus ``delay``.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from piaccel import sinks
from piaccel.errors import OptionError, UnavailableError
from piaccel.sinks import Event, Rule
from piaccel.sinks._haste import ask_for_realtime, hurry, relax
from piaccel.sinks._pins import Line
from piaccel.sinks._timeline import Timeline

_log = logging.getLogger("piaccel")


@dataclass(frozen=True, kw_only=True)
class Options(sinks.Options):
    """``on`` hides all other events from the actuator; ``reject`` lets it see them all, which a watchdog needs."""

    reject: str = ""
    """Which results fire it, as in ``on``; "" every result that ``on`` lets through."""
    reject_min_score: float = 0.0
    """Findings below this score do not count for ``reject``."""
    delay_s: float | None = None
    """From the exposure until the part is at the actuator; None fires when the result comes (a lamp, a horn)."""
    pulse_s: float = 0.05
    tolerance_s: float = 0.005
    """A pulse that would begin later than this after its time is skipped: it would hit another part."""
    active_high: bool = True
    """false: the actuator works while the pin is low."""
    safe: Literal["off", "on"] = "off"
    """Level at the end, on an error, by the watchdog and until the first result: "on" is the actuator working."""
    watchdog_s: float = 0.0
    """Without a new result for this long the output goes to its safe level; 0 never."""
    fail_closed: bool = False
    """Also reject what nobody judged in time: events without a result of their own, or that missed their deadline."""
    heartbeat: int | str = ""
    """A second pin that changes its level with each new result, for a watchdog relay."""


class Gpio(sinks.Sink):
    """Its pin changes in a thread of its own, which is the only one that has to be on time."""

    options = Options
    delivery = "at most once"
    queue = 1000

    def __init__(self, target: str, options: sinks.Options) -> None:
        super().__init__(target, options)
        chosen = cast(Options, options)
        _check(target, chosen)
        self._chosen = chosen
        self._safe = chosen.safe == "on"
        self._rule = Rule.of(chosen.reject, chosen.reject_min_score)
        self._timeline = Timeline(
            pulse_ns=round(chosen.pulse_s * 1e9),
            tolerance_ns=round(chosen.tolerance_s * 1e9),
            watchdog_ns=round(chosen.watchdog_s * 1e9),
            safe=self._safe,
            fail_closed=chosen.fail_closed,
        )
        self._change = threading.Condition()
        self._counts: Counter[str] = Counter()
        self._line: Line | None = None
        self._heart: Line | None = None
        self._thread: threading.Thread | None = None
        self._error = ""
        self._stopping = self._ended = False
        self._beat = self._pulse = False
        self._realtime = False

    def open(self) -> None:
        """Claim the pins and set the safe level. Raises OptionError, or UnavailableError while a pin is held."""
        self._rest()
        if self._ended:
            raise OptionError(f"{self}: the program ends")
        chosen = self._chosen
        self._line = Line(self.target, active_high=chosen.active_high, active=self._safe)
        if chosen.heartbeat != "":
            self._heart = Line(str(chosen.heartbeat), active_high=True, active=False)
        self._error, self._stopping = "", False
        self._timeline.clear()
        atexit.register(self._end)
        self._thread = threading.Thread(target=self._run, name=f"piaccel-{self}", daemon=True)
        self._thread.start()

    def deliver(self, event: Event) -> None:
        """Schedule a pulse if the event asks for one. Raises UnavailableError when the output is lost."""
        now_ns = time.monotonic_ns()
        judged = event.result is not None and not event.held
        fail_closed = self._chosen.fail_closed
        rejected = self._rule.matches(event) if judged else fail_closed
        with self._change:
            self._check_alive()
            if judged:
                self._timeline.live(now_ns)
                self._beat = True
            else:
                self._counts["held" if event.held else "unjudged"] += 1
            if rejected or (fail_closed and event.late):
                self._schedule(event, now_ns)
            self._change.notify_all()

    def _schedule(self, event: Event, now_ns: int) -> None:
        delay_s = self._chosen.delay_s
        if delay_s is None:
            self._timeline.schedule(now_ns, now_ns)
        elif event.exposed_ns is not None and event.exposed_ns <= now_ns:
            self._timeline.schedule(event.exposed_ns + round(delay_s * 1e9), now_ns)
        else:  # no time, or one of another clock: nobody knows where the part is
            self._counts["untimed"] += 1
            if self._chosen.fail_closed:
                self._timeline.schedule(now_ns, now_ns)

    def tick(self) -> None:
        with self._change:
            self._check_alive()

    def flush(self, timeout_s: float) -> int:
        """Let the pulses that wait be given: their parts are on the belt. Returns how many were not."""
        with self._change:
            self._change.wait_for(lambda: not self._timeline.busy or self._stopping or self._error, timeout_s)
            return self._timeline.waiting

    def close(self) -> None:
        atexit.unregister(self._end)
        self._rest()

    def facts(self) -> Mapping[str, float]:
        """``realtime`` 1: the thread runs at SCHED_FIFO; ``max_lateness_ms``: of a pulse that waited for its time."""
        with self._change:
            line = self._timeline
            return {
                "fired": line.fired,
                "extended": line.extended,
                "late": line.late,
                "suppressed": line.suppressed,
                "held": self._counts["held"],
                "unjudged": self._counts["unjudged"],
                "untimed": self._counts["untimed"],
                "waiting": line.waiting,
                "watchdog_trips": line.watchdog_trips,
                "max_lateness_ms": line.max_lateness_ns / 1e6,
                "alive": int(line.alive),
                "realtime": int(self._realtime),
            }

    def _check_alive(self) -> None:
        if self._error or self._thread is None or not self._thread.is_alive():
            raise UnavailableError(f"{self}: {self._error or 'the output is closed'}")

    def _run(self) -> None:
        """Keep the output at its level until ``close``, whatever happens; then leave it safe."""
        self._realtime = ask_for_realtime()
        hurry()
        try:
            with self._change:
                while not self._stopping:
                    self._step(time.monotonic_ns())
                    next_ns = self._timeline.next_ns
                    self._change.wait(None if next_ns is None else max(0, next_ns - time.monotonic_ns()) / 1e9)
        except Exception as error:  # noqa: BLE001 - whatever it is, the output must not stay active
            self._error = f"the output failed: {error}"
        finally:
            self._make_safe()
            relax()

    def _step(self, now_ns: int) -> None:
        if self._line is not None:
            self._line.set(self._timeline.advance(now_ns))
        if self._beat and self._heart is not None:
            self._pulse = not self._pulse
            self._heart.set(self._pulse)
        self._beat = False
        self._change.notify_all()

    def _rest(self) -> None:
        """End the thread, leave the output at its safe level and let go of the pins."""
        with self._change:
            self._stopping = True
            self._change.notify_all()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(2)
            self._make_safe()
        lines = (self._line, self._heart)
        self._line = self._heart = None
        for line in lines:
            if line is not None:
                line.release()

    def _make_safe(self) -> None:
        for line, level in ((self._line, self._safe), (self._heart, False)):
            try:
                if line is not None:
                    line.set(level)
            except Exception as error:  # noqa: BLE001 - the other line must still be set
                _log.critical("%s: the safe level cannot be set: %s", self, error)

    def _end(self) -> None:
        """The interpreter ends and nobody has closed the sink."""
        self._ended = True
        self._rest()


def _check(target: str, chosen: Options) -> None:
    if not target:
        raise OptionError("gpio needs a pin", hint="write gpio:17,reject=crack,delay=120ms")
    filtered = bool(chosen.on or chosen.min_score)
    if not filtered and not chosen.reject:
        raise OptionError(
            "gpio is not told what fires it", hint="write reject=crack, reject=!good or reject=* (anything)"
        )
    if filtered and (chosen.watchdog_s or chosen.fail_closed or chosen.heartbeat != ""):
        raise OptionError(
            "gpio: with on= or min_score= the actuator does not see the other events,"
            " so that watchdog, fail_closed and heartbeat cannot work",
            hint="write reject=LABEL,reject_min_score=SCORE instead of on= and min_score=",
        )
    if chosen.pulse_s <= 0:
        raise OptionError("gpio: pulse must be longer than 0")
    if str(chosen.heartbeat) == target:
        raise OptionError(f"gpio: heartbeat and output are both pin {target}")
