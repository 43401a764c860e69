"""OpenVINO: on the CPU, and on what else the installed release has a plug-in for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from piaccel.backends import Availability, Backend, Options, Session, _diagnosis, distinct
from piaccel.errors import UnavailableError
from piaccel.tensors import Array, Quantization, TensorSpec, guess_layout


@dataclass(frozen=True, kw_only=True)
class OpenVINOOptions(Options):
    precision: Literal["f32", "f16"] = "f32"
    """Arithmetic of float networks. The runtime itself prefers f16 where the CPU has it (Raspberry Pi 5): faster, and
    answers that differ a little from those of the other backends."""
    device: str = "CPU"
    """"CPU", "GPU", "MYRIAD" (Neural Compute Stick 2, OpenVINO 2022.3 and older), ...: what OpenVINO calls a device."""


NCS2 = "Intel's Neural Compute Stick 2 is unsupported since OpenVINO 2023, and no release with it is for this Python"
NCS2_INSTEAD = "use the CPU, a Hailo or a Coral instead; docs/ncs2.md tells what is left to try"
_USB = Path("/sys/bus/usb/devices")
_STICKS = {"2485": "NCS2", "f63b": "NCS2", "f63c": "NCS2", "2150": "NCS"}
"""USB product ids of Intel Movidius (vendor 03e7); f63b and f63c once it is booted."""

_NO_INT8_KERNEL = "object is not initialized"
"""What 2026.4 says of int8 convolutions where the CPU has no dot product (Pi 4 and older); it computes them in float
when told not to transform them (src/inference/dev_api/openvino/runtime/internal_properties.hpp)."""


class OpenVINO(Backend):
    suffixes = (".xml", ".onnx", ".tflite")
    looks_into = (".xml", ".tflite")
    priority = 80
    options = OpenVINOOptions
    modules = ("openvino",)
    install = "pip install 'piaccel[openvino]'"

    def _probe(self) -> Availability:
        ov = _runtime()
        version = ov.get_version().partition("-")[0]
        core = _core(ov)
        devices = tuple(core.available_devices)
        stick = _stick()
        if stick and not _has_plugin(core, "MYRIAD"):
            reason = f"{stick} found on USB: {NCS2}"
            return Availability(
                True, reason, NCS2_INSTEAD, version=version, devices=(*devices, f"{stick} (unsupported)")
            )
        return Availability(True, version=version, devices=devices)

    def _load(self, path: Path, options: OpenVINOOptions) -> Session:
        ov = _runtime()
        core = _core(ov)
        device = options.device.upper()
        _check(ov, core, device)
        model, settings = core.read_model(path), _settings(device, options)
        try:
            compiled = core.compile_model(model, device, settings)
        except RuntimeError as error:
            if "MYRIAD" in device and "NC_ERROR" in str(error):
                raise _no_stick() from error
            if _NO_INT8_KERNEL not in str(error):
                raise
            compiled = core.compile_model(model, device, {**settings, "LP_TRANSFORMS_MODE": "NO"})
        return _Session(ov, compiled, path)


def _runtime() -> Any:
    """The module with ``Core``: up to 2022.3 that is ``openvino.runtime``, which later releases dropped."""
    import openvino

    if hasattr(openvino, "Core"):
        return openvino
    import openvino.runtime

    return openvino.runtime


@cache
def _core(ov: Any) -> Any:
    """One for the process: with a core goes its CPU plug-in, and where the CPU has AMX that takes with it the memory on
    which the thread that loaded it handles signals (sigaltstack, OpenVINO 2026.4): the next signal kills."""
    return ov.Core()


def _settings(device: str, options: OpenVINOOptions) -> dict[str, Any]:
    if "MYRIAD" in device:  # it computes in f16 and refuses settings that it does not know
        return {"PERFORMANCE_HINT": "LATENCY"}
    shared: dict[str, Any] = {"INFERENCE_PRECISION_HINT": options.precision, "PERFORMANCE_HINT": "LATENCY"}
    if device != "CPU":
        return shared
    return {**shared, "INFERENCE_NUM_THREADS": options.thread_count, "NUM_STREAMS": 1}


def _check(ov: Any, core: Any, device: str) -> None:
    """Raise UnavailableError unless OpenVINO has a plug-in for each part of the device: "GPU.1", "HETERO:GPU,CPU"."""
    parts = [part.partition(".")[0].partition("(")[0] for part in device.replace(",", ":").split(":")]
    missing = [part for part in parts if not _has_plugin(core, part)]
    if "MYRIAD" in missing:
        stick = _stick()
        found = f"{stick} is found on USB" if stick else "no stick is found on USB"
        version = ov.get_version().partition("-")[0]
        raise UnavailableError(f"{NCS2} (OpenVINO {version} is installed; {found})", hint=NCS2_INSTEAD)
    if missing:
        raise UnavailableError(
            f"OpenVINO knows no device {missing[0]!r} here", hint=f"it has {', '.join(core.available_devices)}"
        )


def _has_plugin(core: Any, name: str) -> bool:
    try:
        return bool(core.get_versions(name))
    except RuntimeError:  # it is there and does not load, as the GPU's where there is no OpenCL
        return False


def _no_stick() -> UnavailableError:
    stick = _stick()
    if stick is None:
        return UnavailableError(
            "no Neural Compute Stick is found on USB", hint="plug it in; lsusb shows it as 03e7:2485"
        )
    return UnavailableError(
        f"{stick} is on USB and does not start (NC_ERROR)",
        hint="plug it in anew; a user who is not root needs Intel's udev rules (97-myriad-usbboot.rules)",
    )


def _stick() -> str | None:
    """The name of a Neural Compute Stick on USB, from what the kernel lists; None when there is none."""
    for vendor in _USB.glob("*/idVendor"):
        try:
            if vendor.read_text().strip() == "03e7":
                return _STICKS.get(vendor.with_name("idProduct").read_text().strip(), "a Movidius device")
        except OSError:  # pulled out while it was read
            continue
    return None


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
