import sys
from pathlib import Path

import pytest

from piaccel import formats
from piaccel.errors import ModelError, UnavailableError
from piaccel.tensors import Quantization
from tests.formats import samples

package = pytest.importorskip("onnx")


@pytest.mark.parametrize("batch", [1, 2, "N"])
def test_a_network_is_described_for_a_batch_of_one(batch: int | str, tmp_path: Path) -> None:
    network = formats.read(samples.onnx(tmp_path / "net.onnx", batch=batch))
    assert network.format == "onnx"
    assert network.operators == {"Conv": 1, "Flatten": 1, "Gemm": 1, "Softmax": 1}
    assert network.parameters == samples.PARAMETERS
    assert network.macs == samples.MACS
    assert network.precision == "fp32"
    assert network.inputs[0].shape == (batch if isinstance(batch, int) else None, 3, 8, 8)
    assert network.inputs[0].layout == "NCHW"
    assert network.facts == {"opset": "13", "IR version": "8", "producer": "tests"}
    assert network.metadata == {"task": "classify"}


def test_the_quantization_of_integer_ends_is_told(tmp_path: Path) -> None:
    network = formats.read(samples.onnx(tmp_path / "net.onnx", quantized=True))
    assert network.inputs[0].quantization == Quantization((0.5,), (3,))
    assert network.outputs[0].quantization == Quantization((0.5,), (3,))
    assert network.parameters == samples.PARAMETERS  # scales and zero points are no weights
    assert network.macs == samples.MACS


def test_a_zero_point_that_is_not_a_number_is_no_quantization(tmp_path: Path) -> None:
    path = samples.onnx(tmp_path / "net.onnx", quantized=True)
    model = package.load(path)
    zero = next(tensor for tensor in model.graph.initializer if tensor.name == "zero")
    zero.data_type, zero.raw_data = package.TensorProto.FLOAT, b"\0\0\xc0\x7f"
    package.save(model, path)
    assert formats.read(path).inputs[0].quantization is None


@pytest.mark.parametrize(
    ("domain", "kind", "custom"),
    [
        ("", "Softmax", ()),
        ("", "Nobody", ("Nobody",)),
        ("mine", "Special", ("mine:Special",)),
        ("com.microsoft", "Gelu", ()),
    ],
)
def test_custom_operators_are_those_outside_the_standard_and_onnx_runtime(
    domain: str, kind: str, custom: tuple[str, ...], tmp_path: Path
) -> None:
    network = formats.read(samples.onnx(tmp_path / "net.onnx", domain=domain, kind=kind))
    assert network.custom_operators == custom
    assert network.macs == (None if domain == "mine" else samples.MACS)


def test_weights_in_a_file_of_their_own_are_counted_but_not_loaded(tmp_path: Path) -> None:
    model = package.load(samples.onnx(tmp_path / "net.onnx"))
    path = tmp_path / "outside.onnx"
    package.save(model, path, save_as_external_data=True, location="outside.data", size_threshold=0)
    network = formats.read(path)
    weights = tmp_path / "outside.data"
    assert network.size_bytes == path.stat().st_size + weights.stat().st_size
    assert (network.parameters, network.macs) == (samples.PARAMETERS, samples.MACS)
    weights.unlink()
    with pytest.raises(ModelError, match=r"needs the file 'outside\.data'"):
        formats.read(path)


def test_weights_outside_the_models_folder_are_refused(tmp_path: Path) -> None:
    model = package.load(samples.onnx(tmp_path / "net.onnx"))
    weights = model.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = package.TensorProto.EXTERNAL
    entry = weights.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"
    path = tmp_path / "evil.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="outside its folder"):
        formats.read(path)


def test_a_truncated_file_is_named_in_one_line(tmp_path: Path) -> None:
    path = samples.onnx(tmp_path / "net.onnx")
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ModelError, match="is truncated or not an ONNX model") as caught:
        formats.read(path)
    assert str(caught.value).startswith(str(path))


def test_names_that_are_not_utf8_are_read_or_refused(tmp_path: Path) -> None:
    path = samples.onnx(tmp_path / "net.onnx")
    path.write_bytes(path.read_bytes().replace(b"Softmax", b"Soft\xff\xfex"))
    assert "Soft\ufffd\ufffdx" in formats.read(path).operators
    path.write_bytes(path.read_bytes().replace(b"kernel", b"ker\xff\xfel"))
    with pytest.raises(ModelError, match="is damaged"):
        formats.read(path)


def test_without_the_package_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = samples.onnx(tmp_path / "net.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UnavailableError) as caught:
        formats.read(path)
    assert caught.value.hint == "pip install 'piaccel[onnx]'"
