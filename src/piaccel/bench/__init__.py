"""What a benchmark is made of: measurements with every raw sample, their conditions, and a verdict on each.

Statistics are computed from the samples, never stored alone (``piaccel.bench.statistics``). All of this is plain data
that a report's JSON holds as it is; ``SCHEMA`` names its version.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

SCHEMA = "piaccel.report/1"

Scenario = Literal["single-stream", "multi-stream", "offline", "server", "camera"]
STAGES = ("wait", "decode", "preprocess", "inference", "postprocess")


@dataclass(frozen=True)
class Series:
    """A sensor read through one repeat; None where it could not be read.

    ``at_ns`` is since the start of the whole benchmark (CLOCK_MONOTONIC): the repeats lie on one time line.
    """

    name: str
    unit: str
    at_ns: list[int]
    values: list[float | None]


@dataclass(frozen=True)
class Repeat:
    """One fresh child process: what it took to load, to warm up, and every sample after that."""

    load_ns: int
    first_ns: int
    """The first inference, which often allocates and compiles."""
    warmup_ns: list[int]
    latency_ns: list[int]
    """Inference alone, each query: a query is one sample, or ``Measurement.samples_per_query`` of them. Scenario
    camera: the age of each result, from the frame's exposure until it was published."""
    duration_ns: int
    """Wall time of the measured part: ``len(latency_ns) * samples_per_query / duration_ns`` is the throughput."""
    started_ns: int = 0
    """When the measured part began, since the start of the whole benchmark."""
    timer_ns: int = 0
    """What reading the clock twice costs; it is contained in each sample."""
    stages_ns: dict[str, list[int]] = field(default_factory=dict)
    """End to end with a picture or a camera: a list for each of STAGES that there is, else empty."""
    cpu_ns: int = 0
    """CPU time (user and system, all threads) of the measured part."""
    rss_peak_bytes: int | None = None
    other_load: float | None = None
    """Cores kept busy by other processes during the measured part."""
    series: list[Series] = field(default_factory=list)
    server: dict[str, Any] | None = None
    """Scenario server: ``rate_per_s`` (None when no rate met the bound) and ``tried``, see ``scenarios.find_rate``."""
    camera: dict[str, Any] | None = None
    """Scenario camera: what became of the frames: source, clock, fps, size, produced, lost, offered, answered, failed,
    dropped (by cause), reconnects, restamped, late, and ``gap_ns``, every time between two results."""


@dataclass(frozen=True)
class Agreement:
    """How far a runtime's outputs lie from the reference runtime's, on the same inputs."""

    agrees: bool
    cosine: float | None
    """Smallest cosine similarity over outputs and inputs, dequantized; None where the shapes do not match."""
    max_abs_error: float | None
    """Largest difference, in the outputs' own unit (classification: in scores); None as for ``cosine``."""
    same_answer: bool
    """Same top-1, or the same boxes (IoU), mask or keypoints."""
    detail: str = ""
    """In words, where it does not agree."""


@dataclass(frozen=True)
class Verdict:
    """Whether a measurement is valid, and if not, why."""

    valid: bool
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Measurement:
    """One variant in one backend with one thread count in one scenario."""

    backend: str
    version: str | None
    variant: str
    precision: str
    threads: int
    scenario: Scenario
    samples_per_query: int = 1
    options: dict[str, Any] = field(default_factory=dict)
    repeats: list[Repeat] = field(default_factory=list)
    agreement: Agreement | None = None
    """None where nothing was compared."""
    verdict: Verdict = Verdict(False, ("not measured",))
    error: str = ""
    """Why it could not be measured at all: one line."""
    hint: str = ""
    server: dict[str, Any] | None = None
    """Scenario server: ``rate_per_s``, the highest rate that met the latency bound (median of the repeats, None when no
    rate did), ``latency_bound_ns`` and ``percentile``."""
    note: str = ""
    """What the reader should know about how it was run."""

    @property
    def name(self) -> str:
        return f"{self.backend}/{self.variant}"


@dataclass(frozen=True)
class Power:
    """The source of the sensor ``power_w``, and what the machine drew before anything ran."""

    name: str
    how: str
    """Where a reading comes from."""
    accuracy: str
    uncertainty: float | None
    """The accuracy as a share of the reading; None where nobody states it."""
    covers: list[str]
    """What a reading holds, whole: cpu, usb, pcie, camera, supply_losses."""
    leaves_out: str
    is_measured: bool
    """False for a number that was given."""
    idle_w: float | None
    idle_sampling_w: float
    """The standard error of that mean."""
    idle_how: str
    """How the idle power was come by, or why it is unknown."""


@dataclass(frozen=True)
class Report:
    """All measurements of one model on one board in one sitting."""

    model: dict[str, Any]
    """name, path, and for each variant: file, format, precision, sha256, accuracy."""
    environment: dict[str, Any]
    """Fingerprint: board, OS, kernel, page size, governor, Python and runtime versions."""
    conditions: dict[str, Any]
    """What was asked for: scenario, metric, duration_s, repeats, min_queries, threads, images, inputs (in words), seed,
    latency_bound_ms; for a camera source, policy and deadline_ms; overrides (what was said instead of the manifest)
    where there are some."""
    measurements: list[Measurement]
    reference: str = ""
    """backend and variant whose outputs the others were compared with, as "backend/variant"."""
    created: str = ""
    """UTC, ISO 8601."""
    interrupted: bool = False
    """Ended by Ctrl-C: the measurements are what was finished by then."""
    power: Power | None = None
    no_power: str = ""
    """Why there is no power source, where one was asked for."""
    schema: str = SCHEMA
