"""LiteRT: float and quantized TensorFlow Lite files."""

from pathlib import Path

from piaccel.tensors import Array
from piaccel.testing.compliance import BackendCompliance
from tests.backends import networks


class TestLiteRT(BackendCompliance):
    name = "litert"

    def model(self, folder: Path) -> Path:
        return networks.tflite_file(folder / "tiny.tflite")

    def feeds(self) -> dict[str, Array]:
        return {"x": networks.picture()}

    def expected(self) -> dict[str, Array]:
        return {"y": networks.answer(networks.picture())}
