"""Whole pipelines with a real model, real threads and the synthetic source."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from piaccel import auto, models
from piaccel.errors import InferenceError, NotFoundError, OptionError, UnavailableError
from piaccel.pipeline import stream as streams
from piaccel.pipeline.runner import Pipeline, Summary
from piaccel.sinks import Event, Options, Sink
from piaccel.sources.synthetic import read_code
from piaccel.tensors import Array

FAST = "synthetic:fps=0,size=320x240"


class Collected:
    """A sink that keeps what it gets, with what the pixels say of it."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.codes: list[int | None] = []

    def __call__(self, event: Event) -> None:
        code = None if event.image is None else read_code(event.image)
        self.codes.append(None if code is None else code.index)
        self.events.append(event)


class Kept(Sink):
    """A sink without pictures that keeps every event."""

    def __init__(self) -> None:
        super().__init__("kept", Options())
        self.events: list[Event] = []
        self.closed = 0

    def open(self) -> None:
        pass

    def deliver(self, event: Event) -> None:
        self.events.append(event)

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def bundle(demo: Path) -> str:
    return str(demo / "bundle")


def accounted(summary: Summary) -> None:
    """Every frame that was offered is answered, failed, dropped under a cause, or still there."""
    for stream in summary.numbers.streams:
        total = stream.answered + stream.failed + sum(stream.dropped.values()) + stream.waiting
        assert stream.offered == total
        assert stream.waiting == 0


@pytest.mark.parametrize("policy", ["latest", "fresh", "every", "paced"])
def test_results_come_in_order_and_every_frame_is_accounted_for(bundle: str, policy: str) -> None:
    kept = Kept()
    given: dict[str, Any] = {"period": "20ms"} if policy == "paced" else {}
    source = "synthetic:fps=60,frames=60,size=320x240"
    summary = Pipeline(source, bundle, sinks=[kept], backend="litert", threads=1, policy=policy, **given).run()
    accounted(summary)
    indices = [event.index for event in kept.events if not event.held]
    assert indices == sorted(set(indices))
    assert indices
    assert summary.ended == "source"
    assert kept.closed == 1
    if policy == "every":
        assert len(indices) == summary.numbers.cameras[0].produced - summary.numbers.cameras[0].lost


def test_the_pixels_prove_which_frame_was_answered(bundle: str) -> None:
    seen = Collected()
    Pipeline("synthetic:fps=0,frames=40,size=640x480", bundle, sinks=[seen], backend="litert", policy="every").run()
    assert seen.codes == [event.index for event in seen.events]
    assert len(seen.codes) > 20  # a function with pictures has a short queue, and says what it lost


def test_two_workers_keep_the_order_of_the_frames(bundle: str) -> None:
    kept = Kept()
    summary = Pipeline(
        "synthetic:fps=0,frames=120,size=320x240", bundle, sinks=[kept], backend="litert", policy="every", workers=2
    ).run()
    accounted(summary)
    assert [event.index for event in kept.events] == list(range(120))


def test_so_many_results_are_given_as_were_asked_for(bundle: str) -> None:
    kept = Kept()
    summary = Pipeline(FAST, bundle, sinks=[kept], backend="litert", policy="every").run(frames=7)
    assert len(kept.events) == 7
    assert summary.ended == "frames"
    accounted(summary)


def test_a_run_ends_after_its_seconds(bundle: str) -> None:
    summary = Pipeline("synthetic:fps=30,size=320x240", bundle, backend="litert").run(seconds=0.3)
    assert summary.ended == "seconds"
    accounted(summary)


def test_a_blocked_sink_slows_nothing_and_loses_nothing_silently(bundle: str) -> None:
    released = threading.Event()

    class Stuck(Kept):
        queue = 4

        def deliver(self, event: Event) -> None:
            released.wait(30)
            super().deliver(event)

    stuck, kept = Stuck(), Kept()
    pipeline = Pipeline(
        "synthetic:fps=0,frames=80,size=320x240", bundle, sinks=[stuck, kept], backend="litert", policy="every"
    )
    pipeline.start()
    until(lambda: len(kept.events) == 80)
    released.set()
    summary = pipeline.wait()
    numbers = summary.numbers.sinks[0]
    assert numbers.offered == 80
    assert numbers.sent + sum(numbers.given_up.values()) == 80
    assert numbers.given_up["queue full"] >= 70
    assert not summary.verdict.valid


def test_one_camera_is_seen_by_two_models_and_two_cameras_by_one(demo: Path) -> None:
    kept = Kept()
    both = {"model": str(demo / "bundle"), "backend": "litert", "threads": 1, "policy": "every"}
    settings = {
        "stream": {
            "a": {**both, "source": "synthetic:fps=0,frames=20,size=320x240", "variant": "int8-tflite"},
            "b": {**both, "source": "synthetic:fps=0,frames=20,size=320x240", "variant": "fp32-tflite"},
            "c": {**both, "source": "synthetic:fps=0,frames=30,size=320x240", "variant": "int8-tflite"},
        }
    }
    from piaccel.pipeline.settings import structure

    pipeline = Pipeline(settings=structure(settings), sinks=[kept])
    summary = pipeline.run()
    assert len(summary.numbers.cameras) == 2
    for name, count in (("a", 20), ("b", 20), ("c", 30)):
        assert [event.index for event in kept.events if event.stream == name] == list(range(count))
    assert len({event.id for event in kept.events}) == 70
    accounted(summary)


class Failing:
    """A model whose runtime fails on some frames."""

    def __init__(self, bundle: str, fails: Callable[[int], bool]) -> None:
        self.model = models.load(bundle, "litert", threads=1)
        self._run = self.model.session.run
        self._fails = fails
        self.runs = 0
        self.model.session.run = self.run  # type: ignore[method-assign]

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        self.runs += 1
        if self._fails(self.runs):
            raise InferenceError("the runtime failed")
        return self._run(feeds)


def test_a_model_that_fails_in_the_middle_is_opened_again_and_its_frames_are_counted(
    bundle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Failing] = []

    def load(*_: object, **__: object) -> models.Model:
        first = not opened
        opened.append(Failing(bundle, lambda run: first and run == 5))
        return opened[-1].model

    monkeypatch.setattr(auto, "load", load)
    monkeypatch.setattr(streams, "PATIENCE_S", (0.01, 0.1))
    kept = Kept()
    summary = Pipeline("synthetic:fps=0,frames=40,size=320x240", bundle, sinks=[kept], policy="every").run()
    accounted(summary)
    stream = summary.numbers.streams[0]
    assert len(opened) == 2
    assert (stream.failed, stream.answered) == (1, 39)  # the frame that waited beside it was tried again
    assert [event.cause for event in kept.events if event.result is None] == ["the runtime failed"]
    assert [event.index for event in kept.events] == list(range(40))
    assert not summary.verdict.valid


def test_a_part_without_a_result_is_told_in_its_place(bundle: str) -> None:
    kept = Kept()
    pipeline = Pipeline(
        "synthetic:fps=50,size=320x240", bundle, sinks=[kept], backend="litert", trigger="manual,patience=200ms"
    )
    pipeline.start()
    trigger = pipeline.manual["main"]
    now = time.monotonic_ns()
    trigger.fire(now - 10_000_000_000)  # nobody exposed a frame then
    for _ in range(5):
        trigger.fire()
        time.sleep(0.06)
    until(lambda: len(kept.events) == 6)
    pipeline.stop()
    accounted(pipeline.summary())
    assert [event.part for event in kept.events] == list(range(6))
    assert [event.result is None for event in kept.events] == [True, *[False] * 5]
    assert kept.events[0].cause == "no frame"
    assert pipeline.summary().numbers.streams[0].missing == 1


def test_a_camera_that_is_triggered_itself_gives_one_result_for_each_frame(bundle: str) -> None:
    kept = Kept()
    summary = Pipeline(
        "synthetic:fps=40,frames=30,size=320x240", bundle, sinks=[kept], backend="litert", trigger="source"
    ).run()
    accounted(summary)
    assert [event.part for event in kept.events] == list(range(len(kept.events)))
    assert len(kept.events) == summary.numbers.streams[0].offered


def test_expired_frames_are_dropped_before_the_model_sees_them(bundle: str, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = models.load(bundle, "litert", threads=1)
    run = slow.session.run
    runs: list[int] = []

    def slowly(feeds: dict[str, Array]) -> dict[str, Array]:
        runs.append(1)
        time.sleep(0.05)
        return run(feeds)

    monkeypatch.setattr(slow.session, "run", slowly)
    kept = Kept()
    summary = Pipeline(
        "synthetic:fps=0,frames=40,size=320x240", slow, sinks=[kept], policy="every", deadline="60ms"
    ).run()
    accounted(summary)
    stream = summary.numbers.streams[0]
    assert stream.dropped["expired"] > 0
    assert stream.answered == len(runs) == len(kept.events)


def test_a_source_that_is_lost_comes_back_and_the_run_goes_on(bundle: str) -> None:
    kept = Kept()
    source = "synthetic:fps=100,frames=40,lose_at=10,size=320x240"
    summary = Pipeline(source, bundle, sinks=[kept], backend="litert", policy="every").run()
    accounted(summary)
    assert summary.numbers.cameras[0].reconnects == 1
    indices = [event.index for event in kept.events]
    assert indices == sorted(set(indices))
    assert max(indices) > 10


def test_frames_of_another_size_in_the_middle_are_answered_too(bundle: str) -> None:
    kept = Kept()
    summary = Pipeline(
        "synthetic:fps=0,frames=20,resize_at=10,size=320x240", bundle, sinks=[kept], backend="litert", policy="every"
    ).run()
    assert summary.numbers.cameras[0].resized >= 1
    assert all(event.result is not None for event in kept.events)
    assert len(kept.events) == 20


def test_a_sink_that_can_never_work_ends_the_run_with_its_reason(bundle: str) -> None:
    class Wrong(Kept):
        def open(self) -> None:
            raise OptionError("pin 99 does not exist", hint="choose another")

    summary = Pipeline("synthetic:fps=30,size=320x240", bundle, sinks=[Wrong()], backend="litert").run()
    assert summary.ended == "failed"
    assert (summary.error, summary.hint) == ("pin 99 does not exist", "choose another")
    assert not summary.verdict.valid


@pytest.mark.parametrize("rule", ["on=gear chiped", "on=!gear good|crack"])
def test_a_label_that_no_model_has_is_refused_before_anything_runs(bundle: str, tmp_path: Path, rule: str) -> None:
    sink = f"jsonl:{tmp_path}/never.jsonl,{rule}"
    with pytest.raises(OptionError, match="can never come") as caught:
        Pipeline(FAST, bundle, sinks=[sink], backend="litert").run(frames=1)
    assert "gear" in caught.value.hint
    assert not (tmp_path / "never.jsonl").exists()


def test_a_label_that_the_model_has_is_waited_for(bundle: str, tmp_path: Path) -> None:
    sink = f"jsonl:{tmp_path}/out.jsonl,on=!gear good"
    Pipeline(FAST, bundle, sinks=[sink], backend="litert").run(frames=2)
    assert (tmp_path / "out.jsonl").exists()


def test_a_sink_that_is_down_does_not_end_the_run_and_gets_everything_when_it_is_back(bundle: str) -> None:
    class Down(Kept):
        up = False

        def deliver(self, event: Event) -> None:
            if not self.up:
                raise UnavailableError("the broker is away")
            super().deliver(event)

    down, kept = Down(), Kept()
    pipeline = Pipeline(
        "synthetic:fps=0,frames=50,size=320x240", bundle, sinks=[down, kept], backend="litert", policy="every"
    )
    pipeline.start()
    until(lambda: len(kept.events) == 50)
    down.up = True
    summary = pipeline.wait()
    assert [event.index for event in down.events] == list(range(50))
    assert summary.numbers.sinks[0].given_up == {}


def test_the_switch_interval_is_what_it_was_before(bundle: str) -> None:
    before = sys.getswitchinterval()
    pipeline = Pipeline("synthetic:fps=30,size=320x240", bundle, backend="litert")
    pipeline.start()
    assert sys.getswitchinterval() <= before
    pipeline.stop()
    assert sys.getswitchinterval() == before


def test_stopping_twice_does_nothing_more(bundle: str) -> None:
    pipeline = Pipeline("synthetic:fps=30,size=320x240", bundle, backend="litert")
    pipeline.start()
    pipeline.stop()
    pipeline.stop()
    accounted(pipeline.summary())


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C is a KeyboardInterrupt, also where the tests run in the background of a shell, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_finishes_what_is_under_way(interruptible: None, bundle: str) -> None:
    kept = Kept()
    pipeline = Pipeline("synthetic:fps=50,size=320x240", bundle, sinks=[kept], backend="litert")
    pipeline.start()
    until(lambda: len(kept.events) > 3)
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    summary = pipeline.wait()
    assert summary.ended == "stopped"
    assert kept.closed == 1
    accounted(summary)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"source": "synthetic", "model": "nowhere"}, NotFoundError),
        ({"source": "telepathy:3", "model": "BUNDLE"}, OptionError),
        ({"source": "synthetic", "model": "BUNDLE", "policy": "newest"}, OptionError),
        ({"source": "synthetic", "model": "BUNDLE", "deadline": "80"}, OptionError),
        ({"source": "synthetic", "model": "BUNDLE", "workers": 0}, OptionError),
        ({"source": "synthetic", "model": "BUNDLE", "trigger": "wish"}, OptionError),
        ({"source": "synthetic", "model": "BUNDLE", "colour": "red"}, OptionError),
        ({"source": "", "model": "BUNDLE"}, OptionError),
        ({"source": "synthetic", "model": "BUNDLE", "tiles": "many"}, OptionError),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(bundle: str, given: dict[str, object], error: type) -> None:
    arguments = {key: bundle if value == "BUNDLE" else value for key, value in given.items()}
    with pytest.raises(error):
        Pipeline(**arguments, backend="litert").start()  # type: ignore[arg-type]


def test_events_say_who_answered_and_how_long_each_part_took(bundle: str) -> None:
    kept = Kept()
    Pipeline(FAST, bundle, sinks=[kept], backend="litert", policy="every", name="line7").run(frames=3)
    event = kept.events[-1]
    assert event.id.startswith("line7/")
    assert set(event.stages_ns) == {"wait", "preprocess", "gate", "inference", "postprocess"}
    assert event.age_ns is not None
    assert 0 <= sum(event.stages_ns.values()) <= event.age_ns
    plain = event.to_dict()
    assert plain["result"]["kind"] == "classification"
    assert plain["backend"] == "litert"


def until(done: Callable[[], bool]) -> None:
    """Wait for something that must come."""
    end = time.monotonic() + 60
    while not done():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.005)
