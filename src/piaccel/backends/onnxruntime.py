"""ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from piaccel import chatter
from piaccel.backends import Availability, Backend, Options, Session, _diagnosis, last_line
from piaccel.errors import ModelError
from piaccel.tensors import Array, Quantization, TensorSpec, guess_layout

_PROVIDERS = ["CPUExecutionProvider"]
_FATAL, _WARNING = 4, 2
_DTYPES = {
    "float": "float32",
    "double": "float64",
    "float16": "float16",
    "bool": "bool",
    **{name: name for name in ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")},
}


@dataclass(frozen=True, kw_only=True)
class OnnxRuntimeOptions(Options):
    optimize: Literal["none", "basic", "extended", "all"] = "all"
    """How far the graph is rewritten while it is loaded."""
    spinning: bool = True
    """Threads spin while they wait for work: faster, and a hotter board. False lets them sleep."""
    arena: bool = True
    """Keep freed memory for the next run: faster, and a larger process."""


class OnnxRuntime(Backend):
    suffixes = (".onnx",)
    priority = 90
    options = OnnxRuntimeOptions
    modules = ("onnxruntime",)
    install = "pip install 'piaccel[onnx]'"
    crash_hint = "onnxruntime dies at import where /proc/cpuinfo is not an ARM one, as in an emulated arm64 container"

    def _probe(self) -> Availability:
        import onnxruntime

        if "CPUExecutionProvider" not in onnxruntime.get_available_providers():
            return Availability(False, "this build has no CPU provider", self.install, onnxruntime.__version__)
        return Availability(True, version=onnxruntime.__version__, devices=("CPU",))

    def _load(self, path: Path, options: OnnxRuntimeOptions) -> Session:
        import onnxruntime

        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = options.thread_count
        settings.inter_op_num_threads = 1
        settings.log_severity_level = _WARNING if chatter.verbose() else _FATAL
        levels = onnxruntime.GraphOptimizationLevel
        settings.graph_optimization_level = {
            "none": levels.ORT_DISABLE_ALL,
            "basic": levels.ORT_ENABLE_BASIC,
            "extended": levels.ORT_ENABLE_EXTENDED,
            "all": levels.ORT_ENABLE_ALL,
        }[options.optimize]
        settings.enable_cpu_mem_arena = options.arena
        settings.add_session_config_entry("session.intra_op.allow_spinning", "1" if options.spinning else "0")
        return _Session(path, onnxruntime.InferenceSession(str(path), settings, providers=_PROVIDERS))

    def _explain(self, error: Exception) -> str:
        text = last_line(error)
        if "Protobuf parsing failed" in text:
            return "it is truncated or damaged: not a valid ONNX file"
        # "[ONNXRuntimeError] : 1 : FAIL : Load model from PATH failed:what went wrong"
        return text.rpartition(" failed:")[2] if " failed:" in text else text.rpartition(" : ")[2]


class _Session(Session):
    def __init__(self, path: Path, session: Any) -> None:
        ends = session.get_inputs(), session.get_outputs()
        integer = any(tensor.type in ("tensor(int8)", "tensor(uint8)") for end in ends for tensor in end)
        told = _diagnosis.quantization(path) if integer else {}
        self.inputs = tuple(_spec(path, tensor, told, True) for tensor in ends[0])
        self.outputs = tuple(_spec(path, tensor, told, False) for tensor in ends[1])
        self._outputs = [spec.name for spec in self.outputs]
        self._session = session

    def _run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        return dict(zip(self._outputs, self._session.run(self._outputs, feeds), strict=True))

    def _close(self) -> None:
        del self._session


def _spec(path: Path, tensor: Any, told: Mapping[str, Quantization], is_input: bool) -> TensorSpec:
    kind = tensor.type.removeprefix("tensor(").removesuffix(")")
    if kind not in _DTYPES:
        raise ModelError(f"{path}: {tensor.name!r} is {tensor.type}, piaccel handles tensors of numbers only")
    shape = tuple(size if isinstance(size, int) and size >= 0 else None for size in tensor.shape)
    layout = guess_layout(shape) if is_input else ""
    return TensorSpec(tensor.name, shape, np.dtype(_DTYPES[kind]), layout, told.get(tensor.name))
