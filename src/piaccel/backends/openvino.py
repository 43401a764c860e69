"""OpenVINO on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from piaccel.backends import Availability, Backend, Options, Session, _diagnosis, distinct
from piaccel.tensors import Array, Quantization, TensorSpec, guess_layout


@dataclass(frozen=True, kw_only=True)
class OpenVINOOptions(Options):
    precision: Literal["f32", "f16"] = "f32"
    """Arithmetic of float networks. The runtime itself prefers f16 where the CPU has it (Raspberry Pi 5): faster, and
    answers that differ a little from those of the other backends."""


class OpenVINO(Backend):
    suffixes = (".xml", ".onnx", ".tflite")
    looks_into = (".xml", ".tflite")
    priority = 80
    options = OpenVINOOptions
    modules = ("openvino",)
    install = "pip install 'piaccel[openvino]'"

    def _probe(self) -> Availability:
        import openvino as ov

        version = ov.get_version().partition("-")[0]
        return Availability(True, version=version, devices=tuple(ov.Core().available_devices))

    def _load(self, path: Path, options: OpenVINOOptions) -> Session:
        import openvino as ov

        model = ov.Core().read_model(path)
        settings = {
            "INFERENCE_PRECISION_HINT": options.precision,
            "INFERENCE_NUM_THREADS": options.thread_count,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
        }
        compiled = ov.Core().compile_model(model, "CPU", settings)
        return _Session(ov, compiled, path)


class _Session(Session):
    def __init__(self, ov: Any, compiled: Any, path: Path) -> None:
        ports = (*compiled.inputs, *compiled.outputs)
        integer = any(port.get_element_type() in (ov.Type.i8, ov.Type.u8) for port in ports)
        # OpenVINO keeps integer inputs and outputs and does not tell their scales.
        told = _diagnosis.quantization(path) if integer else {}
        self.inputs = _specs(compiled.inputs, told, True)
        self.outputs = _specs(compiled.outputs, told, False)
        self._tensor = ov.Tensor
        self._compiled = compiled
        self._request = compiled.create_infer_request()
        # start_async() and wait() cost 30 us less, and a Ctrl-C between them leaves the request busy for ever.
        self._infer = self._request.infer
        self._fed: list[Array | None] = [None for _ in self.inputs]
        self._buffers: list[tuple[str, int, Array | None]] = []
        for index, spec in enumerate(self.outputs):
            buffer = None
            shape = [size for size in spec.shape if size is not None]
            if len(shape) == len(spec.shape):
                buffer = np.empty(shape, spec.dtype)
                self._request.set_output_tensor(index, ov.Tensor(buffer, shared_memory=True))
            self._buffers.append((spec.name, index, buffer))

    def _run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        for index, spec in enumerate(self.inputs):
            array = feeds[spec.name]
            if array is not self._fed[index]:  # a reused input buffer stays where the runtime knows it
                self._feed(index, array)
        self._infer()
        return {
            name: (self._request.get_output_tensor(index).data if buffer is None else buffer).copy()
            for name, index, buffer in self._buffers
        }

    def _feed(self, index: int, array: Array) -> None:
        if array.flags.writeable:
            self._request.set_input_tensor(index, self._tensor(array, shared_memory=True))
            self._fed[index] = array
        else:
            self._request.set_input_tensor(index, self._tensor(array))
            self._fed[index] = None

    def _close(self) -> None:
        del self._infer, self._request, self._compiled
        self._fed.clear()
        self._buffers.clear()


def _specs(ports: list[Any], told: Mapping[str, Quantization], is_input: bool) -> tuple[TensorSpec, ...]:
    names = distinct(_name(port) for port in ports)
    return tuple(_spec(name, port, told.get(name), is_input) for name, port in zip(names, ports, strict=True))


def _name(port: Any) -> str:
    name: str = port.get_any_name() if port.get_names() else port.get_node().get_friendly_name()
    return name


def _spec(name: str, port: Any, quantization: Quantization | None, is_input: bool) -> TensorSpec:
    shape = tuple(None if size.is_dynamic else size.get_length() for size in port.get_partial_shape())
    dtype = np.dtype(port.get_element_type().to_dtype())
    return TensorSpec(name, shape, dtype, guess_layout(shape) if is_input else "", quantization)
