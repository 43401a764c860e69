"""Seeds for the fuzz tests: tiny models of each format, and small real ones where they are beside the repository."""

from pathlib import Path

import pytest

from piaccel.testing.hailo import hefs
from tests.conftest import SHARED
from tests.formats import samples

REAL = {
    "tflite": ("imagenet/mobilenet_v1_0.25_128_quant.tflite", "broken/unknown_custom_op.tflite"),
    "onnx": ("coco/fastestdet.onnx",),
    "ncnn": ("coco/fastestdet.ncnn.param", "face/rfb_320.ncnn.param"),
}


@pytest.fixture(scope="session")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Model files by format."""
    folder = tmp_path_factory.mktemp("seeds")
    found = {
        "tflite": [
            samples.tflite(folder / "float.tflite"),
            samples.tflite(folder / "int8.tflite", quantized=True, free_batch=True),
            samples.tflite(folder / "custom.tflite", custom="edgetpu-custom-op"),
        ],
        "onnx": [
            samples.onnx(folder / "one.onnx"),
            samples.onnx(folder / "free.onnx", batch="N"),
            samples.onnx(folder / "uint8.onnx", quantized=True),
        ],
        "openvino": [samples.openvino(folder / "ir.xml")],
        "hef": [hefs.write(folder / "boxes.hef", "boxes"), hefs.write(folder / "both.hef", "both", version=3)],
        "ncnn": [samples.ncnn(folder / "net.param"), samples.ncnn(folder / "free.param", stated=False)],
    }
    for kind, names in REAL.items():
        found[kind] += [SHARED / "models" / name for name in names if (SHARED / "models" / name).is_file()]
    return found


@pytest.fixture(scope="session")
def repository() -> Path:
    return Path(__file__).parents[2]
