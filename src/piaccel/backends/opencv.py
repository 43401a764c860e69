"""OpenCV's own network engine, cv2.dnn: ONNX and float TensorFlow Lite."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from piaccel import chatter
from piaccel.backends import Availability, Backend, Options, Session, last_line
from piaccel.errors import ModelError, OptionError
from piaccel.tensors import Array, TensorSpec

if TYPE_CHECKING:
    from piaccel.formats import Network

_SILENT, _INFO = 0, 4


@dataclass(frozen=True, kw_only=True)
class OpenCVOptions(Options):
    """OpenCV has one number of threads for the whole process: it holds for cv2's image functions too."""

    engine: Literal["auto", "classic", "new"] = "auto"
    """OpenCV 5 has two engines; auto tries the new one first. OpenCV 4 has the classic one only."""


class OpenCV(Backend):
    suffixes = (".onnx", ".tflite")
    looks_into = (".tflite",)
    priority = 60
    options = OpenCVOptions
    modules = ("cv2",)
    install = "pip install opencv-python-headless"

    def _refuses(self, network: Network) -> str:
        if reason := super()._refuses(network):
            return reason
        if network.custom_operators:
            return f"it holds the operator {network.custom_operators[0]!r}, which OpenCV does not know"
        if network.precision not in ("fp32", "fp16", ""):
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
        return _Session(cv2, net, network, options.thread_count)

    def _explain(self, error: Exception) -> str:
        # "OpenCV(5.0.0) FILE:LINE: error: (-210:KIND) what went wrong in function 'f'"
        text = " ".join(str(error).split())
        told = text.partition("error: (")[2].partition(") ")[2].rpartition(" in function ")[0]
        return told or last_line(error)


class _Session(Session):
    """Names and shapes are the file's: cv2.dnn tells neither reliably.

    Of a TensorFlow Lite network OpenCV wants four-dimensional inputs as NCHW where the file says NHWC, and so the
    specs say NCHW; it answers in NCHW too, and that is put back as the file has it.
    """

    def __init__(self, cv2: Any, net: Any, network: Network, threads: int) -> None:
        nhwc = network.format == "tflite"
        self.inputs = tuple(_channels_first(spec) if nhwc else spec for spec in network.inputs)
        self.outputs = network.outputs
        self._names_in = [spec.name for spec in self.inputs]
        self._names_out = [spec.name for spec in self.outputs]
        self._turned = [spec.name for spec in self.outputs if nhwc and len(spec.shape) == 4]
        self._net = net
        self._cv2 = cv2
        self._threads = threads

    def _run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        if self._cv2.getNumThreads() != self._threads:
            self._cv2.setNumThreads(self._threads)
        for name in self._names_in:
            self._net.setInput(feeds[name], name)
        outputs = dict(zip(self._names_out, self._net.forward(self._names_out), strict=True))
        for name in self._turned:
            outputs[name] = np.ascontiguousarray(outputs[name].transpose(0, 2, 3, 1))
        return outputs

    def _close(self) -> None:
        del self._net


def _channels_first(spec: TensorSpec) -> TensorSpec:
    if len(spec.shape) != 4:
        return spec
    batch, height, width, channels = spec.shape
    return replace(spec, shape=(batch, channels, height, width), layout="NCHW" if spec.layout == "NHWC" else "")


def _engine(cv2: Any, wanted: str) -> dict[str, Any]:
    if hasattr(cv2.dnn, "ENGINE_AUTO"):
        return {"engine": getattr(cv2.dnn, f"ENGINE_{wanted.upper()}")}
    if wanted == "new":
        raise OptionError(f"OpenCV {cv2.__version__} has no engine 'new'", hint="pip install -U opencv-python-headless")
    return {}


def _quieten(cv2: Any) -> None:
    set_level = cv2.setLogLevel if hasattr(cv2, "setLogLevel") else cv2.utils.logging.setLogLevel  # OpenCV 4, 5
    set_level(_INFO if chatter.verbose() else _SILENT)
