"""ncnn."""

from pathlib import Path

import numpy as np
import pytest

from piaccel import backends
from piaccel.backends import Options
from piaccel.backends.ncnn import NcnnOptions
from piaccel.errors import ModelError
from piaccel.tensors import Array
from piaccel.testing.compliance import BackendCompliance
from tests.backends import networks

pytest.importorskip("ncnn")

BACKEND = backends.get("ncnn")
ONE = Options(threads=1)


class TestNcnn(BackendCompliance):
    name = "ncnn"

    def model(self, folder: Path) -> Path:
        return networks.ncnn_file(folder / "tiny.param")

    def feeds(self) -> dict[str, Array]:
        return {"x": networks.nchw(networks.picture())}

    def expected(self) -> dict[str, Array]:
        return {"y": networks.nchw(networks.answer(networks.picture()))}


class TestNcnnWorkingInPlace(TestNcnn):
    """A first layer that works in place must not touch, or fall over, the caller's memory."""

    def model(self, folder: Path) -> Path:
        path = folder / "relu.param"
        path.write_text("7767517\n2 2\nInput x 0 1 x\nReLU y 1 1 x y\n")
        path.with_suffix(".bin").touch()
        return path

    def expected(self) -> dict[str, Array]:
        return {"y": np.maximum(networks.nchw(networks.picture()), 0)}


def test_the_size_of_the_input_is_an_option_where_the_file_does_not_tell(tmp_path: Path) -> None:
    path = networks.ncnn_file(tmp_path / "tiny.param")
    with BACKEND.load(path, ONE) as session:
        assert session.inputs[0].shape == (1, 3, None, None)
        assert session.inputs[0].layout == "NCHW"
    with BACKEND.load(path, NcnnOptions(threads=1, input_size=(5, 7))) as session:
        assert session.inputs[0].shape == (1, 3, 5, 7)
        assert session.outputs[0].shape == (1, 2, 5, 7)


@pytest.mark.parametrize(
    ("options", "tolerance"),
    [
        (NcnnOptions(threads=1, light_mode=False), 1e-5),
        (NcnnOptions(threads=1, precision="f16"), 1e-2),
        (NcnnOptions(threads=1, precision="bf16"), 5e-2),
    ],
)
def test_its_options_change_the_answer_by_rounding_only(tmp_path: Path, options: NcnnOptions, tolerance: float) -> None:
    with BACKEND.load(networks.ncnn_file(tmp_path / "tiny.param"), options) as session:
        answer = session.run({"x": networks.nchw(networks.picture())})["y"]
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer, networks.nchw(networks.answer(networks.picture())), atol=tolerance)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_threads_is_the_runtime_s(tmp_path: Path, threads: int) -> None:
    with BACKEND.load(networks.ncnn_file(tmp_path / "tiny.param"), Options(threads=threads)) as session:
        assert session._net.opt.num_threads == threads  # type: ignore[attr-defined]
        assert not session._net.opt.use_vulkan_compute  # type: ignore[attr-defined]


def test_an_unknown_layer_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="'Oddity'"):
        BACKEND.load(networks.ncnn_file(tmp_path / "odd.param", layer="Oddity"), ONE)


def test_missing_and_truncated_weights_are_named(tmp_path: Path) -> None:
    path = networks.ncnn_file(tmp_path / "tiny.param")
    weights = path.with_suffix(".bin")
    weights.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(ModelError, match=r"tiny\.bin"):
        BACKEND.load(path, ONE)
    weights.unlink()
    with pytest.raises(ModelError, match=r"tiny\.bin"):
        BACKEND.load(path, ONE)
