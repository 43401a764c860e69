"""What is known of a running pipeline at one moment: plain data for the terminal, the page, Prometheus and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from piaccel.pipeline.outlet import OutletNumbers


@dataclass(frozen=True)
class Spread:
    """A distribution of durations; every number is None while nothing was counted."""

    count: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    mean_ms: float | None
    sd_ms: float | None


@dataclass(frozen=True)
class CameraNumbers:
    """How a source fares."""

    name: str
    source: str
    state: str
    """"opening", "running", "stalled", "lost" (tried again), "ended" or "broken"."""
    produced: int
    """Frames, those included that the source says it lost."""
    fps: float | None
    """Frames a second, over the last seconds."""
    lost: int
    """Frames that the source says were lost before anybody could read them."""
    reconnects: int
    restamped: int
    """Frames whose time went backwards or lay in the future: the time of arrival was taken."""
    resized: int
    """Times the size of the frames changed."""
    size: tuple[int, int] | None
    """(height, width)"""
    clock: str
    """What the time of exposure is taken from: sensor, schedule or arrival."""
    error: str = ""


@dataclass(frozen=True)
class StreamNumbers:
    """How a stream fares: one camera seen by one model. ``offered == answered + failed + sum(dropped) + waiting``."""

    name: str
    camera: str
    model: str
    policy: str
    offered: int
    """Frames that the camera offered to it."""
    answered: int
    failed: int
    """Frames that the model failed on."""
    dropped: Mapping[str, int]
    """By cause: "overwritten", "expired", "not fresh", "no part", "at the end", ..."""
    waiting: int
    """Frames that wait, or are being worked on."""
    published: int
    """Events: answered frames, results that were held and given again, parts without a result."""
    held: int
    missing: int
    """Parts that were published without a result (with a trigger)."""
    late: int
    """Results that missed the deadline."""
    deadline_ms: float | None
    rate: float | None
    """Results a second, over the last seconds."""
    age: Spread
    """Exposure to result, over the whole run."""
    recent_age: Spread
    """The same over the last seconds."""
    gap: Spread
    """From one result to the next; ``sd_ms`` is the jitter."""
    stages: Mapping[str, Spread]
    """wait (in the mailbox), preprocess, gate (for the accelerator's turn), inference, postprocess."""
    backend: str
    variant: str
    wanted_backend: str
    rung: int | None
    """Step of the heat ladder, 0 is the best; None without a ladder."""
    rungs: int
    model_error: str = ""
    """Why the model does not answer, or not where it should."""


@dataclass(frozen=True)
class Snapshot:
    """The whole pipeline."""

    at: float
    """UNIX time."""
    up_s: float
    cameras: tuple[CameraNumbers, ...]
    streams: tuple[StreamNumbers, ...]
    sinks: tuple[OutletNumbers, ...]
    board: Mapping[str, float | None]
    """Sensor readings by name (temperature_c, clock_hz, throttled, under_voltage, ...); None: not measurable here."""
    alarms: tuple[str, ...] = ()
    """What somebody should look at now: "under-voltage", "throttled", "sink mqtt://... fails: ..."."""
    steps: tuple[str, ...] = ()
    """The heat ladder's steps so far, newest last, in words with their time."""
    history: tuple[Mapping[str, float | None], ...] = field(default=())
    """A point each second, at most 300: at, temperature_c, and for each stream "NAME.rate", "NAME.age_p50_ms",
    "NAME.age_p95_ms", "NAME.dropped"."""
