"""The part of ``openvino.runtime`` 2022.3 that a program with one model uses. Every output is the input's mean.

Source: openvino releases/2022/3, src/bindings/python/src/openvino/runtime and docs of the MYRIAD plug-in.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MYRIAD_TAKES = {"PERFORMANCE_HINT", "LOG_LEVEL"}


def get_version() -> str:
    return "2022.3.1-9227-cf2c7da5689-releases/2022/3"


class Type:
    """An element type."""

    def __init__(self, dtype: str) -> None:
        self._dtype = np.dtype(dtype)

    def to_dtype(self) -> np.dtype[Any]:
        return self._dtype

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Type) and self._dtype == other._dtype

    def __hash__(self) -> int:
        return hash(self._dtype)


Type.i8 = Type("int8")  # type: ignore[attr-defined]
Type.u8 = Type("uint8")  # type: ignore[attr-defined]


class Tensor:
    def __init__(self, array: NDArray[Any], shared_memory: bool = False) -> None:
        self.data = array if shared_memory else array.copy()


class _Dimension:
    def __init__(self, size: int | None) -> None:
        self.is_dynamic = size is None
        self._size = size

    def get_length(self) -> int:
        assert self._size is not None
        return self._size


class _Port:
    def __init__(self, spec: Any) -> None:
        self.spec = spec

    def get_names(self) -> set[str]:
        return {self.spec.name}

    def get_any_name(self) -> str:
        return str(self.spec.name)

    def get_element_type(self) -> Type:
        return Type(self.spec.dtype.name)

    def get_partial_shape(self) -> list[_Dimension]:
        return [_Dimension(size) for size in self.spec.shape]


class _Model:
    def __init__(self, network: Any) -> None:
        self.inputs = [_Port(spec) for spec in network.inputs]
        self.outputs = [_Port(spec) for spec in network.outputs]


class InferRequest:
    def __init__(self, model: _Model) -> None:
        self._model = model
        self._given: dict[int, Tensor] = {}
        self._made: dict[int, Tensor] = {}

    def set_input_tensor(self, index: int, tensor: Tensor) -> None:
        self._given[index] = tensor

    def set_output_tensor(self, index: int, tensor: Tensor) -> None:
        self._made[index] = tensor

    def get_output_tensor(self, index: int) -> Tensor:
        return self._made[index]

    def infer(self, inputs: Any = None) -> dict[Any, NDArray[Any]]:
        if os.environ.get("PIACCEL_FAKE_MYRIAD") == "lost":
            raise RuntimeError("Failed to write input to FIFO: NC_ERROR")
        for tensor in self._made.values():
            tensor.data[...] = self._given[0].data.mean()
        return {port: self._made[index].data for index, port in enumerate(self._model.outputs)}


class CompiledModel(_Model):
    def __init__(self, model: _Model) -> None:
        self.inputs, self.outputs = model.inputs, model.outputs

    def create_infer_request(self) -> InferRequest:
        return InferRequest(self)


class Core:
    @property
    def available_devices(self) -> list[str]:
        """Plug-ins whose device is there."""
        return ["CPU", *(["MYRIAD"] if os.environ.get("PIACCEL_FAKE_MYRIAD", "") != "absent" else [])]

    def get_versions(self, device: str) -> dict[str, str]:
        return {device: get_version()} if device in ("CPU", "MYRIAD") else {}

    def read_model(self, path: str | Path) -> _Model:
        from piaccel import formats

        return _Model(formats.read(Path(path)))

    def compile_model(
        self, model: _Model, device_name: str = "AUTO", config: Mapping[str, Any] | None = None
    ) -> CompiledModel:
        if not self.get_versions(device_name):
            raise RuntimeError(f'Device with "{device_name}" name is not registered in the OpenVINO Runtime')
        if device_name == "MYRIAD":
            if unknown := set(config or ()) - _MYRIAD_TAKES:
                raise RuntimeError(f"[ NOT_FOUND ] Unsupported property {min(unknown)} by MYRIAD plugin")
            if "MYRIAD" not in self.available_devices:
                raise RuntimeError("Can not init Myriad device: NC_ERROR")
        return CompiledModel(model)
