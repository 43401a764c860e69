"""Opening a file in a child process: what comes back, and what ends only the child."""

from pathlib import Path

import pytest

from piaccel.backends._trial import trial
from piaccel.errors import HangError, ModelError, PiaccelError
from piaccel.isolation import Worker
from tests.formats import samples


def test_a_whole_file_tells_what_the_runtime_made_of_it(tmp_path: Path) -> None:
    path = samples.tflite(tmp_path / "net.tflite", quantized=True)
    opened = trial("litert", path, run=True)
    assert opened.backend == "litert"
    assert opened.version
    assert [(spec.name, spec.shape) for spec in opened.inputs] == [("image", (1, 8, 8, 3))]
    assert [(spec.name, spec.shape) for spec in opened.outputs] == [("logits", (1, 5))]


def test_a_refusal_comes_back_as_itself(tmp_path: Path) -> None:
    path = samples.tflite(tmp_path / "net.tflite", custom="my-op")
    with pytest.raises(ModelError, match="my-op"):
        trial("litert", path)


def test_a_child_that_does_not_answer_is_ended_and_replaced(tmp_path: Path) -> None:
    path = samples.tflite(tmp_path / "net.tflite")
    with Worker() as worker:
        with pytest.raises(HangError, match=f"{path}: litert did not open it within 0.001 s"):
            trial("litert", path, timeout=0.001, worker=worker)
        assert worker.pid is None
        assert trial("litert", path, worker=worker).outputs


def test_a_child_may_not_take_more_memory_than_it_is_given(tmp_path: Path) -> None:
    path = samples.tflite(tmp_path / "net.tflite")
    with pytest.raises(PiaccelError) as caught:
        trial("litert", path, memory=16 << 20)
    assert "\n" not in str(caught.value)
