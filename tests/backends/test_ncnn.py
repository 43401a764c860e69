"""ncnn."""

from pathlib import Path

from piaccel.tensors import Array
from piaccel.testing.compliance import BackendCompliance
from tests.backends import networks


class TestNcnn(BackendCompliance):
    name = "ncnn"

    def model(self, folder: Path) -> Path:
        return networks.ncnn_file(folder / "tiny.param")

    def feeds(self) -> dict[str, Array]:
        return {"x": networks.nchw(networks.picture())}

    def expected(self) -> dict[str, Array]:
        return {"y": networks.nchw(networks.answer(networks.picture()))}
