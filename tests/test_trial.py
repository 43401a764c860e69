"""Opening a file in a child process: what comes back, and what ends only the child."""

import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from piaccel import auto, isolation, trial
from piaccel.errors import CrashError, HangError, ModelError, PiaccelError
from piaccel.isolation import Worker
from tests.formats import samples


def test_a_whole_file_tells_what_the_runtime_made_of_it(tmp_path: Path) -> None:
    path = samples.tflite(tmp_path / "net.tflite", quantized=True)
    opened = trial.open_file("litert", path, run=True)
    assert opened.backend == "litert"
    assert opened.version
    assert [(spec.name, spec.shape) for spec in opened.inputs] == [("image", (1, 8, 8, 3))]
    assert [(spec.name, spec.shape) for spec in opened.outputs] == [("logits", (1, 5))]


def test_a_refusal_comes_back_as_itself(tmp_path: Path) -> None:
    path = samples.tflite(tmp_path / "net.tflite", custom="my-op")
    with pytest.raises(ModelError, match="my-op"):
        trial.open_file("litert", path)


def test_a_child_that_does_not_answer_is_ended_and_replaced(tmp_path: Path) -> None:
    path = samples.tflite(tmp_path / "net.tflite")
    with Worker() as worker:
        with pytest.raises(HangError, match=f"{path}: litert did not open it within 0.001 s"):
            trial.open_file("litert", path, timeout=0.001, worker=worker)
        assert worker.pid is None
        assert trial.open_file("litert", path, worker=worker).outputs


def test_a_child_may_not_take_more_memory_than_it_is_given(tmp_path: Path) -> None:
    path = samples.tflite(tmp_path / "net.tflite")
    with pytest.raises(PiaccelError) as caught:
        trial.open_file("litert", path, memory=16 << 20)
    assert "\n" not in str(caught.value)


def test_a_process_that_is_limited_itself_may_try_a_file(tmp_path: Path) -> None:
    path = samples.tflite(tmp_path / "net.tflite")
    program = (
        "import resource, sys; from pathlib import Path; from piaccel import trial\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))\n"
        "print(trial.open_file('litert', Path(sys.argv[1])).backend)"
    )
    assert subprocess.check_output([sys.executable, "-c", program, str(path)], text=True) == "litert\n"


def test_a_child_tries_a_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = samples.tflite(tmp_path / "net.tflite")
    trial.once(path, "litert")

    def no_child(*_: object, **__: object) -> None:
        raise ModelError("a child was asked")

    monkeypatch.setattr(isolation, "call", no_child)
    trial.once(path, "litert")
    with pytest.raises(ModelError, match="a child was asked"):
        trial.once(path, "litert", options=["xnnpack=false"])
    samples.tflite(path, quantized=True)
    with pytest.raises(ModelError, match="a child was asked"):
        trial.once(path, "litert")


def test_without_a_cache_each_time_is_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    trial.once(samples.tflite(tmp_path / "net.tflite"), "litert")


def test_a_runtime_that_dies_of_a_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if int(cv2.__version__.partition(".")[0]) < 5:
        pytest.skip("OpenCV 4 survives this file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = samples.tflite(tmp_path / "net.tflite", graph_name=None)
    for _ in range(2):  # what failed is not remembered
        with pytest.raises(CrashError, match=r"net\.tflite: opencv died of it \(SIGSEGV\)"):
            auto.load(path, "opencv")
    with auto.load(path, "litert") as model:
        assert model.backend == "litert"


@pytest.mark.parametrize("kind", [CrashError, HangError])
def test_what_a_file_did_to_its_runtime_is_remembered_until_it_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[PiaccelError]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = samples.tflite(tmp_path / "net.tflite")
    tries: list[str] = []

    def fall(*_: object, **__: object) -> None:
        tries.append("once")
        raise kind("net.tflite: litert died of it")

    monkeypatch.setattr(trial, "answer", fall)
    with pytest.raises(kind, match=r"died of it$"):
        trial.once(path, "litert")
    with pytest.raises(kind, match="died of it, seen 20") as caught:
        trial.once(path, "litert")
    assert "piaccel backends --again" in caught.value.hint
    assert tries == ["once"]
    trial.forget()
    with pytest.raises(kind, match=r"died of it$"):
        trial.once(path, "litert")
