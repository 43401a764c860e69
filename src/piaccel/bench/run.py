"""Carries a plan out: one child process for each repeat, the candidates taking turns, the sensors read meanwhile."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from piaccel import backends as seam
from piaccel import isolation
from piaccel.bench import Agreement, Measurement, Power, Report, Scenario, energy
from piaccel.bench import agreement as agreements
from piaccel.bench import plan as plans
from piaccel.bench.environment import describe, fingerprint, usable_cores
from piaccel.bench.measure import Answer, Done, Job
from piaccel.bench.monitor import Monitor, Sensor
from piaccel.bench.pictures import COUNT, SIZE
from piaccel.bench.plan import Candidate, Plan
from piaccel.bench.scenarios import METRIC, MIN_QUERIES, SERVER_PERCENT, Limits
from piaccel.bench.verdict import Expected, judge
from piaccel.bundles import Bundle
from piaccel.device.power import PowerSource
from piaccel.errors import OptionError, PiaccelError
from piaccel.images import find_images, read_image

LOAD_TIMEOUT_S = 300.0
"""Longest silence of a child beside its measuring: some runtimes compile large models for minutes on a small board."""
UPLOAD_TIMEOUT_S = 900.0
"""The same for a camera that runs the network itself and receives it first."""
LONGEST = 20
"""A repeat of a slow model, waiting for its minimum of queries, ends at so many times the duration asked for..."""
LONGEST_S = 30.0
"""... or after this, whichever is later."""


@dataclass(frozen=True)
class Settings:
    """How to measure. Durations are those of one repeat's measured part."""

    scenario: Scenario = "single-stream"
    duration_s: float = 3.0
    repeats: int = 3
    images: tuple[Path, ...] = ()
    latency_bound_ms: float | None = None
    """Scenario server only, and needed there."""
    source: str = ""
    """Scenario camera only, and needed there."""
    policy: str = "latest"
    deadline_s: float | None = None
    measure: str = "piaccel.bench.measure:measure"
    """What runs in the child, as "module:function"."""
    min_queries: int = MIN_QUERIES
    seed: int = 0
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """What the caller knows better than the manifest: the fields of ``piaccel.models.Overrides``."""

    def __post_init__(self) -> None:
        if self.scenario not in METRIC:
            raise OptionError(f"no scenario is called {self.scenario!r}", hint=f"choose from {', '.join(METRIC)}")
        if not 0 < self.duration_s < float("inf"):
            raise OptionError(f"a repeat cannot last {self.duration_s:g} s")
        if self.repeats < 1:
            raise OptionError(f"{self.repeats} repeats measure nothing")
        if self.scenario == "server" and self.latency_bound_ms is None:
            raise OptionError("the scenario server needs a latency bound", hint="give it in ms: --latency-bound 50")
        if self.scenario != "server" and self.latency_bound_ms is not None:
            raise OptionError(f"a latency bound is for the scenario server, not for {self.scenario}")
        if (self.scenario == "camera") != bool(self.source):
            raise OptionError(
                "the scenario camera needs a source" if not self.source else f"a source is not for {self.scenario}",
                hint="piaccel bench MODEL --scenario camera --source usb:0",
            )
        if self.latency_bound_ms is not None and not 0 < self.latency_bound_ms < float("inf"):
            raise OptionError(f"a latency bound of {self.latency_bound_ms:g} ms cannot be met")

    @property
    def limits(self) -> Limits:
        longest = max(LONGEST * self.duration_s, LONGEST_S)
        return Limits(round(self.duration_s * 1e9), self.min_queries, round(longest * 1e9))

    @property
    def inputs(self) -> str:
        """What the networks are fed, in words."""
        if self.source:
            return f"frames of {self.source}, policy {self.policy}"
        if len(self.images) > 3:
            return f"{len(self.images)} pictures, {self.images[0].name} to {self.images[-1].name}"
        if self.images:
            return ", ".join(path.name for path in self.images)
        return f"{COUNT} made-up pictures of {SIZE[1]}x{SIZE[0]}, seed {self.seed}"

    def _camera(self) -> dict[str, Any]:
        if self.scenario != "camera":
            return {}
        deadline_ms = None if self.deadline_s is None else self.deadline_s * 1e3
        return {"source": self.source, "policy": self.policy, "deadline_ms": deadline_ms}

    def conditions(self) -> dict[str, Any]:
        changing = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in self.overrides.items()
            if value is not None and name not in ("labels", "task_options")  # they change no speed and no output
        }
        return {
            "scenario": self.scenario,
            "metric": METRIC[self.scenario],
            "duration_s": self.duration_s,
            "repeats": self.repeats,
            "min_queries": self.min_queries,
            "images": [path.name for path in self.images],
            "inputs": self.inputs,
            "seed": self.seed,
            "latency_bound_ms": self.latency_bound_ms,
            **self._camera(),
            **({"overrides": changing} if changing else {}),
        }


@dataclass(frozen=True)
class Reference:
    """Whose answers the others are compared with."""

    candidate: Candidate
    answers: list[Answer]


@dataclass(frozen=True)
class Progress:
    """How far a sitting has come."""

    done: int
    total: int
    text: str


@dataclass
class _Row:
    """What is known of one candidate so far."""

    candidate: Candidate
    done: list[Done] = field(default_factory=list)
    agreement: Agreement | None = None
    error: PiaccelError | None = None


class Sitting:
    """One run of the benchmark. Go through ``steps``; ``report`` tells what was finished, at any time.

    ``reference`` is that of an earlier sitting with the same pictures, None where nobody was asked yet or answered.
    """

    def __init__(
        self,
        plan: Plan,
        settings: Settings,
        *,
        sensors: Iterable[Sensor] = (),
        board: Mapping[str, Any] | None = None,
        reference: Reference | None = None,
        power: PowerSource | None = None,
        no_power: str = "",
    ) -> None:
        self.plan = plan
        self.settings = settings
        self._rows = [_Row(candidate) for candidate in plan.candidates]
        self._monitor = Monitor([*sensors, *([energy.Watts(power)] if power is not None else [])])
        self._source, self._no_power = power, no_power
        self.power: Power | None = None
        self._model = describe(plan.bundle, plan.precisions)
        self._environment = fingerprint(board or {}, plan.versions)
        self._created = datetime.now(UTC).isoformat(timespec="seconds")
        self.reference = reference
        self._finished = False

    def steps(self) -> Iterator[Progress]:
        """Measure; yield before each phase. What goes wrong with one candidate is kept as its row's error."""
        total = 1 + len(self._rows) * self.settings.repeats
        with self._monitor:
            yield Progress(0, total, "asking the reference" if self.reference is None else "measuring again")
            if self.reference is None:
                self.reference = self._ask_reference()
            if self._source is not None:
                yield Progress(0, total, "reading the idle power")
                shortest, longest = energy.REST_S
                rest_s = min(max(2 * self.settings.duration_s, shortest), longest)
                self.power = energy.at_rest(self._source, self._monitor, rest_s)
            done = 1
            for repeat in range(self.settings.repeats):  # A B C A B C: what drifts, drifts for all
                for row in self._rows:
                    if row.error is None:
                        for phase in self._repeat(row, first=repeat == 0):
                            yield Progress(done, total, f"{_title(row.candidate)}, repeat {repeat + 1}: {phase}")
                    done += 1
            yield Progress(total, total, "done")
        self._finished = True

    def report(self) -> Report:
        """Return the report of what was measured so far, each row judged."""
        expected = Expected(
            self.settings.repeats, self.settings.limits.min_duration_ns, usable_cores(), self.settings.min_queries
        )
        rows = [self._measurement(row) for row in self._rows]
        rows += [
            Measurement(**self._identity(candidate), error=reason, hint=candidate.hint)
            for candidate, reason in self.plan.rejected
        ]
        guesses = next((row.done[0].guesses for row in self._rows if row.done), ())
        task = next((row.done[0].task for row in self._rows if row.done), "")
        return Report(
            model={**self._model, "task": task, "guesses": list(guesses)},
            environment=self._environment,
            conditions={**self.settings.conditions(), "threads": sorted({row.candidate.threads for row in self._rows})},
            measurements=[replace(row, verdict=judge(row, expected)) for row in rows],
            reference=self.reference.candidate.name if self.reference else "",
            created=self._created,
            interrupted=not self._finished,
            power=self.power,
            no_power=self._no_power,
        )

    def _ask_reference(self) -> Reference | None:
        """Return the first of the possible references that answers, with numbers."""
        for candidate in self.plan.references:
            job = replace(self._job(candidate), answer=True)
            try:
                answers = isolation.call("piaccel.bench.measure:answer", job, timeout=LOAD_TIMEOUT_S)
            except PiaccelError:  # it will show up as a row's error if it was asked for; the next may do
                continue
            if agreements.is_finite(answers):
                return Reference(candidate, answers)
        return None

    def _repeat(self, row: _Row, first: bool) -> Iterator[str]:
        job = replace(self._job(row.candidate), answer=first)
        limits = self.settings.limits
        load_s = UPLOAD_TIMEOUT_S if seam.get(row.candidate.backend).brings_camera else LOAD_TIMEOUT_S
        timeout = load_s + 2 * limits.max_duration_ns / 1e9
        try:
            with isolation.Worker() as worker:
                for said in worker.stream(self.settings.measure, job, timeout=timeout):
                    if isinstance(said, str):
                        yield said
                    else:
                        self._keep(row, said)
        except PiaccelError as error:
            row.error = error

    def _keep(self, row: _Row, done: Done) -> None:
        start = done.repeat.started_ns - self._monitor.started_ns  # both CLOCK_MONOTONIC
        end = start + done.repeat.duration_ns + sum(map(sum, done.repeat.stages_ns.values()))
        series = self._monitor.between(start, end)
        row.done.append(replace(done, repeat=replace(done.repeat, started_ns=start, series=series), answers=[]))
        if done.answers and self.reference is not None:
            bounds = agreements.bounds_for(self.reference.candidate.precision, row.candidate.precision)
            row.agreement = agreements.compare(self.reference.answers, done.answers, bounds)

    def _job(self, candidate: Candidate) -> Job:
        bound = self.settings.latency_bound_ms
        return Job(
            bundle=self.plan.bundle,
            variant=candidate.variant,
            backend=candidate.backend,
            threads=candidate.threads,
            scenario=self.settings.scenario,
            limits=self.settings.limits,
            cores=usable_cores(),
            options=candidate.options,
            overrides=self.settings.overrides,
            images=self.settings.images,
            source=self.settings.source,
            policy=self.settings.policy,
            deadline_s=self.settings.deadline_s,
            seed=self.settings.seed,
            bound_ns=None if bound is None else round(bound * 1e6),
        )

    def _identity(self, candidate: Candidate) -> dict[str, Any]:
        return {
            "backend": candidate.backend,
            "version": candidate.version,
            "variant": candidate.variant.name,
            "precision": candidate.precision,
            "threads": candidate.threads,
            "scenario": self.settings.scenario,
            "options": candidate.all_options,
        }

    def _measurement(self, row: _Row) -> Measurement:
        identity = self._identity(row.candidate)
        if row.error is not None:
            return Measurement(**identity, error=str(row.error), hint=row.error.hint)
        if not row.done:
            return Measurement(**identity, error="interrupted before it was measured")
        return Measurement(
            **identity,
            samples_per_query=row.done[0].samples_per_query,
            repeats=[done.repeat for done in row.done],
            agreement=row.agreement,
            server=self._server(row.done),
            note=row.done[0].note,
        )

    def _server(self, done: Sequence[Done]) -> dict[str, Any] | None:
        rates = [each.repeat.server["rate_per_s"] for each in done if each.repeat.server is not None]
        if not rates or self.settings.latency_bound_ms is None:
            return None
        known = [rate for rate in rates if rate is not None]
        return {
            "rate_per_s": statistics.median_low(known) if len(known) == len(rates) else None,
            "latency_bound_ns": round(self.settings.latency_bound_ms * 1e6),
            "percentile": SERVER_PERCENT,
        }


def benchmark(
    model: str | os.PathLike[str],
    *,
    backends: Sequence[str] | None = None,
    variants: Sequence[str] | None = None,
    threads: Sequence[int] | None = None,
    scenario: Scenario = "single-stream",
    images: Sequence[str | os.PathLike[str]] = (),
    duration_s: float = 3.0,
    repeats: int = 3,
    latency_bound_ms: float | None = None,
    source: str = "",
    policy: str = "latest",
    deadline_s: float | None = None,
    measure: str = Settings.measure,
    seed: int = 0,
    options: Iterable[str] = (),
    root: str | os.PathLike[str] = "/",
    power: str | None = None,
    progress: Callable[[Progress], None] | None = None,
    **overrides: Any,
) -> Report:
    """Measure a bundle or a model file in every backend that can open it; what ``piaccel bench`` prints.

    ``backends``, ``variants`` and ``threads`` narrow the choice; ``images`` are files or folders that all are fed, else
    made-up pictures; ``options`` are the backends' own as "key=value"; ``power`` is "auto" or a source's name
    (``piaccel.device.power.find``); ``overrides`` as for ``piaccel.load``. A
    candidate that fails is a row with ``error``. Ctrl-C ends the children; the report then holds what was finished and
    is marked ``interrupted``. Raises NotFoundError, InputError, ModelError, OptionError for what is wrong before that.
    """
    from piaccel.device import board, sensors

    settings = Settings(
        scenario=scenario,
        duration_s=duration_s,
        repeats=repeats,
        images=tuple(find_images(images)),
        latency_bound_ms=latency_bound_ms,
        source=source,
        policy=policy,
        deadline_s=deadline_s,
        measure=measure,
        seed=seed,
        overrides=overrides,
    )
    _check_images(settings.images)
    source_of_power, no_power = energy.asked(power, root)
    sitting = Sitting(
        plans.make(Bundle.open(model), backends, variants, threads, options),
        settings,
        sensors=sensors.find(root),
        board=board.detect(root).fingerprint(),
        power=source_of_power,
        no_power=no_power,
    )
    try:
        for step in sitting.steps():
            if progress is not None:
                progress(step)
    except KeyboardInterrupt:
        pass  # the worker is closed on its way out; the report says what was finished
    return sitting.report()


def _check_images(paths: Iterable[Path]) -> None:
    for path in paths:
        read_image(path)


def _title(candidate: Candidate) -> str:
    return f"{candidate.name}, {candidate.threads} thread{'s' if candidate.threads > 1 else ''}"
