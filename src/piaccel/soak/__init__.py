"""Constant load for minutes: how hot the board gets, when it throttles, and the rate that it can hold.

``run.soak`` drives the load and returns a ``Soak``; ``findings.find`` and ``verdict.judge`` derive all numbers from its
rows; ``report`` keeps it as JSON and ``html`` as a page.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

SCHEMA = "piaccel-soak/1"

Stage = Literal["idle", "load", "cool", "confirm"]
"""Before the load; the load; without load again; the load at the rate that the board should hold."""


@dataclass(frozen=True)
class Row:
    """A few seconds of one stage. None is what this machine has no sensor for, or what did not happen."""

    at_s: float
    """Its begin, since the first row's."""
    seconds: float
    stage: Stage
    temperature_c: float | None = None
    """Mean of the readings."""
    hottest_c: float | None = None
    clock_hz: float | None = None
    """Lowest reading."""
    throttled: int | None = None
    """All bits of ``get_throttled`` that any reading had."""
    under_voltage: bool | None = None
    fan_rpm: float | None = None
    power_w: float | None = None
    """Mean of the readings."""
    answers: int = 0
    errors: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    max_ms: float | None = None
    rss_bytes: int | None = None
    """Resident memory of the process that runs the model, where that is ours."""
    memory_available_bytes: float | None = None

    @property
    def rate_per_s(self) -> float:
        """Answers a second."""
        return self.answers / self.seconds if self.seconds else 0.0

    @property
    def end_s(self) -> float:
        return self.at_s + self.seconds


@dataclass(frozen=True)
class Plan:
    """How long and how hard. ``rate_per_s`` None is as fast as possible."""

    load_s: float = 1800.0
    idle_s: float = 30.0
    confirm_s: float = 600.0
    """How long the rate that the board should hold is tried after it throttled; 0 is not at all."""
    rate_per_s: float | None = None
    clients: int = 1
    sample_s: float = 1.0
    row_s: float = 5.0


@dataclass(frozen=True)
class Soak:
    """What was seen, with the conditions it was seen under."""

    created: str
    target: dict[str, Any]
    plan: Plan
    environment: dict[str, Any]
    """``board`` (what the machine is), ``versions``, ``cooling`` and ``ambient_c`` as the user states them."""
    rows: list[Row]
    limit_c: float | None
    """From here on this board throttles; None where nobody knows."""
    warmup_ms: float | None = None
    """The first answer, before the load."""
    confirmed_rate_per_s: float | None = None
    """The rate of the stage "confirm"; None where there was none."""
    errors: dict[str, int] = field(default_factory=dict)
    """What went wrong, and how often."""
    gave_up: str = ""
    """Why the load ended early: it only failed any more."""
    interrupted: bool = False
    sensors_note: str = ""
    """Why the board's sensors do not belong to what was loaded, where they do not."""
