"""OpenCV's own network engine, cv2.dnn: ONNX and float TensorFlow Lite."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from piaccel import chatter
from piaccel.backends import Availability, Backend, Options, Session, last_line
from piaccel.errors import ModelError, OptionError
from piaccel.tensors import Array, TensorSpec


@dataclass(frozen=True, kw_only=True)
class OpenCVOptions(Options):
    """OpenCV has one number of threads for the whole process: it holds for cv2's image functions too."""

    engine: Literal["auto", "classic", "new"] = "auto"
    """OpenCV 5 has two engines; auto tries the new one first. OpenCV 4 has the classic one only."""


class OpenCV(Backend):
    suffixes = (".onnx", ".tflite")
    priority = 60
    options = OpenCVOptions
    modules = ("cv2",)
    install = "pip install opencv-python-headless"

    def refusal(self, path: Path) -> str:
        if reason := super().refusal(path):
            return reason
        from piaccel import formats

        if path.suffix != ".tflite":
            return ""
        try:
            network = formats.read(path)
        except ModelError as error:
            return str(error).removeprefix(f"{path} ")
        if network.custom_operators:
            return f"it holds the custom operator {network.custom_operators[0]!r}, which OpenCV does not know"
        if network.precision in ("int8", "uint8", "mixed"):
            return f"it is quantized ({network.precision}), and OpenCV reads float TensorFlow Lite models only"
        return ""

    def _probe(self) -> Availability:
        import cv2

        if not hasattr(cv2, "dnn"):
            return Availability(False, "this build of OpenCV has no dnn module", self.install, cv2.__version__)
        return Availability(True, version=cv2.__version__, devices=("CPU",))

    def _load(self, path: Path, options: OpenCVOptions) -> Session:
        import cv2

        from piaccel import formats

        engine = _engine(cv2, options.engine)
        network = formats.read(path)
        _quieten(cv2)
        read = cv2.dnn.readNetFromTFLite if path.suffix == ".tflite" else cv2.dnn.readNetFromONNX
        net = read(str(path), **engine)
        if net.empty():
            raise ModelError(f"{path}: opencv reads no network from it")
        return _Session(cv2, net, network.inputs, network.outputs, options.thread_count)

    def _explain(self, error: Exception) -> str:
        # "OpenCV(5.0.0) FILE:LINE: error: (-210:KIND) what went wrong in function 'f'"
        text = " ".join(str(error).split())
        told = text.partition("error: (")[2].partition(") ")[2].rpartition(" in function ")[0]
        return told or last_line(error)


class _Session(Session):
    def __init__(
        self, cv2: Any, net: Any, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], threads: int
    ) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self._names_in = [spec.name for spec in inputs]
        self._names_out = [spec.name for spec in outputs]
        self._net = net
        self._cv2 = cv2
        self._threads = threads

    def _run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        if self._cv2.getNumThreads() != self._threads:
            self._cv2.setNumThreads(self._threads)
        for name in self._names_in:
            self._net.setInput(feeds[name], name)
        return dict(zip(self._names_out, self._net.forward(self._names_out), strict=True))

    def _close(self) -> None:
        del self._net


def _engine(cv2: Any, wanted: str) -> dict[str, Any]:
    if hasattr(cv2.dnn, "ENGINE_AUTO"):
        return {"engine": getattr(cv2.dnn, f"ENGINE_{wanted.upper()}")}
    if wanted == "new":
        raise OptionError(f"OpenCV {cv2.__version__} has no engine 'new'", hint="pip install -U opencv-python-headless")
    return {}


def _quieten(cv2: Any) -> None:
    logging = cv2.utils.logging
    logging.setLogLevel(logging.LOG_LEVEL_INFO if chatter.verbose() else logging.LOG_LEVEL_SILENT)
