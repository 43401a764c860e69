"""LiteRT: float and quantized TensorFlow Lite files."""

from pathlib import Path

import numpy as np
import pytest

from piaccel import backends, isolation
from piaccel.backends import Options
from piaccel.backends.litert import LiteRTOptions
from piaccel.errors import InputError, ModelError
from piaccel.tensors import Array
from piaccel.testing.compliance import BackendCompliance
from tests.backends import networks

BACKEND = backends.get("litert")
ONE = Options(threads=1)


class TestLiteRT(BackendCompliance):
    name = "litert"

    def model(self, folder: Path) -> Path:
        return networks.tflite_file(folder / "tiny.tflite")

    def feeds(self) -> dict[str, Array]:
        return {"x": networks.picture()}

    def expected(self) -> dict[str, Array]:
        return {"y": networks.answer(networks.picture())}


@pytest.mark.parametrize("xnnpack", [True, False])
@pytest.mark.parametrize(
    ("dtype", "per_channel", "zero_point"), [("INT8", True, 0), ("INT8", False, 0), ("UINT8", False, 128)]
)
def test_integer_inputs_and_outputs_carry_their_quantization(
    tmp_path: Path, dtype: str, per_channel: bool, zero_point: int, xnnpack: bool
) -> None:
    path = networks.quantized_tflite_file(tmp_path / "q.tflite", dtype, per_channel)
    options = LiteRTOptions(threads=1, xnnpack=xnnpack)
    with BACKEND.load(path, options) as session:
        (given,), (result,) = session.inputs, session.outputs
        assert given.dtype == result.dtype == np.dtype(dtype.lower())
        assert given.quantization is not None
        assert result.quantization is not None
        assert given.quantization.zero_point == result.quantization.zero_point == (zero_point,)
        fed = given.quantization.quantize(networks.picture(), given.dtype)
        real = result.quantization.dequantize(session.run({"x": fed})["y"])
    np.testing.assert_allclose(real, networks.answer(networks.picture()), atol=1.5 * networks.OUTPUT.scale[0])


def test_a_quantized_network_with_float_ends_takes_and_gives_floats(tmp_path: Path) -> None:
    path = networks.quantized_tflite_file(tmp_path / "q.tflite", float_ends=True)
    with BACKEND.load(path, ONE) as session:
        assert session.inputs[0].quantization is None
        real = session.run({"x_float": networks.picture()})["y_float"]
    np.testing.assert_allclose(real, networks.answer(networks.picture()), atol=1.5 * networks.OUTPUT.scale[0])


def test_a_free_batch_takes_any_batch_and_changes_between_runs(tmp_path: Path) -> None:
    with BACKEND.load(networks.tflite_file(tmp_path / "free.tflite", batch=-1), ONE) as session:
        assert session.inputs[0].shape == (None, 5, 5, 3)
        for batch in (3, 1, 3):
            picture = networks.picture(batch)
            answer = session.run({"x": picture})["y"]
            np.testing.assert_allclose(answer, networks.answer(picture), atol=1e-5)


def test_a_fixed_batch_stays_fixed(tmp_path: Path) -> None:
    with (
        BACKEND.load(networks.tflite_file(tmp_path / "fixed.tflite"), ONE) as session,
        pytest.raises(InputError, match=r"\(2, 5, 5, 3\), expected \(1, 5, 5, 3\)"),
    ):
        session.run({"x": networks.picture(2)})


def test_an_unknown_custom_operator_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="litert does not know its operator 'acme-op'"):
        BACKEND.load(networks.custom_tflite_file(tmp_path / "custom.tflite", "acme-op"), ONE)


def test_an_edge_tpu_model_is_refused_with_what_would_run_it(tmp_path: Path) -> None:
    path = networks.custom_tflite_file(tmp_path / "compiled.tflite", "edgetpu-custom-op")
    assert "needs the backend edgetpu" in BACKEND.refusal(path)
    with pytest.raises(ModelError, match="compiled for the Edge TPU"):
        BACKEND.load(path, ONE)


def test_the_number_of_threads_is_the_runtime_s(tmp_path: Path) -> None:
    path = networks.quantized_tflite_file(tmp_path / "q.tflite")
    started = [isolation.call(networks.COUNT, "litert", path, threads, timeout=60) for threads in (1, 3)]
    assert started[1] - started[0] == 2
