"""One camera seen by one model: the threads that take frames, answer them, and publish the results in order."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from piaccel.errors import PiaccelError
from piaccel.fallback import LOST
from piaccel.pipeline.brain import Brain, Place
from piaccel.pipeline.mailbox import Mailbox, Taken
from piaccel.pipeline.meter import Meter
from piaccel.pipeline.parts import Part, Triggered
from piaccel.pipeline.policies import Drop, Paced, Policy
from piaccel.pipeline.snapshot import StreamNumbers
from piaccel.sinks import Event
from piaccel.tasks import Result

PATIENCE_S = (0.5, 30.0)
"""Pauses before a model whose runtime failed is opened again: twofold from the first to the second."""
_log = logging.getLogger("piaccel")

Publish = Callable[[Event], None]
Follow = Callable[[Result, int | None, tuple[int, int] | None], Result]
"""Looks at results in the order of their frames, with the time of exposure and (height, width): a tracker."""


class Stream:
    """``think`` opens its models; it is called again when they fail, or when the heat ladder changes the rung."""

    def __init__(
        self,
        name: str,
        camera: str,
        policy_of: Callable[[Drop], Policy] | None,
        think: Callable[[Stream, int], Brain],
        publish: Publish,
        identify: Callable[[], str],
        *,
        title: str = "",
        parts: Mapping[str, Any] | None = None,
        follow: Follow | None = None,
        limit: int | None = None,
        deadline_ns: int | None = None,
        eager: bool = False,
        rungs: int = 1,
        rates: Mapping[int, float] | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.name = name
        self.camera = camera
        self.title = title
        self.meter = Meter(clock)
        self.rung = 0
        self.rungs = rungs
        self.ended = threading.Event()
        self.fatal: PiaccelError | None = None
        self._think = think
        self._publish = publish
        self._identify = identify
        self._follow = follow
        self._deadline_ns = deadline_ns
        self._eager = eager
        self._rates = rates or {}
        self._clock = clock
        make = policy_of or (lambda drop: Triggered(drop, self._missed, deadline_ns, **(parts or {})))
        self.mailbox = Mailbox(make, limit=limit, clock=clock)
        self.policy = self.mailbox.policy
        self._closing = threading.Event()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._brain: Brain | None = None
        self._change = threading.Lock()
        self._order = threading.Lock()
        self._next_ticket = 0
        self._done: dict[int, Event | None] = {}
        self._latest: Event | None = None
        self._given: Event | None = None
        self._running = 0
        self._error = ""

    def open(self) -> None:
        """Open the models. Raises what ``piaccel.load`` raises."""
        self._brain = self._think(self, 0)

    def start(self) -> None:
        assert self._brain is not None
        if isinstance(self.policy, Paced):
            self._threads.append(self._thread(self._pace, "pace"))
        for number in range(len(self._brain.places)):
            self._running += 1
            self._threads.append(self._thread(self._work, str(number), number))
        for thread in self._threads:
            thread.start()

    def stop(self, wait_s: float = 10.0) -> None:
        """Take no more frames, answer what is under way, and give the models back."""
        self._closing.set()
        self.mailbox.close()
        until = time.monotonic() + wait_s
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        if any(thread.is_alive() for thread in self._threads):
            _log.warning("%s: the model does not end; it is left behind", self.name)
        self._stopping.set()
        self.mailbox.abandon()
        if self._brain is not None and not any(thread.is_alive() for thread in self._threads):
            self._brain.close()

    def switch(self, rung: int) -> None:
        """Go over to another rung of the heat ladder: its models are opened beside the old ones, then take over.

        Called from a thread of its own. Raises what opening them raises; the old ones go on then.
        """
        brain = self._think(self, rung)
        with self._change:
            assert self._brain is not None
            if len(brain.places) != len(self._brain.places):
                brain.close()
                raise ValueError("a rung must have as many threads as the others")
            self._brain, self.rung = brain, rung
        rate = self._rates.get(rung)
        self.mailbox.gap_ns = round(1e9 / rate) if rate else 0
        self.mailbox.wake()

    @property
    def labels(self) -> frozenset[str]:
        """What its results can be labelled with; empty where a model has no labels, or labels of points."""
        assert self._brain is not None
        models = [engine.model for engine in self._brain.places[0].lane.engines()]
        if not all(model.labels and model.task.kind != "pose" for model in models):
            return frozenset()
        return frozenset(label for model in models for label in model.labels)

    @property
    def kind(self) -> str:
        """The kind of its results."""
        assert self._brain is not None
        return self._brain.places[0].lane.kind

    def numbers(self) -> StreamNumbers:
        counts, dropped, waiting = self.mailbox.numbers()
        meter = self.meter
        brain = self._brain
        model = brain.model if brain is not None else None
        status = model.status if model is not None else None
        return StreamNumbers(
            name=self.name,
            camera=self.camera,
            model=self.title,
            policy=self.policy.name,
            offered=counts.offered,
            answered=counts.answered,
            failed=counts.failed,
            dropped=dropped,
            waiting=waiting,
            published=meter.published,
            held=meter.held,
            missing=meter.missing,
            late=meter.late,
            deadline_ms=None if self._deadline_ns is None else self._deadline_ns / 1e6,
            rate=meter.rate(),
            age=meter.spread("age"),
            recent_age=meter.recent(),
            gap=meter.spread("gap"),
            stages={name: meter.spread(name) for name in meter.stages()},
            backend=status.backend if status else "",
            variant=model.variant.name if model is not None else "",
            wanted_backend=status.wanted if status else "",
            rung=self.rung if self.rungs > 1 else None,
            rungs=self.rungs,
            model_error=self._error or (status.reason if status else ""),
        )

    def _thread(self, target: Callable[..., None], name: str, *args: Any) -> threading.Thread:
        return threading.Thread(target=target, args=args, name=f"piaccel-{self.name}-{name}", daemon=True)

    def _work(self, number: int) -> None:
        """Answer frames until there are no more."""
        brain: Brain | None = None
        again: Taken | None = None
        try:
            while True:
                with self._change:
                    current = self._brain
                assert current is not None
                if current is not brain:
                    if brain is not None:
                        brain.left()
                    brain = current
                place = brain.places[number]
                taken = again or self._take(brain, place)
                if taken is not None:
                    again = self._answer(brain, place, taken, first=again is None)
                elif self._brain is brain or self._stopping.is_set():
                    return
        except Exception as error:  # noqa: BLE001 - nobody looks at what a thread raises
            self._break(error)
        finally:
            with self._order:
                self._running -= 1
                last = not self._running
            if last:
                self.mailbox.abandon()
                self._flush_last()
                self.ended.set()

    def _take(self, brain: Brain, place: Place) -> Taken | None:
        """Wait for a frame; None when there are no more, or other models are to be asked."""
        return self.mailbox.take(
            None if self._eager else place.seat.wait_ns, lambda: self._brain is not brain or self._stopping.is_set()
        )

    def _answer(self, brain: Brain, place: Place, taken: Taken, first: bool) -> Taken | None:
        """Answer a frame; return it where it is to be tried again with the models that are opened in place of these."""
        place.seat.taken(place.thread)
        stages = {"wait": taken.taken_ns - (taken.frame.exposed_ns or taken.taken_ns)}
        result: Result | None = None
        cause = ""
        failure: PiaccelError | None = None
        try:
            result = place.lane.answer(taken.frame.image, stages)
        except PiaccelError as error:
            cause, failure = str(error), error
        except Exception as error:  # noqa: BLE001 - one frame's trouble is not the end of a run of months
            cause = f"{type(error).__name__}: {' '.join(str(error).split())}"
        place.seat.answered(place.thread, stages.get("preprocess", 0))
        lost = isinstance(failure, LOST)
        if lost and first and brain.closed and not self._closing.is_set():  # another thread's frame found it broken
            return taken
        self.mailbox.done(taken, result is not None)
        self._finish(taken.ticket, self._event(brain, taken, result, cause, stages))
        if result is not None:
            self._error = ""
        else:
            self._complain(cause)
        if lost:
            self._reopen(brain)
        return None

    def _event(self, brain: Brain, taken: Taken, result: Result | None, cause: str, stages: Mapping[str, int]) -> Event:
        model, frame = brain.model, taken.frame
        now = self._clock()
        return Event(
            id=self._identify(),
            stream=self.name,
            index=frame.index,
            exposed_ns=frame.exposed_ns,
            published_ns=now,
            at=time.time() - (now - (frame.exposed_ns or now)) / 1e9,
            result=result,
            cause=cause,
            image=frame.image,
            model=model.bundle.name,
            variant=model.variant.name,
            backend=(result.backend if result is not None else None) or model.backend,
            stages_ns=stages,
            deadline_ns=self._deadline_ns,
            part=taken.part.number if taken.part is not None else None,
        )

    def _missed(self, part: Part, cause: str) -> None:
        """A part will have no result; called with the mailbox's lock held."""
        now = self._clock()
        event = Event(
            id=self._identify(),
            stream=self.name,
            index=-1,
            exposed_ns=part.due_ns,
            published_ns=now,
            at=time.time() - (now - part.due_ns) / 1e9,
            result=None,
            cause=cause,
            deadline_ns=self._deadline_ns,
            part=part.number,
        )
        self._finish(self.mailbox.ticket(), event)

    def _finish(self, ticket: int, event: Event | None) -> None:
        """Publish it in its turn."""
        with self._order:
            self._done[ticket] = event
            while self._next_ticket in self._done:
                following = self._done.pop(self._next_ticket)
                self._next_ticket += 1
                if following is not None:
                    self._emit(following)

    def _emit(self, event: Event) -> None:
        if self._follow is not None and event.result is not None:
            event = self._followed(event)
        if isinstance(self.policy, Paced):
            self._latest = event
        else:
            self._out(replace(event, published_ns=self._clock()))

    def _followed(self, event: Event) -> Event:
        assert self._follow is not None
        size = None if event.image is None else (event.image.shape[0], event.image.shape[1])
        return replace(event, result=self._follow(event.result, event.exposed_ns, size))  # type: ignore[arg-type]

    def _out(self, event: Event) -> None:
        self.meter.add(event)
        self._publish(event)

    def _pace(self) -> None:
        """Publish on the grid: the newest result, or the one before once more."""
        assert isinstance(self.policy, Paced)
        while not self._stopping.is_set() and not self.ended.is_set():
            now = self._clock()
            following = self.policy.tick_ns(now)
            if self.ended.wait((following - now) / 1e9):
                return
            with self._order:
                event, self._latest = self._latest, None
                if event is None and self._given is not None:
                    event = replace(self._given, id=self._identify(), held=True)
                if event is None:
                    continue
                self._given = event
                self._out(replace(event, published_ns=self._clock()))

    def _flush_last(self) -> None:
        with self._order:
            event, self._latest = self._latest, None
            if event is not None:
                self._out(replace(event, published_ns=self._clock()))

    def _complain(self, cause: str) -> None:
        if cause != self._error:
            _log.warning("%s: %s", self.name, cause)
        self._error = cause

    def _reopen(self, broken: Brain) -> None:
        """Open the models anew, with growing pauses, until it works or the run ends; other threads wait."""
        with self._change:
            if self._brain is not broken or self._closing.is_set():
                return
            broken.close(broken=True)  # an accelerator is had by one only: the lost one must let go of it
            pause_s = PATIENCE_S[0]
            while not self._closing.wait(pause_s):
                try:
                    self._brain = self._think(self, self.rung)
                except PiaccelError as error:
                    self._complain(str(error))
                    pause_s = min(2 * pause_s, PATIENCE_S[1])
                    continue
                _log.warning("%s: the model answers again", self.name)
                return

    def _break(self, error: Exception) -> None:
        text = f"{type(error).__name__}: {' '.join(str(error).split())}"
        _log.exception("%s stops: %s", self.name, text)
        self.fatal = error if isinstance(error, PiaccelError) else PiaccelError(f"{self.name} stops: {text}")
