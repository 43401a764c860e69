import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from piaccel import formats
from piaccel.errors import ModelError, UnavailableError
from piaccel.tensors import Quantization
from tests.formats import samples


def test_a_network_is_described_without_a_runtime(tmp_path: Path) -> None:
    network = formats.read(samples.tflite(tmp_path / "net.tflite"))
    assert network.format == "tflite"
    assert network.operators == {"CONV_2D": 1, "FULLY_CONNECTED": 1, "RESHAPE": 1}
    assert network.parameters == samples.PARAMETERS  # the reshape's int32 constant is no weight
    assert network.macs == samples.MACS
    assert network.precision == "fp32"
    assert network.size_bytes == (tmp_path / "net.tflite").stat().st_size
    assert (network.inputs[0].name, network.inputs[0].shape, network.inputs[0].layout) == (
        "image",
        (1, 8, 8, 3),
        "NHWC",
    )
    assert (network.outputs[0].name, network.outputs[0].shape) == ("logits", (1, 5))
    assert not network.edgetpu


def test_quantization_and_free_dimensions_are_told(tmp_path: Path) -> None:
    network = formats.read(samples.tflite(tmp_path / "net.tflite", quantized=True, free_batch=True))
    assert network.precision == "int8"
    assert network.inputs[0].quantization == Quantization((0.5,), (3,))
    assert network.inputs[0].shape == (None, 8, 8, 3)
    assert network.macs == samples.MACS


def test_a_custom_operator_stands_under_its_own_name(tmp_path: Path) -> None:
    network = formats.read(samples.tflite(tmp_path / "net.tflite", custom="my-op"))
    assert network.operators["my-op"] == 1
    assert network.custom_operators == ("my-op",)
    assert network.macs is None
    assert network.cpu_operators == 4


def test_detection_postprocessing_hides_no_multiplications(tmp_path: Path) -> None:
    network = formats.read(samples.tflite(tmp_path / "net.tflite", custom="TFLite_Detection_PostProcess"))
    assert network.macs == samples.MACS


def test_an_edge_tpu_model_is_recognised_by_its_operator(tmp_path: Path) -> None:
    network = formats.read(samples.tflite(tmp_path / "net.tflite", custom="edgetpu-custom-op"))
    assert network.edgetpu
    assert network.cpu_operators == 3
    assert network.parameters is None


def refusal(path: Path) -> str:
    """What the reader says against a file, '' when it reads it."""
    try:
        formats.read(path)
    except ModelError as error:
        return str(error)
    return ""


def test_every_cut_of_a_file_is_refused_in_one_line_that_names_it(tmp_path: Path) -> None:
    whole = samples.tflite(tmp_path / "net.tflite").read_bytes()
    cut = tmp_path / "cut.tflite"
    for length in range(8, len(whole) - 8, 97):
        cut.write_bytes(whole[:length])
        said = refusal(cut)
        assert said.startswith(str(cut)), f"the first {length} of {len(whole)} bytes were taken for a whole model"
        assert "\n" not in said


def test_a_length_of_four_billion_is_not_believed_wherever_it_stands(tmp_path: Path) -> None:
    path = samples.tflite(tmp_path / "net.tflite")
    whole = path.read_bytes()
    refused = 0
    for offset in range(0, len(whole), 4):
        path.write_bytes(whole[:offset] + struct.pack("<I", 0xFFFFFFF0) + whole[offset + 4 :])
        said = refusal(path)
        assert said == "" or str(path) in said
        refused += bool(said)
    assert refused > 50


def test_without_the_schema_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = samples.tflite(tmp_path / "net.tflite")
    monkeypatch.setitem(sys.modules, "ai_edge_litert.schema_py_generated", None)
    with pytest.raises(UnavailableError, match="ai-edge-litert") as caught:
        formats.read(path)
    assert caught.value.hint == "pip install ai-edge-litert"


@pytest.mark.parametrize(
    ("name", "parameters", "macs", "precision"),
    [
        ("imagenet/mobilenet_v1_0.25_128_quant", 0.47e6, 14e6, "uint8"),  # the MobileNet paper: 0.5 M, 14 M
        ("imagenet/mobilenet_v2_1.0_224_quant", 3.5e6, 300e6, "uint8"),  # the MobileNetV2 paper: 3.4 M, 300 M
        ("imagenet/tf2_mobilenet_v2_1.0_224_ptq", 3.5e6, 300e6, "int8"),
    ],
)
def test_published_figures_are_met(name: str, parameters: float, macs: float, precision: str, shared: Path) -> None:
    network = formats.read(shared / "models" / f"{name}.tflite")
    assert network.parameters == pytest.approx(parameters, rel=0.05)
    assert network.macs == pytest.approx(macs, rel=0.05)
    assert network.precision == precision


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("imagenet/mobilenet_v1_0.25_128_quant_edgetpu", 0),
        ("pose/movenet_single_pose_lightning_ptq_edgetpu", 59),
    ],
)
def test_a_compiled_model_tells_what_is_left_to_the_cpu(name: str, left: int, shared: Path) -> None:
    network = formats.read(shared / "models" / f"{name}.tflite")
    assert network.edgetpu
    assert network.cpu_operators == left
    assert network.inputs[0].dtype == np.uint8


def test_a_file_is_read_once_for_all_who_look_at_it_and_again_when_it_has_changed(tmp_path: Path) -> None:
    file = samples.tflite(tmp_path / "net.tflite")
    first = formats.read(file)
    assert formats.read(file) is first
    file.write_bytes(file.read_bytes() + b"\0" * 4)
    assert formats.read(file).size_bytes == first.size_bytes + 4
    file.write_bytes(b"nothing of the kind")
    with pytest.raises(ModelError):
        formats.read(file)
