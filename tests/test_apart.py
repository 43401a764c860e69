"""A network in a process of its own: the same answers, and a crash or a hang is an error of one frame."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from piaccel import apart, models
from piaccel.bundles import Bundle
from piaccel.errors import CrashError, HangError, InputError, NotFoundError
from piaccel.fallback import FallbackModel
from piaccel.models import Model
from piaccel.tensors import Array


def opened(demo: Path, **given: object) -> Model:
    bundle = Bundle.open(demo / "bundle")
    return apart.open_model(bundle, bundle.variant("int8-tflite"), "litert", threads=1, **given)  # type: ignore[arg-type]


def picture() -> Array:
    return np.random.default_rng(3).integers(0, 256, (120, 160, 3), np.uint8)


def child(model: Model) -> int:
    assert isinstance(model.session, apart.ApartSession)
    pid = model.session.pid
    assert pid is not None
    return pid


@pytest.mark.parametrize(
    ("variant", "backend"), [("int8-tflite", "litert"), ("fp32-onnx", "onnxruntime"), ("fp32-onnx", "opencv")]
)
def test_the_answers_are_bit_for_bit_those_of_the_same_process(demo: Path, variant: str, backend: str) -> None:
    bundle = Bundle.open(demo / "bundle")
    here = models.open_model(bundle, bundle.variant(variant), backend, threads=1)
    with here, apart.open_model(bundle, bundle.variant(variant), backend, threads=1) as there:
        feeds, _ = here.preprocess(picture())
        for _ in range(3):
            ours, theirs = here.session.run(feeds), there.session.run(feeds)
            assert ours.keys() == theirs.keys()
            for name in ours:
                np.testing.assert_array_equal(ours[name], theirs[name])
        assert there.session.inputs == here.session.inputs
        assert there.session.outputs == here.session.outputs


def test_what_a_run_returns_is_the_callers_and_is_not_written_over(demo: Path) -> None:
    with opened(demo) as model:
        feeds, _ = model.preprocess(picture())
        first = model.session.run(feeds)
        kept = {name: array.copy() for name, array in first.items()}
        other, _ = model.preprocess(255 - picture())
        model.session.run(other)
        for name, array in first.items():
            np.testing.assert_array_equal(array, kept[name])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_crash_is_named_and_the_next_frame_is_answered(demo: Path, number: signal.Signals) -> None:
    with opened(demo) as model:
        before = model.predict(picture()).to_dict()
        os.kill(child(model), number)
        time.sleep(0.05)
        with pytest.raises(CrashError, match=number.name):
            model.predict(picture())
        assert model.predict(picture()).to_dict() == before


def test_a_run_that_hangs_is_ended_and_the_next_frame_is_answered(demo: Path) -> None:
    with opened(demo, hang_s=0.5) as model:
        before = model.predict(picture()).to_dict()
        hung = child(model)
        os.kill(hung, signal.SIGSTOP)
        with pytest.raises(HangError, match=r"no answer within 0\.5 s"):
            model.predict(picture())
        assert not Path(f"/proc/{hung}").exists()
        assert model.predict(picture()).to_dict() == before


def test_a_fallback_takes_over_when_the_process_dies(demo: Path) -> None:
    bundle = Bundle.open(demo / "bundle")
    given: list[Model] = []

    def open_backend(name: str, again: bool) -> Model:
        model = opened(demo) if name == "litert" else models.load(bundle.path, "opencv", threads=1)
        given.append(model)
        return model

    with FallbackModel(["litert", "opencv"], open_backend, patience_s=(60, 60)) as model:
        os.kill(child(model), signal.SIGKILL)
        time.sleep(0.05)
        for _ in range(3):
            assert model.predict(picture()).findings()
        assert model.status.backend == "opencv"
        assert "SIGKILL" in model.status.reason


def test_closing_ends_the_child_and_leaves_nothing(demo: Path) -> None:
    descriptors = set(os.listdir("/proc/self/fd"))
    model = opened(demo)
    pid = child(model)
    model.close()
    model.close()
    assert not Path(f"/proc/{pid}").exists()
    assert set(os.listdir("/proc/self/fd")) == descriptors


def test_the_child_ends_with_a_parent_that_is_killed(demo: Path) -> None:
    script = (
        "import sys, time\nfrom piaccel import apart\nfrom piaccel.bundles import Bundle\n"
        f"bundle = Bundle.open({str(demo / 'bundle')!r})\n"
        "model = apart.open_model(bundle, bundle.variant('int8-tflite'), 'litert', threads=1)\n"
        "print(model.session.pid, flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    end = time.monotonic() + 20
    while _alive(pid) and time.monotonic() < end:
        time.sleep(0.02)
    assert not _alive(pid)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_feeds_that_do_not_fit_are_refused_before_they_are_sent(demo: Path) -> None:
    with opened(demo) as model, pytest.raises(InputError):
        model.session.run({model.session.inputs[0].name: np.zeros((1, 2, 3, 3), np.float64)})


def test_what_is_wrong_with_the_model_is_said_as_in_the_same_process(demo: Path, tmp_path: Path) -> None:
    (tmp_path / "net.tflite").write_bytes((demo / "bundle/int8.tflite").read_bytes())
    bundle = Bundle.open(tmp_path / "net.tflite")
    (tmp_path / "net.tflite").unlink()
    with pytest.raises(NotFoundError):
        apart.open_model(bundle, bundle.variants[0], "litert")


def test_a_crash_in_the_middle_of_a_pipeline_costs_a_frame_and_no_more(
    demo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from piaccel.pipeline import stream
    from piaccel.pipeline.runner import Pipeline
    from piaccel.sinks import Event

    monkeypatch.setattr(stream, "PATIENCE_S", (0.01, 0.1))
    seen: list[Event] = []
    pipeline = Pipeline(
        "synthetic:fps=100,size=320x240", demo / "bundle", sinks=[seen.append], backend="litert", isolate=True
    )
    pipeline.start(frames=150)
    model = pipeline._streams[0]._brain
    assert model is not None
    threading.Timer(0.3, os.kill, (child(model.model), signal.SIGSEGV)).start()
    summary = pipeline.wait(frames=150)
    numbers = summary.numbers.streams[0]
    assert 1 <= numbers.failed <= 2
    assert numbers.answered + numbers.failed == 150
    assert numbers.offered == numbers.answered + numbers.failed + sum(numbers.dropped.values())
    assert any("SIGSEGV" in event.cause for event in seen)
    assert [event.index for event in seen] == sorted({event.index for event in seen})
