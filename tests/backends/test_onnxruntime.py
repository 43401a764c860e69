"""ONNX Runtime."""

from pathlib import Path

import numpy as np
import pytest

from piaccel import backends, isolation
from piaccel.backends import Options
from piaccel.backends.onnxruntime import OnnxRuntimeOptions
from piaccel.errors import InferenceError, ModelError
from piaccel.tensors import Array
from piaccel.testing.compliance import BackendCompliance
from tests.backends import networks

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

BACKEND = backends.get("onnxruntime")
ONE = Options(threads=1)


class TestOnnxRuntime(BackendCompliance):
    name = "onnxruntime"

    def model(self, folder: Path) -> Path:
        return networks.onnx_file(folder / "tiny.onnx")

    def feeds(self) -> dict[str, Array]:
        return {"x": networks.nchw(networks.picture())}

    def expected(self) -> dict[str, Array]:
        return networks.onnx_answers(networks.picture())


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
        assert session.inputs[0].layout == "NCHW"
        for batch in (2, 1):
            picture = networks.picture(batch)
            answer = session.run({"x": networks.nchw(picture)})["y"]
            np.testing.assert_allclose(answer, networks.onnx_answers(picture)["y"], atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        OnnxRuntimeOptions(threads=1, optimize="none"),
        OnnxRuntimeOptions(threads=1, optimize="basic", spinning=False),
        OnnxRuntimeOptions(threads=1, optimize="extended", arena=False),
    ],
)
def test_its_options_do_not_change_the_answer(tmp_path: Path, options: OnnxRuntimeOptions) -> None:
    with BACKEND.load(networks.onnx_file(tmp_path / "tiny.onnx"), options) as session:
        answer = session.run({"x": networks.nchw(networks.picture())})["y"]
    np.testing.assert_allclose(answer, networks.onnx_answers(networks.picture())["y"], atol=1e-5)


def test_weights_in_a_file_of_their_own_are_found_and_missed(tmp_path: Path) -> None:
    path = networks.onnx_file(tmp_path / "apart.onnx", external=True)
    BACKEND.load(path, ONE).close()
    (tmp_path / "apart.onnx.data").unlink()
    with pytest.raises(ModelError, match=r"apart\.onnx\.data"):
        BACKEND.load(path, ONE)


def test_an_unknown_operator_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="onnxruntime does not know its operator 'acme:Odd'"):
        BACKEND.load(networks.onnx_file(tmp_path / "odd.onnx", op="Odd"), ONE)


def test_what_is_no_tensor_of_numbers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"'words' is tensor\(string\)"):
        BACKEND.load(networks.text_onnx_file(tmp_path / "words.onnx"), ONE)


def test_a_failure_while_running_is_one_line(tmp_path: Path) -> None:
    path = networks.matmul_onnx_file(tmp_path / "product.onnx")
    with BACKEND.load(path, ONE) as session, pytest.raises(InferenceError) as caught:
        session.run({"a": np.ones((2, 3), np.float32), "b": np.ones((2, 3), np.float32)})
    assert len(str(caught.value).splitlines()) == 1


def test_initializers_among_the_inputs_make_no_noise(shared: Path, capfd: pytest.CaptureFixture[str]) -> None:
    BACKEND.load(shared / "models/face/rfb_320.onnx", ONE).close()
    assert capfd.readouterr() == ("", "")


def test_the_number_of_threads_is_the_runtime_s(tmp_path: Path) -> None:
    path = networks.onnx_file(tmp_path / "tiny.onnx")
    started = [isolation.call(networks.COUNT, "onnxruntime", path, threads, timeout=60) for threads in (1, 3)]
    assert started[1] - started[0] == 2
