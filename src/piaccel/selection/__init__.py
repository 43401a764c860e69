"""What to run on this board: the ways to run some models, measured, and which of them meets the limits best.

Plain data. A ``Figure`` never stands without the word for how it was come by; None is "unknown".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

SCHEMA = "piaccel.choice/1"

Prefer = Literal["accuracy", "speed", "memory", "power"]
PREFERENCES: tuple[Prefer, ...] = ("accuracy", "speed", "memory", "power")


@dataclass(frozen=True)
class Figure:
    """A number and how it was come by. ``value`` None: unknown, ``how`` says why."""

    value: float | None
    how: str
    basis: str = ""
    """Accuracies of the same basis may be compared: the same pictures, or the same published test."""


@dataclass(frozen=True)
class Option:
    """One way to run one model: a variant in a backend with a number of threads."""

    model: str
    path: str
    variant: str
    backend: str
    threads: int
    figures: dict[str, Figure]
    """By the keys of ``limits.KINDS``: latency_p99_ms, fps, accuracy, accuracy_drop, memory_bytes, temp_c, power_w."""
    samples: int = 0
    """How many latencies the figures come from."""
    round: int = 1
    """The last round in which it was measured."""
    backend_options: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        return f"{self.model}: {self.variant} on {self.backend}, {threads}"

    def value(self, key: str) -> float | None:
        """Return a figure's number, None where it is unknown or was never asked for."""
        return self.figures[key].value if key in self.figures else None


@dataclass(frozen=True)
class LeftOut:
    """What was not taken to the end, and why."""

    name: str
    why: str
    round: int = 0
    """0: before anything was measured."""
    hint: str = ""


@dataclass(frozen=True)
class Change:
    """A limit that would let ``option`` in if it were ``bound``."""

    limit: str
    bound: float
    text: str
    option: str


@dataclass(frozen=True)
class Selection:
    """The answer. ``pick`` is None where nothing fits; ``unjudged`` are the limits that no one could judge for it."""

    options: list[Option]
    """Those measured to the end."""
    front: list[str]
    """The names of the options that no other beats in everything."""
    pick: Option | None
    why: str
    prefer: Prefer
    limits: dict[str, str]
    """As they were understood: the option of the command line, and its bound."""
    unjudged: list[str] = field(default_factory=list)
    fits: bool = False
    """Whether the pick meets all limits, or those that can be judged where the caller allows the unknown."""
    ruled_out: dict[str, int] = field(default_factory=dict)
    """How many options each limit rules out."""
    changes: list[Change] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    board: str = ""
    created: str = ""
    """UTC, ISO 8601."""
    interrupted: bool = False
    schema: str = SCHEMA
