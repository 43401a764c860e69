"""What the pipeline makes of a camera and a model: throughput, what it adds to a result's age, age under a policy."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter

from benchmarks import SHARED, Row
from piaccel import models, sources
from piaccel.pipeline.runner import Pipeline
from piaccel.sinks import Event, Options, Sink

MODEL = SHARED / "models/imagenet/mobilenet_v2_1.0_224_quant.tflite"
LABELS = SHARED / "models/imagenet/imagenet_labels.txt"
SOURCE = "synthetic:fps=0,size=1280x720"
FRAMES = 300
ROUNDS = 5
SLOW_S = 0.045

QUESTIONS = (
    "throughput of the pipeline against its slowest stage alone, 1280x720, every, 1 worker of 1 thread",
    "throughput of the pipeline (2 workers of 1 thread) against the original document's sequential loop",
    "age of a result minus its stages' own times, median",
    "age p99 at 30 frames a second with 45 ms inference, latest",
)


def measure() -> list[Row]:
    if not MODEL.exists():
        return [Row(question, "not measured: the model is not here") for question in QUESTIONS]
    slowest, loop, one, two, added = [], [], [], [], []
    for _ in range(ROUNDS):  # interleaved: what drifts, drifts for all
        slowest.append(max(_stages_alone()))
        loop.append(_sequential())
        rate, over = _pipeline(1)
        one.append(rate)
        added += over
        two.append(_pipeline(2)[0])
    share = [rate * alone for rate, alone in zip(one, slowest, strict=True)]
    gain = [rate * each for rate, each in zip(two, loop, strict=True)]
    ages = _ages()
    p99 = float(np.percentile(ages, 99)) / 1e6
    middle, lead, extra = statistics.median(share), statistics.median(gain), statistics.median(added) / 1e6
    return [
        Row(QUESTIONS[0], f"{middle:.2f} ({_span(share)})", "at least 0.9", middle >= 0.9),
        Row(QUESTIONS[1], f"{lead:.2f}x ({_span(gain)})", "at least 1.7x", lead >= 1.7),
        Row(QUESTIONS[2], f"{extra:.2f} ms", "at most 1 ms", extra <= 1),
        Row(QUESTIONS[3], f"{p99:.0f} ms (p50 {float(np.median(ages)) / 1e6:.0f} ms)", "at most 90 ms", p99 <= 90),
    ]


def _stages_alone() -> list[float]:
    """Seconds each stage takes by itself: capture, preprocess, inference, postprocess."""
    with sources.make(SOURCE) as source, models.load(MODEL, "litert", threads=1, labels=LABELS) as model:
        frame = source.read()
        assert frame is not None
        feeds, geometry = model.preprocess(frame.image)
        outputs = model.infer(feeds)
        calls: list[Callable[[], object]] = [
            source.read,
            lambda: model.preprocess(frame.image),
            lambda: model.infer(feeds),
            lambda: model.postprocess(outputs, geometry),
        ]
        return [_mean(call) for call in calls]


def _mean(call: Callable[[], object]) -> float:
    for _ in range(10):
        call()
    begin = time.perf_counter()
    for _ in range(100):
        call()
    return (time.perf_counter() - begin) / 100


def _sequential() -> float:
    """Seconds a frame takes in the original document's loop: one after the other, one thread."""
    interpreter = Interpreter(str(MODEL), num_threads=1)
    interpreter.allocate_tensors()
    at, to = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    with sources.make(SOURCE) as source:

        def once() -> None:
            frame = source.read()
            assert frame is not None
            processed = cv2.resize(frame.image, (224, 224))
            interpreter.set_tensor(at, np.expand_dims(processed, axis=0))
            interpreter.invoke()
            np.argmax(interpreter.get_tensor(to))

        return _mean(once)


class _Kept(Sink):
    queue = 100_000

    def __init__(self) -> None:
        super().__init__("kept", Options())
        self.events: list[Event] = []

    def open(self) -> None:
        pass

    def deliver(self, event: Event) -> None:
        self.events.append(event)

    def close(self) -> None:
        pass


def _pipeline(workers: int) -> tuple[float, list[int]]:
    """Results a second, and what each result's age holds beside its stages' times."""
    kept = _Kept()
    pipeline = Pipeline(
        SOURCE, MODEL, sinks=[kept], backend="litert", threads=1, workers=workers, policy="every", labels=str(LABELS)
    )
    pipeline.run(frames=FRAMES)
    events = kept.events[20:]
    span = (events[-1].published_ns - events[0].published_ns) / 1e9
    return (len(events) - 1) / span, list(_added(events))


def _added(events: list[Event]) -> Iterator[int]:
    for event in events:
        assert event.age_ns is not None
        yield event.age_ns - sum(event.stages_ns.values())


def _ages() -> list[int]:
    """Ages of the results of a model made as slow as on a small board: it sleeps, as an accelerator lets the CPU."""
    model = models.load(MODEL, "litert", threads=1, labels=LABELS)
    run = model.session.run

    def slowly(feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
        begin = time.perf_counter()
        outputs = run(feeds)
        time.sleep(max(0.0, SLOW_S - (time.perf_counter() - begin)))
        return outputs

    model.session.run = slowly  # type: ignore[method-assign,assignment]
    kept = _Kept()
    Pipeline("synthetic:fps=30,size=1280x720", model, sinks=[kept]).run(seconds=20)
    return [event.age_ns for event in kept.events[5:] if event.age_ns is not None]


def _span(values: list[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f} in {len(values)} rounds"
