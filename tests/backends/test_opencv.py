"""OpenCV's dnn: ONNX and float TensorFlow Lite."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from piaccel import backends
from piaccel.backends import Options
from piaccel.backends.opencv import OpenCVOptions
from piaccel.errors import ModelError, OptionError
from piaccel.tensors import Array
from piaccel.testing.compliance import BackendCompliance
from tests.backends import networks

pytest.importorskip("onnx")

BACKEND = backends.get("opencv")
ONE = Options(threads=1)
TWO_ENGINES = hasattr(cv2.dnn, "ENGINE_AUTO")


class TestOpenCV(BackendCompliance):
    name = "opencv"

    def model(self, folder: Path) -> Path:
        return networks.onnx_file(folder / "tiny.onnx")

    def feeds(self) -> dict[str, Array]:
        return {"x": networks.nchw(networks.picture())}

    def expected(self) -> dict[str, Array]:
        return networks.onnx_answers(networks.picture())


class TestOpenCVOnTFLite(BackendCompliance):
    """The input is NCHW, as OpenCV wants it; the answer is NHWC, as the file has it."""

    name = "opencv"

    def model(self, folder: Path) -> Path:
        return networks.tflite_file(folder / "tiny.tflite")

    def feeds(self) -> dict[str, Array]:
        return {"x": networks.nchw(networks.picture())}

    def expected(self) -> dict[str, Array]:
        return {"y": networks.answer(networks.picture())}


def test_the_layout_of_a_tflite_input_says_how_to_feed_it(tmp_path: Path) -> None:
    with BACKEND.load(networks.tflite_file(tmp_path / "tiny.tflite"), ONE) as session:
        assert session.inputs[0].layout == "NCHW"
        assert session.inputs[0].shape == (1, 3, 5, 5)
        assert session.outputs[0].shape == (1, 5, 5, 2)


@pytest.mark.parametrize("engine", ["auto", "classic", "new"])
def test_every_engine_gives_the_outputs_in_the_order_of_the_file(tmp_path: Path, engine: str) -> None:
    path = networks.onnx_file(tmp_path / "tiny.onnx")
    options = OpenCVOptions(threads=1, engine=engine)  # type: ignore[arg-type]
    if engine == "new" and not TWO_ENGINES:
        with pytest.raises(OptionError, match="no engine 'new'"):
            BACKEND.load(path, options)
        return
    with BACKEND.load(path, options) as session:
        answers = session.run({"x": networks.nchw(networks.picture())})
    assert list(answers) == ["y", "positive"]
    for name, right in networks.onnx_answers(networks.picture()).items():
        np.testing.assert_allclose(answers[name], right, atol=1e-5)


def test_a_free_batch_takes_any_batch(tmp_path: Path) -> None:
    with BACKEND.load(networks.onnx_file(tmp_path / "free.onnx", ("batch", 3, 5, 5)), ONE) as session:
        for batch in (2, 1):
            picture = networks.picture(batch)
            answer = session.run({"x": networks.nchw(picture)})["y"]
            np.testing.assert_allclose(answer, networks.onnx_answers(picture)["y"], atol=1e-5)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_threads_is_the_runtime_s(tmp_path: Path, threads: int) -> None:
    before = cv2.getNumThreads()
    try:
        with BACKEND.load(networks.onnx_file(tmp_path / "tiny.onnx"), Options(threads=threads)) as session:
            session.run({"x": networks.nchw(networks.picture())})
            assert cv2.getNumThreads() == threads
    finally:
        cv2.setNumThreads(before)


@pytest.mark.parametrize("dtype", ["INT8", "UINT8"])
def test_a_quantized_tflite_network_is_refused_with_the_reason(tmp_path: Path, dtype: str) -> None:
    path = networks.quantized_tflite_file(tmp_path / "q.tflite", dtype, per_channel=False)
    assert (
        BACKEND.refusal(path)
        == f"it is quantized ({dtype.lower()}), and OpenCV reads float TensorFlow Lite models only"
    )
    with pytest.raises(ModelError, match="it is quantized"):
        BACKEND.load(path, ONE)


def test_an_unknown_operator_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="opencv does not know its operator 'acme:Odd'"):
        BACKEND.load(networks.onnx_file(tmp_path / "odd.onnx", op="Odd"), ONE)
    assert "'acme-op'" in BACKEND.refusal(networks.custom_tflite_file(tmp_path / "custom.tflite", "acme-op"))
