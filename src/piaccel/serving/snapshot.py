"""Everything known of a running service at a moment: what metrics, health, the dashboard and the command line show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

State = Literal["READY", "LOADING", "UNLOADING", "UNAVAILABLE"]
"""Triton's words for the repository index."""
Stage = Literal[
    "staged", "verifying", "verified", "probation", "committed", "standby", "shadow", "draining", "unloaded",
    "quarantined",
]  # fmt: skip
"""Ours: where a version stands on its way in or out. "standby" is loaded and answers only who names it."""


@dataclass(frozen=True, kw_only=True)
class VersionNumbers:
    """One version. Durations in ms over the last minutes, counts since it was loaded; None is unknown."""

    version: str
    state: State
    stage: Stage
    reason: str = ""
    """Why it is in quarantine, or unavailable."""
    digest: str = ""
    labels: tuple[str, ...] = ()
    share: float = 0.0
    """Of the requests that name no version."""
    backend: str = ""
    variant: str = ""
    """Who answers now; another than the first choice while the board is hot."""
    threads: int | None = None
    why: str = ""
    kind: str = ""
    pid: int | None = None
    memory_bytes: int | None = None
    loaded_at: float | None = None
    """Unix time."""
    last_request_at: float | None = None
    succeeded: int = 0
    failed: Mapping[str, int] = field(default_factory=dict)
    """By ServiceError.kind."""
    runs: int = 0
    queued: int = 0
    running: int = 0
    rate: float | None = None
    """Answers a second, over the last ten seconds."""
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    queue_ns: int = 0
    input_ns: int = 0
    infer_ns: int = 0
    output_ns: int = 0
    total_ns: int = 0
    """Cumulative, over the succeeded requests (statistics extension); ``failed_ns`` over the others."""
    failed_ns: int = 0
    crashes: int = 0
    hangs: int = 0
    cancelled: int = 0
    agreement: float | None = None
    """Share of compared answers that agreed with the serving version's."""
    compared: int = 0
    golden_at: float | None = None
    probation_left: int | None = None
    """Requests until it is committed; None when it is not on probation."""


@dataclass(frozen=True, kw_only=True)
class ModelNumbers:
    """One model: its versions, newest first."""

    name: str
    ready: bool
    required: bool
    serving: str = ""
    """The version that answers who names none; "" for none."""
    previous: str = ""
    """What a rollback would bring back."""
    swapping: str = ""
    """The version on its way in."""
    rung: int = 0
    """Step of the heat ladder."""
    rungs: int = 1
    versions: tuple[VersionNumbers, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Happening:
    """Something worth a line in the log."""

    at: float
    """Unix time."""
    what: str
    """loaded, promoted, committed, rolled back, quarantined, unloaded, step, crash, hang, alarm, ..."""
    model: str = ""
    version: str = ""
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class ServiceNumbers:
    """The whole service."""

    name: str
    software: str
    """piaccel's version."""
    started_at: float
    uptime_s: float
    live: bool
    ready: bool
    reasons: tuple[str, ...] = ()
    """Why it is not ready, or what an owner should know of."""
    draining: bool = False
    repository_api: bool = False
    models: tuple[ModelNumbers, ...] = ()
    board: Mapping[str, float | None] = field(default_factory=dict)
    """Readings of ``piaccel.device.sensors`` by name; None where the machine lacks the sensor."""
    throttled: tuple[str, ...] = ()
    """What the firmware says holds now, in words."""
    alarms: tuple[str, ...] = ()
    memory_bytes: int = 0
    """Resident, the service's own process."""
    connections: int = 0
    disk_free_bytes: int | None = None
    read_only: bool = False
    happenings: tuple[Happening, ...] = ()
    """The last hundred, newest first."""
