"""An ordered list of backends: the next answers when one is lost, loudly, and the better one is taken back."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import piaccel
from piaccel import models, trial
from piaccel.errors import CrashError, InferenceError, InputError, ModelError, OptionError, UnavailableError
from piaccel.fallback import FallbackModel, order_of
from piaccel.models import Model
from piaccel.tasks import Classification
from piaccel.tensors import Array
from tests.classifiers import LABELS, colour, labels_file, onnx_classifier

ORDER = ("opencv", "onnxruntime", "openvino")
"""Real runtimes stand for the accelerators; what is unplugged is decided by the test."""


class Bench:
    """Backends that can be unplugged, a clock that stands still, and a way to wait for the thread that tries."""

    def __init__(self, folder: Path) -> None:
        self.net = onnx_classifier(folder / "net.onnx")
        self.labels = labels_file(folder / "labels.txt")
        self.gone: dict[str, Exception] = {}
        """Backends that do not open, and why."""
        self.dying: dict[str, Exception] = {}
        """Backends that opened and fail at the next frame."""
        self.opened: list[str] = []
        self.closed: list[str] = []
        self.now = 0.0

    def open(self, name: str, again: bool = False) -> Model:
        if name in self.gone:
            raise self.gone[name]
        model = models.load(self.net, name, threads=1, labels=self.labels)
        run, close = model.session._run, model.session._close

        def run_or_die(feeds: Any) -> dict[str, Array]:
            if name in self.dying:
                raise self.dying[name]
            return run(feeds)

        def note() -> None:
            self.closed.append(name)
            close()

        model.session._run, model.session._close = run_or_die, note  # type: ignore[method-assign]
        self.opened.append(name)
        return model

    def model(self, order: tuple[str, ...] = ORDER) -> FallbackModel:
        return FallbackModel(order, self.open, clock=lambda: self.now, patience_s=(1.0, 4.0))

    def unplug(self, name: str, error: Exception | None = None) -> None:
        self.gone[name] = self.dying[name] = error or UnavailableError(f"{name}: the device is gone")

    def plug_in(self, name: str) -> None:
        del self.gone[name], self.dying[name]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def answer(model: Model, name: str = "red") -> str:
    result = model.predict(colour(name))
    assert isinstance(result, Classification)
    assert result.labels[int(result.scores.argmax())] == name
    assert result.backend is not None
    return result.backend


def wait_for_the_try() -> None:
    for thread in threading.enumerate():
        if thread.name == "piaccel-fallback":
            thread.join()


def test_the_first_of_the_list_answers(bench: Bench) -> None:
    with bench.model() as model:
        assert answer(model) == model.backend == "opencv"
        assert not model.status.degraded
        assert model.status.answered == {"opencv": 1}
        assert model.status.reason == ""
        assert model.status.retry_in_s is None
    assert bench.opened == bench.closed == ["opencv"]


def test_a_missing_device_lets_the_next_answer_and_says_so(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.unplug("opencv")
    with bench.model() as model:
        assert answer(model) == "onnxruntime"
        assert model.status.degraded
        assert model.status.wanted == "opencv"
        assert model.status.reason == "opencv: the device is gone"
        assert model.status.retry_in_s == 1.0
    assert "opencv is lost: opencv: the device is gone" in caplog.text
    assert "FALLBACK: onnxruntime answers in place of opencv" in caplog.text
    assert all(record.levelno == logging.WARNING for record in caplog.records)


def test_a_device_that_dies_in_the_middle_loses_no_frame(bench: Bench) -> None:
    with bench.model() as model:
        said = []
        for number, name in enumerate([*LABELS, *LABELS]):
            if number == 2:
                bench.unplug("opencv", InferenceError("the stick vanished"))
            said.append(answer(model, name))
        assert said == ["opencv"] * 2 + ["onnxruntime"] * 4
        status = model.status
        assert status.answered == {"opencv": 2, "onnxruntime": 4}
        assert (status.retried, status.failed) == (1, 0)
    assert bench.closed == ["opencv", "onnxruntime"]


def test_two_that_die_at_the_same_frame_leave_it_to_the_third(bench: Bench) -> None:
    with bench.model() as model:
        answer(model)
        bench.dying = {"opencv": InferenceError("one"), "onnxruntime": InferenceError("two")}
        assert answer(model) == "openvino"
        assert model.status.retried == 1
        assert model.status.reason == "one"


def test_when_nobody_is_left_the_frame_is_counted_and_the_error_told(bench: Bench) -> None:
    with bench.model() as model:
        for name in ORDER:
            bench.unplug(name)
        with pytest.raises(UnavailableError, match="opencv: the device is gone"):
            model.predict(colour("red"))
        assert model.status.failed == 1
        assert model.status.answered == {}


def test_after_everybody_was_lost_the_first_that_returns_answers_again(bench: Bench) -> None:
    with bench.model() as model:
        for name in ORDER:
            bench.unplug(name)
        with pytest.raises(UnavailableError):
            model.predict(colour("red"))
        bench.plug_in("onnxruntime")
        bench.now = 1.0
        with pytest.raises(UnavailableError, match="no backend of opencv > onnxruntime > openvino answers"):
            model.predict(colour("red"))
        assert model.status.backend == ""
        wait_for_the_try()
        assert answer(model) == "onnxruntime"


def test_a_device_that_returns_is_taken_back(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.unplug("opencv")
    with bench.model() as model:
        assert answer(model) == "onnxruntime"
        bench.plug_in("opencv")
        assert answer(model) == "onnxruntime"
        assert bench.opened == ["onnxruntime"], "it is not time yet"
        bench.now = 1.0
        answer(model)
        wait_for_the_try()
        assert answer(model) == "opencv"
        assert not model.status.degraded
        assert model.status.reason == ""
    assert "opencv is back" in caplog.text
    assert bench.closed == ["onnxruntime", "opencv"]


def test_a_better_one_than_the_serving_one_is_taken_back_though_it_is_not_the_first(bench: Bench) -> None:
    bench.unplug("opencv")
    bench.unplug("onnxruntime")
    with bench.model() as model:
        assert answer(model) == "openvino"
        bench.plug_in("onnxruntime")
        bench.now = 1.0
        answer(model)
        wait_for_the_try()
        assert answer(model) == "onnxruntime"
        assert model.status.degraded
        assert model.status.retry_in_s is not None


def test_tries_come_at_growing_pauses(bench: Bench) -> None:
    bench.unplug("opencv")
    with bench.model() as model:
        pauses = []
        for _ in range(4):
            pauses.append(model.status.retry_in_s)
            bench.now += pauses[-1] or 0.0
            answer(model)
            wait_for_the_try()
        assert pauses == [1.0, 2.0, 4.0, 4.0]


def test_a_device_that_opens_and_cannot_answer_is_not_taken_back(bench: Bench) -> None:
    bench.unplug("opencv")
    with bench.model() as model:
        del bench.gone["opencv"]
        bench.now = 1.0
        answer(model)
        wait_for_the_try()
        assert answer(model) == "onnxruntime"
    assert bench.closed == ["opencv", "onnxruntime"]


def test_a_crash_that_is_remembered_does_not_keep_a_device_from_coming_back(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("piaccel.fallback.PATIENCE_S", (0.0, 0.0))
    answer_in_child = trial.answer

    def crash_or_answer(path: Path, backend: str | None, **rest: Any) -> object:
        if backend in bench.gone:
            raise bench.gone[backend]
        return answer_in_child(path, backend, **rest)

    monkeypatch.setattr(trial, "answer", crash_or_answer)
    bench.gone["opencv"] = CrashError("it died")
    for _ in range(2):  # the second time it is remembered
        with piaccel.load(bench.net, "opencv > onnxruntime", labels=bench.labels) as model:
            assert answer(model) == "onnxruntime"
            assert model.status.reason.startswith("it died")
            wait_for_the_try()
    assert ", seen " in model.status.reason
    with piaccel.load(bench.net, "opencv > onnxruntime", labels=bench.labels) as model:
        del bench.gone["opencv"]
        while model.status.degraded:
            answer(model)
            wait_for_the_try()
        assert answer(model) == "opencv"


def test_closing_gives_back_what_a_try_opened_meanwhile(bench: Bench) -> None:
    bench.unplug("opencv")
    model = bench.model()
    bench.plug_in("opencv")
    bench.now = 1.0
    answer(model)
    wait_for_the_try()
    model.close()
    model.close()
    assert sorted(bench.closed) == ["onnxruntime", "opencv"]


@pytest.mark.parametrize("error", [CrashError("it died"), ModelError("no variant fits")])
def test_what_keeps_a_backend_from_opening_is_the_next_one_s_turn(bench: Bench, error: Exception) -> None:
    bench.gone["opencv"] = error
    with bench.model() as model:
        assert answer(model) == "onnxruntime"
        assert model.status.reason == str(error)


def test_a_wrong_picture_is_the_caller_s_and_not_the_device_s_fault(bench: Bench) -> None:
    with bench.model() as model:
        with pytest.raises(InputError):
            model.predict(np.zeros((3, 3), np.uint8))
        assert answer(model) == "opencv"
        assert bench.opened == ["opencv"]


def test_a_list_that_nobody_of_can_open_is_the_first_one_s_error(bench: Bench) -> None:
    for name in ORDER:
        bench.unplug(name)
    with pytest.raises(UnavailableError, match="opencv"):
        bench.model()


def test_an_order_is_read_from_text() -> None:
    assert order_of("hailo > edgetpu>litert") == ("hailo", "edgetpu", "litert")
    for wrong in ("", "a >", "> a", "a > a"):
        with pytest.raises(OptionError, match="no list of backends"):
            order_of(wrong)


@pytest.fixture
def bundle(tmp_path: Path, demo: Path) -> Callable[[str], Path]:
    """The demo's bundle with a fallback list in its manifest."""

    def make(order: str) -> Path:
        for file in (demo / "bundle").iterdir():
            (tmp_path / file.name).write_bytes(file.read_bytes())
        manifest = (demo / "bundle" / "model.toml").read_text()
        (tmp_path / "model.toml").write_text(f"fallback = [{order}]\n{manifest}")
        return tmp_path

    return make


def test_a_bundle_names_its_list(bundle: Callable[[str], Path]) -> None:
    pytest.importorskip("ncnn")
    with piaccel.load(bundle('"ncnn", "litert"')) as model:
        assert model.backend == "ncnn"
        assert model.status.wanted == "ncnn"
        assert isinstance(model, FallbackModel)


def test_without_fallback_the_first_serves_or_nobody(net_of_one_format: Path) -> None:
    with piaccel.load(net_of_one_format, "ncnn > onnxruntime") as model:
        assert model.backend == "onnxruntime"
        assert "cannot be opened by ncnn" in model.status.reason
    with pytest.raises(ModelError, match="ncnn"):
        piaccel.load(net_of_one_format, "ncnn > onnxruntime", fallback=False)


@pytest.fixture
def net_of_one_format(tmp_path: Path) -> Path:
    return onnx_classifier(tmp_path / "net.onnx")


def test_each_of_the_list_gets_those_options_that_it_has(net_of_one_format: Path) -> None:
    with piaccel.load(net_of_one_format, "openvino > onnxruntime", options=["precision=f32"]) as model:
        assert model.backend == "openvino"
    with pytest.raises(OptionError, match="no backend here has an option 'speed'"):
        piaccel.load(net_of_one_format, "openvino > onnxruntime", options=["speed=high"])
    with pytest.raises(OptionError, match="'tpu'"):
        piaccel.load(net_of_one_format, "openvino > tpu")
