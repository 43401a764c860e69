"""The seam between results and where they go. One file here is one kind of sink.

A text names a sink (``piaccel.specs``): ``console``, ``jsonl:results.jsonl,max_size=100MB``, ``mqtt://broker/line1``,
``gpio:17,on=crack,delay=120ms``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Literal

from piaccel import plugins, specs
from piaccel.errors import OptionError
from piaccel.sinks._event import Answer as Answer
from piaccel.sinks._event import Event as Event
from piaccel.sinks._rule import Rule as Rule

Delivery = Literal["at most once", "at least once"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What every sink can be told; a kind's own options are a frozen dataclass that extends this one."""

    on: str = ""
    """Which results it gets: "" all, "crack|hole" those with one of these labels, "!good" those without, "*" any."""
    min_score: float = 0.0
    """Findings below this score do not count for ``on``."""
    queue: int = 0
    """Events that may wait for it; 0 is the kind's own bound."""
    dead_letter: str = ""
    """A file that gets, as a JSON line each, the events that had to be given up."""


class Sink(ABC):
    """Where results go. All calls come from one thread, its own: it may block, and nothing else waits for it.

    ``open`` and ``deliver`` raise UnavailableError or WriteError for what may work later: it is tried again with
    growing pauses (at least once), or the event is given up and counted (at most once). Whatever else ``deliver``
    raises costs this event. OptionError and NotFoundError from ``open`` end the run: they never mend themselves.
    """

    options: ClassVar[type[Options]] = Options
    schemes: ClassVar[tuple[str, ...]] = ()
    """What else than its own name may stand before the colon: "mqtts"."""
    delivery: Delivery = "at least once"
    wants_image: ClassVar[bool] = False
    """Whether it needs the picture; others get events without one, so that a frame's memory is free again."""
    queue: ClassVar[int] = 10_000
    """Events that may wait; with pictures keep it small. When it is full the oldest is given up and counted."""
    tick_s: ClassVar[float] = 1.0
    """``tick`` is called at least so often."""

    def __init__(self, target: str, options: Options) -> None:
        self.target = target
        self.chosen = options

    @abstractmethod
    def open(self) -> None:
        """Connect. Called again after a failed ``deliver``; must clean up what an earlier ``open`` left."""

    @abstractmethod
    def deliver(self, event: Event) -> None:
        """Hand one event over."""

    def tick(self) -> None:  # noqa: B027 - most have nothing to do
        """Do what is due without an event: a heartbeat, a batch's commit, a watchdog. Raises as ``deliver`` does."""

    def flush(self, timeout_s: float) -> int:
        """Wait until what was delivered is safe (acknowledged, committed); return how many events are not."""
        return 0

    @abstractmethod
    def close(self) -> None:
        """Leave everything in a safe state: outputs at their fail-safe level, files whole. Idempotent."""

    def facts(self) -> Mapping[str, float]:
        """Counters of its own, for the monitor: {"late": 3}. May be read from another thread.

        "unconfirmed" has a meaning: so many of the events delivered last are not safe yet (not acknowledged, not
        committed). They count as sent when they are, and are delivered again when the sink fails before that.
        """
        return {}

    def __str__(self) -> str:
        name = type(self).__module__.rpartition(".")[2]
        return self.target if "://" in self.target else f"{name}:{self.target}".rstrip(":")


def names() -> tuple[str, ...]:
    """Return the names of all kinds."""
    return plugins.names("sinks")


@cache
def get(name: str) -> type[Sink]:
    """Return the kind called ``name``. Raises OptionError when there is none."""
    return plugins.load("sinks", name, Sink)  # type: ignore[type-abstract]


def make(given: str | Mapping[str, Any] | Sink) -> Sink:
    """Return the sink that a text or a TOML table names; nothing is opened. Raises OptionError."""
    if isinstance(given, Sink):
        return given
    spec = specs.parse(given, _kinds())
    if not spec.kind:
        raise OptionError(
            f"no sink is meant by {spec.target!r}", hint=f"write KIND:TARGET, kinds: {', '.join(names())}"
        )
    kind = get(spec.kind)
    return kind(spec.target, specs.options(kind.options, spec.kind, spec.options))


@cache
def _kinds() -> dict[str, str]:
    return {scheme: name for name in names() for scheme in (name, *get(name).schemes)}
