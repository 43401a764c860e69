"""A model with an ordered list of backends: when one is missing, lost or busy, the next answers, and says so.

Those further up in the list are tried again with growing pauses, and the first that answers is taken back.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from piaccel import backends, config
from piaccel.errors import (
    CrashError,
    HangError,
    InferenceError,
    ModelError,
    OptionError,
    PiaccelError,
    UnavailableError,
)
from piaccel.frames import Frame, Geometry
from piaccel.models import Model, Status
from piaccel.tasks import Result
from piaccel.tensors import Array

LOST = (InferenceError, UnavailableError, CrashError, HangError)
"""Errors that say something of the device, and nothing of the picture or the model."""
PATIENCE_S = (1.0, 60.0)
"""Pauses between tries grow twofold from the first to the second."""

Open = Callable[[str, bool], Model]
"""Opens a backend by name; True when it was lost before and is to be tried whatever is remembered of it."""
_log = logging.getLogger("piaccel")


def order_of(text: str) -> tuple[str, ...]:
    """Read "hailo > edgetpu > litert". Raises OptionError for an empty name or one that comes twice."""
    names = tuple(name.strip() for name in text.split(">"))
    if not all(names) or len(set(names)) != len(names):
        raise OptionError(f"{text!r} is no list of backends", hint="write it as: hailo > edgetpu > litert")
    return names


def share_out(options: Sequence[str], names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Give each of the backends ``names`` those of the "key=value" options that it has.

    Raises OptionError for one that none of them has, or a wrong value.
    """
    given: dict[str, tuple[str, ...]] = {}
    known = {name: {each.name for each in fields(backends.get(name).options)} for name in names}
    for option in options:
        key = option.partition("=")[0].strip()
        takers = [name for name, keys in known.items() if key in keys]
        if not takers:
            keys = sorted(set().union(*known.values()))
            raise OptionError(f"no backend here has an option {key!r}", hint=f"the options are {', '.join(keys)}")
        for name in takers:
            given[name] = (*given.get(name, ()), option)
            config.options(backends.get(name).options, given[name])
    return given


class FallbackModel(Model):
    """At any time it is the model of the first backend in ``order`` that works. Not for several threads at once.

    ``open_backend`` may take its time; it is also called from a thread of ours, to take a backend back. Raises
    UnavailableError with the reason of each when none can be opened.
    """

    def __init__(
        self,
        order: Sequence[str],
        open_backend: Open,
        *,
        clock: Callable[[], float] = time.monotonic,
        patience_s: tuple[float, float] | None = None,
    ) -> None:
        self._keeper = _Keeper(tuple(order), open_backend, clock, patience_s or PATIENCE_S)
        self._become(self._keeper.open_from(0))

    def predict(self, frame: NDArray[np.uint8] | Frame) -> Result:
        """Answer one picture as ``Model.predict`` does; a backend that fails hands it on to the next.

        Raises InputError and ModelError as that does, and UnavailableError while no backend answers.
        """
        self.ready()
        while True:
            try:
                return super().predict(frame)
            except LOST as error:
                self.hand_on(error)

    def ready(self) -> None:
        if (returned := self._keeper.returned()) is not None:
            _close(self)
            self._become(returned)

    def hand_on(self, error: PiaccelError) -> None:
        keeper = self._keeper
        _close(self)
        try:
            self._become(keeper.next_after(error))
        except LOST:
            keeper.failed += 1
            raise
        keeper.handed_on = True

    def infer(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        self._keeper.check()
        return super().infer(feeds)

    def answer(self, outputs: Mapping[str, Array], geometry: Geometry) -> Result:
        result, keeper = super().answer(outputs, geometry), self._keeper
        keeper.retried += keeper.handed_on
        keeper.handed_on = False
        keeper.answered[self.backend] = keeper.answered.get(self.backend, 0) + 1
        return result

    def _become(self, model: Model) -> None:
        keeper = self._keeper
        vars(self).clear()
        vars(self).update(vars(model), _keeper=keeper)

    @property
    def status(self) -> Status:
        """Who answers, who should, why not, and how often who did."""
        return self._keeper.status()

    def close(self) -> None:
        """Stop trying and give back what the runtime holds. Idempotent."""
        self._keeper.stop()
        super().close()


class _Keeper:
    """Knows the list, who serves, why those before do not, and when they are tried again."""

    def __init__(
        self, order: tuple[str, ...], open_backend: Open, clock: Callable[[], float], patience_s: tuple[float, float]
    ) -> None:
        self._order = order
        self._open = open_backend
        self._clock = clock
        self._patience_s = patience_s
        self._place = 0
        self._reasons: dict[str, str] = {}
        self._wait_s = patience_s[0]
        self._due = 0.0
        self._trying = self._stopped = False
        self._back: tuple[int, Model] | None = None
        self._lock = threading.Lock()
        self.answered: dict[str, int] = {}
        self.retried = self.failed = 0
        self.handed_on = False
        """Whether a backend failed since the last answer."""

    def open_from(self, place: int) -> Model:
        """The model of the first backend from ``place`` on that opens. Raises UnavailableError when none does."""
        for number in range(place, len(self._order)):
            try:
                model = self._open(self._order[number], False)
            except (*LOST, ModelError) as error:
                self._lose(self._order[number], error)
                continue
            self._serve(number)
            return model
        self._place = len(self._order)
        raise self._nobody()

    def next_after(self, error: PiaccelError) -> Model:
        """The model of the first backend that opens behind the one that serves and failed."""
        if self._place < len(self._order):
            self._lose(self._order[self._place], error)
        return self.open_from(self._place + 1)

    def check(self) -> None:
        """Raise UnavailableError while no backend serves."""
        if self._place == len(self._order):
            raise self._nobody()

    def _nobody(self) -> UnavailableError:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in self._reasons.items())
        return UnavailableError(f"no backend of {' > '.join(self._order)} answers: {reasons}", hint="piaccel doctor")

    def _lose(self, name: str, error: PiaccelError) -> None:
        _log.warning("%s is lost: %s", name, error)
        self._reasons[name] = str(error)
        self._wait_s = self._patience_s[0]
        self._due = self._clock() + self._wait_s

    def _serve(self, place: int) -> None:
        self._place = place
        self._reasons.pop(self._order[place], None)
        if place:
            _log.warning("FALLBACK: %s answers in place of %s", self._order[place], self._order[0])

    def returned(self) -> Model | None:
        """A better backend's model once one works again; starts a try when it is due. Costs nothing otherwise."""
        if not self._place:
            return None
        with self._lock:
            if self._back is not None:
                (place, model), self._back = self._back, None
                _log.warning("%s is back", self._order[place])
                self._serve(place)
                return model
            if not self._trying and not self._stopped and self._clock() >= self._due:
                self._trying = True
                threading.Thread(target=self._try, name="piaccel-fallback", daemon=True).start()
        return None

    def _try(self) -> None:
        """Open the first that can be opened of those before the one that serves; runs in a thread of its own."""
        for place in range(self._place):
            model: Model | None = None
            try:
                model = self._open(self._order[place], True)
                model.predict(np.full((*model.preprocessing.size, 3), 127, np.uint8))  # a first one can take seconds
            except Exception as error:  # noqa: BLE001 - whatever it is, nobody looks at what a thread raises
                _log.info("%s is not back yet: %s", self._order[place], error)
                if model is not None:
                    _close(model)
                continue
            break
        else:
            place, model = -1, None
        with self._lock:
            self._trying = False
            if model is not None and not self._stopped:
                self._back, model = (place, model), None
            else:
                self._wait_s = min(2 * self._wait_s, self._patience_s[1])
                self._due = self._clock() + self._wait_s
        if model is not None:
            _close(model)

    def status(self) -> Status:
        waits = self._place > 0 and not self._trying and self._back is None
        return Status(
            self._order[self._place] if self._place < len(self._order) else "",
            wanted=self._order[0],
            reason=self._reasons.get(self._order[0], ""),
            retry_in_s=max(0.0, self._due - self._clock()) if waits else None,
            answered=dict(self.answered),
            retried=self.retried,
            failed=self.failed,
        )

    def stop(self) -> None:
        """Try no more; a try that is under way gives back what it opens."""
        with self._lock:
            self._stopped = True
            back, self._back = self._back, None
        if back is not None:
            _close(back[1])


def _close(model: Model) -> None:
    """A lost device may fail even at this; it is gone anyway."""
    try:
        Model.close(model)
    except Exception as error:  # noqa: BLE001 - runtimes raise anything
        _log.info("%s did not close: %s", model.backend, error)
