"""One repeat of one measurement. Runs in a child process of its own, which ``piaccel.bench.run`` starts and ends."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from piaccel import images, models
from piaccel.backends import CameraSession, Session
from piaccel.bench import STAGES, Repeat, Scenario, scenarios
from piaccel.bench.pictures import Picture, synthetic
from piaccel.bench.scenarios import Limits, Samples
from piaccel.bench.usage import Usage, rss_peak_bytes
from piaccel.bench.warmup import timer_cost_ns, warm_up
from piaccel.bench.watch import watch
from piaccel.bundles import Bundle, Variant
from piaccel.errors import OptionError, PiaccelError
from piaccel.tasks import Result
from piaccel.tensors import Array

OFFLINE_BATCH = 8
ANSWERS = 8
"""Pictures that are compared with the reference, at most."""


@dataclass(frozen=True)
class Job:
    """What a child is to measure."""

    bundle: Bundle
    variant: Variant
    backend: str
    threads: int
    scenario: Scenario
    limits: Limits
    cores: int
    options: tuple[str, ...] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)
    images: tuple[Path, ...] = ()
    source: str = ""
    """Scenario camera: where the frames come from, as ``piaccel.sources.make`` takes it."""
    policy: str = "latest"
    deadline_s: float | None = None
    seed: int = 0
    bound_ns: int | None = None
    """Scenario server: the latency bound."""
    answer: bool = False
    """Whether the outputs are wanted too."""


@dataclass(frozen=True)
class Answer:
    """What the network said to one picture: outputs dequantized, and what they mean."""

    outputs: dict[str, Array]
    result: Result
    frame_size: tuple[int, int]
    """(height, width) of the picture."""
    threshold: float = 0.0
    """The lowest confidence that the task reports."""


@dataclass(frozen=True)
class Done:
    """What the child hands back; ``repeat.started_ns`` is CLOCK_MONOTONIC here."""

    repeat: Repeat
    samples_per_query: int = 1
    note: str = ""
    answers: list[Answer] = field(default_factory=list)
    guesses: tuple[str, ...] = ()
    task: str = ""


def measure(job: Job) -> Iterator[str | Done]:
    """Yield a word before each phase, so that the parent can tell the user; last comes Done.

    Nothing is sent while samples are taken.
    """
    yield "loading"
    with ExitStack() as stack:
        model, load_ns, first_ns = opened(job, stack)
        if isinstance(model.session, CameraSession):
            yield "watching the camera"
            yield _watched(job, model, load_ns)
            return
        pictures = pictures_of(job)
        inputs = [_feeds(model, picture) for picture in pictures]
        first_ns = first_ns or _timed(model.session.run, inputs[0])
        yield "warming up"
        warmup = warm_up(model.session.run, inputs, job.limits.min_duration_ns)
        expected = round(statistics.median(warmup))
        yield "measuring"
        measured = _measured(job, model, inputs, expected, stack)
        stages: dict[str, list[int]] = {}
        if job.images:
            yield "measuring end to end"
            stages = _end_to_end(
                model, job.images, replace(job.limits, min_duration_ns=job.limits.min_duration_ns // 2)
            )
        measured = replace(
            measured,
            repeat=replace(
                measured.repeat,
                load_ns=load_ns,
                first_ns=first_ns,
                warmup_ns=warmup,
                stages_ns=stages,
                timer_ns=timer_cost_ns(),
                rss_peak_bytes=rss_peak_bytes(),
            ),
            guesses=tuple(model.guesses),
            task=model.task.family,
        )
        yield replace(measured, answers=answers_of(model, pictures) if job.answer else [])


def _watched(job: Job, model: models.Model, load_ns: int) -> Done:
    """What a camera that runs the network itself shows of it."""
    if job.scenario != "single-stream":
        raise OptionError(f"{job.backend} answers its own camera's frames one by one: its scenario is single-stream")
    assert isinstance(model.session, CameraSession)
    before = Usage.now()
    seen = watch(model.session, job.limits)
    after = Usage.now()
    samples = seen.samples
    repeat = Repeat(
        load_ns=load_ns,
        first_ns=seen.first_ns,
        warmup_ns=seen.warmup_ns,
        latency_ns=samples.latency_ns,
        duration_ns=samples.duration_ns,
        started_ns=samples.started_ns,
        cpu_ns=share_of(after.own_ns - before.own_ns, samples.duration_ns, after.at_ns - before.at_ns),
        other_load=after.other_load(before),
        rss_peak_bytes=rss_peak_bytes(),
    )
    return Done(repeat, note=seen.note, guesses=tuple(model.guesses), task=model.task.family)


def answer(job: Job) -> list[Answer]:
    """Run the network once on each picture, without measuring: what the reference is asked for."""
    with ExitStack() as stack:
        model, _, _ = opened(job, stack)
        return answers_of(model, pictures_of(job))


class _FirstRun(Session):
    """Passes on to a session and keeps how long its first run took: some models are run once while they are opened."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.inputs, self.outputs = session.inputs, session.outputs
        self.first_ns = 0

    def _run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        begin = time.perf_counter_ns()
        outputs = self._session.run(feeds)
        self.first_ns = self.first_ns or time.perf_counter_ns() - begin
        return outputs


def opened(job: Job, stack: ExitStack) -> tuple[models.Model, int, int]:
    """Return the model, the time to load it (importing the runtime included), and that of its first run, 0 if none."""
    overrides = models.Overrides(**job.overrides)
    begin = time.perf_counter_ns()
    session = stack.enter_context(_session(job, overrides))
    load_ns = time.perf_counter_ns() - begin
    watched = _FirstRun(session)
    model = models.Model(job.bundle, job.variant, job.backend, watched, overrides)
    model.session = session
    return model, load_ns, watched.first_ns


def _session(job: Job, overrides: models.Overrides) -> Session:
    return models.open_session(
        job.bundle, job.variant, job.backend, threads=job.threads, options=job.options, size=overrides.size
    )


def pictures_of(job: Job) -> list[Picture]:
    """What the answers are compared on."""
    return [images.read_image(path) for path in job.images] if job.images else synthetic(job.seed)


def _feeds(model: models.Model, picture: Picture) -> dict[str, Array]:
    feeds, _ = model.preprocess(picture)
    return {name: array.copy() for name, array in feeds.items()}  # the model's own buffer is used again


def answers_of(model: models.Model, pictures: Sequence[Picture]) -> list[Answer]:
    def one(picture: Picture) -> Answer:
        feeds, geometry = model.preprocess(picture)
        outputs = model.infer(feeds)
        return Answer(
            {name: np.array(array) for name, array in outputs.items()},
            model.postprocess(outputs, geometry),
            picture.shape[:2],
            getattr(model.task, "threshold", 0.0),
        )

    return [one(picture) for picture in pictures[:ANSWERS]]


def _measured(
    job: Job, model: models.Model, inputs: list[dict[str, Array]], expected_ns: int, stack: ExitStack
) -> Done:
    """Take the samples of the job's scenario, with the collector off and CPU time read around them."""
    run: Callable[[Any], object] = model.session.run
    queries: list[Any] = list(inputs)
    per_query, note, server = scenarios.SAMPLES_PER_QUERY[job.scenario], "", None
    take: Callable[[], Samples] = partial(scenarios.back_to_back, run, queries, job.limits, expected_ns)
    if job.scenario == "multi-stream":
        many = [tuple(inputs[(first + i) % len(inputs)] for i in range(per_query)) for first in range(len(inputs))]
        take = partial(scenarios.back_to_back, _run_all(run), many, job.limits, expected_ns * per_query)
    elif job.scenario == "offline" and model.session.depth > 1:
        depth = model.session.depth
        note = f"{depth} in flight"
        take = partial(scenarios.in_flight, model.session.submit, queries, depth, job.limits, expected_ns)
    elif job.scenario == "offline":
        queries, per_query = _batched(model.session, inputs)
        runs = [run, *(stack.enter_context(_session(job, models.Overrides(**job.overrides))).run for _ in _extra(job))]
        for other in runs:
            other(queries[0])
        note = f"{len(runs)} sessions at once, batch {per_query}" if len(runs) > 1 else f"batch {per_query}"
        take = partial(scenarios.offline, runs, queries, job.limits, expected_ns * per_query)
    with _undisturbed():
        before = Usage.now()
        if job.scenario == "server":
            samples, server = _serve(job, run, queries, expected_ns)
        else:
            samples = take()
        after = Usage.now()
    repeat = Repeat(
        load_ns=0,
        first_ns=0,
        warmup_ns=[],
        latency_ns=samples.latency_ns,
        duration_ns=samples.duration_ns,
        started_ns=samples.started_ns,
        cpu_ns=share_of(after.own_ns - before.own_ns, samples.duration_ns, after.at_ns - before.at_ns),
        other_load=after.other_load(before),
        server=server,
    )
    placed = str(model.session.placement or "")
    return Done(repeat, per_query, "; ".join(filter(None, (note, placed, _readings(model.session)))))


def _readings(session: Session) -> str:
    """What the accelerator's own sensors say at the end of the run, '' where there are none."""
    read = [(sensor, sensor.read()) for sensor in session.sensors()]
    return ", ".join(f"{sensor.name} {value:.1f} {sensor.unit}" for sensor, value in read if value is not None)


def share_of(cpu_ns: int, part_ns: int, whole_ns: int) -> int:
    """CPU time was read around all attempts of a server search; report it for the one that is kept."""
    return round(cpu_ns * min(1.0, part_ns / max(whole_ns, 1)))


def _serve(
    job: Job, run: Callable[[Any], object], inputs: list[Any], expected_ns: int
) -> tuple[Samples, dict[str, Any]]:
    assert job.bound_ns is not None
    bound = job.bound_ns

    def attempt(rate: float) -> scenarios.Attempt:
        return scenarios.serve(run, inputs, rate, bound, job.limits, job.seed)

    best, tried = scenarios.find_rate(attempt, expected_ns)
    kept = best or tried[-1]
    return kept.samples, {
        "rate_per_s": best.rate_per_s if best else None,
        "tried": [
            {"rate_per_s": each.rate_per_s, "met": each.met, "queries": len(each.samples.latency_ns)} for each in tried
        ],
    }


def _run_all(run: Callable[[Any], object]) -> Callable[[Any], None]:
    def run_all(query: Sequence[Any]) -> None:
        for sample in query:
            run(sample)

    return run_all


def _extra(job: Job) -> range:
    """Offline: as many more sessions as it takes to use every core."""
    return range(max(1, job.cores // job.threads) - 1)


def _batched(session: Session, inputs: list[dict[str, Array]]) -> tuple[list[Any], int]:
    """Offline: batches where the network takes them, else the samples one by one."""
    if any(not spec.shape or spec.shape[0] is not None for spec in session.inputs):
        return list(inputs), 1
    members = [inputs[i % len(inputs)] for i in range(OFFLINE_BATCH)]
    batch = {name: np.concatenate([member[name] for member in members]) for name in inputs[0]}
    try:
        session.run(batch)
    except PiaccelError:  # the batch is free in the file's inputs only; the graph behind them is fixed
        return list(inputs), 1
    return [batch], OFFLINE_BATCH


def _end_to_end(model: models.Model, paths: Sequence[Path], limits: Limits) -> dict[str, list[int]]:
    """Time each stage from the file to the result, picture by picture in turn."""
    names = STAGES[1:]
    stages: dict[str, list[int]] = {name: [] for name in names}
    clock = time.perf_counter_ns
    with _undisturbed():
        start = clock()
        count = 0
        while True:
            path = paths[count % len(paths)]
            begin = clock()
            picture = images.read_image(path)
            decoded = clock()
            feeds, geometry = model.preprocess(picture)
            prepared = clock()
            outputs = model.infer(feeds)
            inferred = clock()
            model.postprocess(outputs, geometry)
            end = clock()
            count += 1
            for name, taken in zip(
                names, (decoded - begin, prepared - decoded, inferred - prepared, end - inferred), strict=True
            ):
                stages[name].append(taken)
            passed = end - start
            if (passed >= limits.min_duration_ns and count >= limits.min_queries) or passed >= limits.max_duration_ns:
                return stages


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep the garbage collector away: collect now, let it forget what is alive, and not run until the end."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def _timed(run: Callable[[Any], object], feeds: Any) -> int:
    begin = time.perf_counter_ns()
    run(feeds)
    return time.perf_counter_ns() - begin
