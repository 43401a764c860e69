"""``piaccel bench --scenario camera``: a pipeline from exposure to result, measured as every other row is.

The original end-to-end test timed a loop and called it frames per second. Here the source goes on by itself as a camera
does, every result's age counts from its frame's exposure, and what was dropped, lost or late is in the report.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

from piaccel.bench import Repeat
from piaccel.bench.measure import Done, Job, answers_of, opened, pictures_of, share_of
from piaccel.bench.usage import Usage, rss_peak_bytes
from piaccel.bench.warmup import timer_cost_ns
from piaccel.errors import InferenceError
from piaccel.pipeline.runner import Pipeline
from piaccel.pipeline.snapshot import CameraNumbers, StreamNumbers
from piaccel.sinks import Event, Options, Sink

MEASURE = "piaccel.pipeline.camera_scenario:measure"
WARM_UP = 10
"""Results that are not counted: a camera's exposure and gain settle, a runtime allocates."""
START_S = 30.0
"""Longest wait for the first results: a network camera takes its time."""


def measure(job: Job) -> Iterator[str | Done]:
    """One repeat, in a child process; yields a word before each phase, and Done at last."""
    yield "loading"
    with ExitStack() as stack:
        model, load_ns, first_ns = opened(job, stack)
        answers = answers_of(model, pictures_of(job)) if job.answer else []
        task, guesses = model.task.family, tuple(model.guesses)
        yield "opening the source"
        kept = _Kept(WARM_UP)
        given: dict[str, Any] = {} if job.deadline_s is None else {"deadline_s": job.deadline_s}
        pipeline = stack.enter_context(
            Pipeline(job.source, model, sinks=[kept], sensors=_NoSensors(), policy=job.policy, **given)
        )
        pipeline.start()
        if not kept.warm.wait(START_S):
            yield _failed(pipeline)
        yield "measuring"
        before = Usage.now()
        _wait(pipeline, kept, job)
        after = Usage.now()
        pipeline.stop()
        numbers = pipeline.snapshot()
        samples = kept.events[1:]
        if not samples:
            raise InferenceError(f"{job.source} ended before anything could be measured")
        started = kept.events[0].published_ns
        duration = samples[-1].published_ns - started
        stages = _stages(samples)
        yield Done(
            Repeat(
                load_ns=load_ns,
                first_ns=first_ns or sum(stages[name][0] for name in ("preprocess", "inference", "postprocess")),
                warmup_ns=kept.warmup_ns,
                latency_ns=[max(1, event.age_ns or 0) for event in samples],
                duration_ns=duration,
                started_ns=started,
                timer_ns=timer_cost_ns(),
                stages_ns=stages,
                cpu_ns=share_of(after.own_ns - before.own_ns, duration, after.at_ns - before.at_ns),
                rss_peak_bytes=rss_peak_bytes(),
                other_load=after.other_load(before),
                camera=_facts(numbers.cameras[0], numbers.streams[0], [kept.events[0], *samples]),
            ),
            note=_note(numbers.cameras[0], numbers.streams[0]),
            answers=answers,
            guesses=guesses,
            task=task,
        )


class _Kept(Sink):
    """Keeps the events after the warm-up; the last of the warm-up is the first, to measure from."""

    queue = 100_000

    def __init__(self, warm_up: int) -> None:
        super().__init__("measured", Options())
        self.events: list[Event] = []
        self.warmup_ns: list[int] = []
        self.warm = threading.Event()
        self._warm_up = warm_up

    def open(self) -> None:
        pass

    def deliver(self, event: Event) -> None:
        if event.result is None or event.held:
            return
        if len(self.warmup_ns) < self._warm_up:
            self.warmup_ns.append(max(1, event.age_ns or 0))
            if len(self.warmup_ns) < self._warm_up:
                return
            self.warm.set()
        self.events.append(event)

    def close(self) -> None:
        pass


class _NoSensors:
    """The benchmark's parent process reads the board's sensors: the child is left alone."""

    def read(self) -> dict[str, float | None]:
        return {}


def _failed(pipeline: Pipeline) -> str:
    """Raise why nothing came."""
    pipeline.stop()
    camera = pipeline.snapshot().cameras[0]
    why = camera.error or f"gave {camera.produced} frames in {START_S:g} s"
    raise InferenceError(f"{camera.source}: {why}")


def _wait(pipeline: Pipeline, kept: _Kept, job: Job) -> None:
    """Until there is enough, or the source has ended."""
    limits = job.limits
    began = time.monotonic_ns()
    while True:
        passed = time.monotonic_ns() - began
        enough = passed >= limits.min_duration_ns and len(kept.events) > limits.min_queries
        if enough or passed >= limits.max_duration_ns or pipeline.ended:
            return
        time.sleep(0.02)


def _stages(events: list[Event]) -> dict[str, list[int]]:
    """Waiting in the mailbox and for the model's turn are one stage: both are waiting."""
    names = ("preprocess", "inference", "postprocess")
    return {
        "wait": [event.stages_ns.get("wait", 0) + event.stages_ns.get("gate", 0) for event in events],
        **{name: [event.stages_ns.get(name, 0) for event in events] for name in names},
    }


def _facts(camera: CameraNumbers, stream: StreamNumbers, events: list[Event]) -> dict[str, Any]:
    return {
        "source": camera.source,
        "clock": camera.clock,
        "fps": camera.fps,
        "size": None if camera.size is None else list(camera.size),
        "produced": camera.produced,
        "lost": camera.lost,
        "reconnects": camera.reconnects,
        "restamped": camera.restamped,
        "offered": stream.offered,
        "answered": stream.answered,
        "failed": stream.failed,
        "dropped": dict(stream.dropped),
        "late": stream.late,
        "gap_ns": [after.published_ns - before.published_ns for before, after in pairwise(events)],
    }


def _note(camera: CameraNumbers, stream: StreamNumbers) -> str:
    """In words, what the table has no column for."""
    told = [f"{stream.answered} of {stream.offered} frames answered"]
    told += [f"{count} {cause}" for cause, count in stream.dropped.items()]
    if camera.lost:
        told.append(f"{camera.lost} lost in the source")
    if stream.deadline_ms is not None:
        told.append(f"{stream.late} later than {stream.deadline_ms:g} ms")
    if camera.clock == "arrival":
        told.append("ages count from a frame's arrival, which is later than its exposure")
    return "; ".join(told)
