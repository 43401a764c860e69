"""The seam between a camera, a file or a network stream and the frames it gives. One file here is one kind of source.

A text names a source (``piaccel.specs``): ``picamera``, ``usb:0,size=1280x720``, ``rtsp://camera/stream``, a file or a
folder, ``synthetic:fps=30``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Self

from piaccel import plugins, specs
from piaccel.errors import OptionError
from piaccel.frames import Frame


@dataclass(frozen=True, kw_only=True)
class Options:
    """What every source can be told; a kind's own options are a frozen dataclass that extends this one."""

    stall_s: float = 5.0
    """Longest silence; after it the source counts as lost and is opened again."""


class Source(ABC):
    """Where frames come from. One thread opens it, reads it and closes it; it can be opened again after ``close``.

    A kind whose frames come whether or not anybody takes them is ``live``: what is not read in time is lost in its
    driver. Others (files) wait.
    """

    options: ClassVar[type[Options]] = Options
    schemes: ClassVar[tuple[str, ...]] = ()
    """What else than its own name may stand before the colon: "rtsps"."""
    delivery_clock: str = "arrival"
    """What ``Frame.exposed_ns`` is taken from: "sensor" (the exposure itself), "schedule", or "arrival" (when the frame
    was handed over by the driver, which is later than its exposure)."""
    live: bool = True
    size: tuple[int, int] | None = None
    """(height, width) of its frames, known once it is open; it may change from frame to frame."""
    fps: float | None = None
    """The rate it says it has, known once it is open."""

    def __init__(self, target: str, options: Options) -> None:
        self.target = target
        self.chosen = options

    @classmethod
    def accepts(cls, target: str) -> bool:
        """Say whether a bare path or text without a kind is for this kind of source; looks only, opens nothing."""
        return False

    @abstractmethod
    def open(self) -> None:
        """Start giving frames.

        Raises NotFoundError and OptionError for what will never work, UnavailableError for what may work later.
        """

    @abstractmethod
    def read(self) -> Frame | None:
        """Wait for the next frame and return it, None at the end of a file.

        ``index`` counts from 0 at ``open`` and jumps where the source knows that frames were lost; ``exposed_ns`` is
        CLOCK_MONOTONIC. The image is the caller's: nobody writes into it while a reference to it lives (take it from a
        ``piaccel.frames.Pool``). Raises UnavailableError when the source is lost, or silent for ``stall_s``.
        """

    @abstractmethod
    def close(self) -> None:
        """Give back the device. Idempotent; must not fail for a device that is gone."""

    def __str__(self) -> str:
        return self.target or type(self).__module__.rpartition(".")[2]

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def names() -> tuple[str, ...]:
    """Return the names of all kinds."""
    return plugins.names("sources")


@cache
def get(name: str) -> type[Source]:
    """Return the kind called ``name``. Raises OptionError when there is none."""
    return plugins.load("sources", name, Source)  # type: ignore[type-abstract]


def make(given: str | Mapping[str, Any] | Source) -> Source:
    """Return the source that a text or a TOML table names; nothing is opened. Raises OptionError."""
    if isinstance(given, Source):
        return given
    spec = specs.parse(given, _kinds())
    name = spec.kind or next((name for name in names() if get(name).accepts(spec.target)), "")
    if not name:
        raise OptionError(
            f"no source is meant by {spec.target!r}",
            hint=f"give a file, a folder, a URL, or one of {', '.join(names())}",
        )
    kind = get(name)
    return kind(spec.target, specs.options(kind.options, name, spec.options))


@cache
def _kinds() -> dict[str, str]:
    return {scheme: name for name in names() for scheme in (name, *get(name).schemes)}
