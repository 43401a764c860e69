"""OpenCV."""

from pathlib import Path

from piaccel.tensors import Array
from piaccel.testing.compliance import BackendCompliance
from tests.backends import networks


class TestOpenCV(BackendCompliance):
    name = "opencv"

    def model(self, folder: Path) -> Path:
        return networks.onnx_file(folder / "tiny.onnx")

    def feeds(self) -> dict[str, Array]:
        return {"x": networks.nchw(networks.picture())}

    def expected(self) -> dict[str, Array]:
        return networks.onnx_answers(networks.picture())
