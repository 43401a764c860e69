"""OpenVINO: ONNX, TensorFlow Lite and its own .xml."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from piaccel import backends
from piaccel.backends import Options
from piaccel.backends.openvino import OpenVINOOptions
from piaccel.errors import ModelError
from piaccel.tensors import Array
from piaccel.testing.compliance import BackendCompliance
from tests.backends import networks

pytest.importorskip("openvino")
pytest.importorskip("onnx")

BACKEND = backends.get("openvino")
ONE = Options(threads=1)


class TestOpenVINO(BackendCompliance):
    name = "openvino"

    def model(self, folder: Path) -> Path:
        return networks.onnx_file(folder / "tiny.onnx")

    def feeds(self) -> dict[str, Array]:
        return {"x": networks.nchw(networks.picture())}

    def expected(self) -> dict[str, Array]:
        return networks.onnx_answers(networks.picture())


class TestOpenVINOOnItsOwnFiles(TestOpenVINO):
    def model(self, folder: Path) -> Path:
        return networks.ir_file(folder / "tiny.xml")


@pytest.mark.parametrize("dtype", ["INT8", "UINT8"])
@pytest.mark.parametrize("per_channel", [True, False])
def test_quantized_tflite_carries_its_quantization(tmp_path: Path, dtype: str, per_channel: bool) -> None:
    if dtype == "UINT8" and per_channel:
        pytest.skip("TensorFlow Lite has no such networks")
    path = networks.quantized_tflite_file(tmp_path / "q.tflite", dtype, per_channel)
    with BACKEND.load(path, ONE) as session:
        (given,), (result,) = session.inputs, session.outputs
        assert given.dtype == result.dtype == np.dtype(dtype.lower())
        assert given.quantization is not None
        assert result.quantization is not None
        fed = given.quantization.quantize(networks.picture(), given.dtype)
        real = result.quantization.dequantize(session.run({"x": fed})["y"])
    np.testing.assert_allclose(real, networks.answer(networks.picture()), atol=1.5 * networks.OUTPUT.scale[0])


def test_a_quantized_network_with_float_ends_takes_and_gives_floats(tmp_path: Path) -> None:
    path = networks.quantized_tflite_file(tmp_path / "q.tflite", float_ends=True)
    with BACKEND.load(path, ONE) as session:
        real = session.run({"x_float": networks.picture()})["y_float"]
    np.testing.assert_allclose(real, networks.answer(networks.picture()), atol=1.5 * networks.OUTPUT.scale[0])


@pytest.mark.parametrize(("dtype", "zero_point"), [("uint8", True), ("int8", True), ("uint8", False)])
def test_integers_at_the_ends_carry_the_quantization_that_the_graph_tells(
    tmp_path: Path, dtype: str, zero_point: bool
) -> None:
    path = networks.quantized_onnx_file(tmp_path / "q.onnx", dtype, zero_point)
    picture = np.maximum(networks.picture(), 0) if not zero_point else networks.picture()
    with BACKEND.load(path, ONE) as session:
        (given,), (result,) = session.inputs, session.outputs
        assert given.quantization is not None
        assert result.quantization is not None
        fed = given.quantization.quantize(networks.nchw(picture), given.dtype)
        real = result.quantization.dequantize(session.run({"x": fed})["y"])
    right = networks.nchw(networks.answer(picture))
    low = 0 if not zero_point else -np.inf
    np.testing.assert_allclose(real, np.maximum(right, low), atol=1.5 * networks.OUTPUT.scale[0])


def test_free_dimensions_take_any_length(tmp_path: Path) -> None:
    path = networks.onnx_file(tmp_path / "free.onnx", ("batch", 3, "height", "width"))
    with BACKEND.load(path, ONE) as session:
        assert session.inputs[0].shape == (None, 3, None, None)
        answers = []
        for batch in (2, 1):
            picture = networks.picture(batch)
            answers.append((session.run({"x": networks.nchw(picture)})["y"], networks.onnx_answers(picture)["y"]))
        for answer, right in answers:
            np.testing.assert_allclose(answer, right, atol=1e-5)


def test_float_networks_are_computed_in_f32_unless_f16_is_asked_for(tmp_path: Path) -> None:
    path = networks.onnx_file(tmp_path / "tiny.onnx")
    assert _property(path, OpenVINOOptions(threads=1), "INFERENCE_PRECISION_HINT") == "<Type: 'float32'>"
    with BACKEND.load(path, OpenVINOOptions(threads=1, precision="f16")) as session:
        answer = session.run({"x": networks.nchw(networks.picture())})["y"]
    np.testing.assert_allclose(answer, networks.onnx_answers(networks.picture())["y"], atol=1e-2)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_threads_is_the_runtime_s(tmp_path: Path, threads: int) -> None:
    path = networks.onnx_file(tmp_path / "tiny.onnx")
    assert _property(path, OpenVINOOptions(threads=threads), "INFERENCE_NUM_THREADS") == str(threads)


def test_an_unknown_operator_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="openvino does not know its operator 'acme:Odd'"):
        BACKEND.load(networks.onnx_file(tmp_path / "odd.onnx", op="Odd"), ONE)


def test_missing_weights_are_named(tmp_path: Path) -> None:
    path = networks.ir_file(tmp_path / "tiny.xml")
    path.with_suffix(".bin").unlink()
    with pytest.raises(ModelError, match=r"tiny\.bin"):
        BACKEND.load(path, ONE)


def test_an_edge_tpu_model_is_refused(tmp_path: Path) -> None:
    path = networks.custom_tflite_file(tmp_path / "compiled.tflite", "edgetpu-custom-op")
    assert "needs the backend edgetpu" in BACKEND.refusal(path)


def _property(path: Path, options: OpenVINOOptions, name: str) -> str:
    with BACKEND.load(path, options) as session:
        compiled: Any = session._compiled  # type: ignore[attr-defined]
        return str(compiled.get_property(name))
