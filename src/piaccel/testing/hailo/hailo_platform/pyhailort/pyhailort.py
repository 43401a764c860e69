"""VDevice, InferModel and Device with the vendor's signatures (HailoRT 4.23 and 5.2, pyhailort.py)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from piaccel.testing.hailo.hefs import CLASSES, MOST

from . import _errors, _network
from ._engine import AsyncInferJob, Engine
from ._errors import HailoRTException as HailoRTException
from ._pyhailort import SETTINGS, DeviceArchitecture, FormatOrder, FormatType
from ._pyhailort import SchedulingAlgorithm as HailoSchedulingAlgorithm

_BYTES = {FormatType.UINT8: 1, FormatType.UINT16: 2, FormatType.FLOAT32: 4}
_NMS = (FormatOrder.HAILO_NMS_BY_CLASS, FormatOrder.HAILO_NMS_BY_SCORE, FormatOrder.HAILO_NMS_WITH_BYTE_MASK)
OPEN: list[VDevice] = []
"""The virtual devices that this process holds; for tests."""


class HEF:
    def __init__(self, hef_source: str) -> None:
        self.path = hef_source
        self._network = _network.Network(hef_source)

    def get_network_group_names(self) -> list[str]:
        return [self._network.name]

    def get_output_vstream_infos(self, name: str | None = None) -> list[Any]:
        shape = SimpleNamespace(number_of_classes=CLASSES, max_bboxes_per_class=MOST)
        return [
            SimpleNamespace(name=each.name, nms_shape=shape if each.order in _NMS else None)
            for each in self._network.outputs
        ]


class _InferStream:
    """InferModel.InferStream: what goes in or out, and in which type and order."""

    def __init__(self, stream: _network.Stream) -> None:
        self._stream = stream
        self._thresholds = False
        self.name = stream.name
        self.format = SimpleNamespace(type=FormatType.UINT8, order=stream.order, flags=0)
        if stream.order in _NMS:
            self.format.type = FormatType.FLOAT32

    @property
    def shape(self) -> tuple[int, ...]:
        if self.format.order is FormatOrder.HAILO_NMS_BY_CLASS:
            return (CLASSES * (1 + MOST * 5),)
        if self.format.order in _NMS:  # the size of the frame, counted in what the type takes
            return ((2 + CLASSES * MOST * _network.RECORD.size) // _BYTES[self.format.type],)
        return self._stream.shape

    @property
    def quant_infos(self) -> list[Any]:
        return [
            SimpleNamespace(
                qp_zp=self._stream.zero_point, qp_scale=self._stream.scale, limvals_min=0.0, limvals_max=0.0
            )
        ]

    @property
    def is_nms(self) -> bool:
        return self.format.order in _NMS

    def set_format_type(self, type: FormatType) -> None:
        self.format.type = FormatType.UINT8 if type is FormatType.AUTO else type

    def set_format_order(self, order: FormatOrder) -> None:
        self.format.order = order

    def set_nms_score_threshold(self, threshold: float) -> None:
        self._thresholds = True

    @property
    def size(self) -> int:
        """Bytes of a frame; not part of the vendor's."""
        if self.format.order in (FormatOrder.HAILO_NMS_BY_SCORE, FormatOrder.HAILO_NMS_WITH_BYTE_MASK):
            return 2 + CLASSES * MOST * _network.RECORD.size
        return int(np.prod(self.shape, dtype=int)) * _BYTES[self.format.type]


class InferModel:
    def __init__(self, vdevice: VDevice, hef_source: str) -> None:
        self._vdevice = vdevice
        self.hef = HEF(hef_source)
        network = self.hef._network
        self.inputs = [_InferStream(stream) for stream in network.inputs]
        self.outputs = [_InferStream(stream) for stream in network.outputs]
        self.input_names = [stream.name for stream in self.inputs]
        self.output_names = [stream.name for stream in self.outputs]

    def input(self, name: str = "") -> _InferStream:
        return _one(self.inputs, name)

    def output(self, name: str = "") -> _InferStream:
        return _one(self.outputs, name)

    def set_batch_size(self, batch_size: int) -> None:
        self._batch_size = batch_size

    def configure(self) -> ConfiguredInferModel:
        if SETTINGS.architecture not in self.hef._network.chips:
            raise _errors.of(93)
        if SETTINGS.configure_status:
            raise _errors.of(SETTINGS.configure_status)
        if any(stream._thresholds and not stream.is_nms for stream in (*self.inputs, *self.outputs)):
            raise _errors.of(6)
        return ConfiguredInferModel(self)


def _one(streams: list[_InferStream], name: str) -> _InferStream:
    found = [stream for stream in streams if stream.name == name or (not name and len(streams) == 1)]
    if not found:
        raise _errors.of(61)
    return found[0]


class _Buffer:
    """Bindings.InferStream: where a frame lies."""

    def __init__(self, stream: _InferStream) -> None:
        self._stream = stream
        self._buffer: Any = None

    def set_buffer(self, buffer: Any) -> None:
        if not buffer.flags.c_contiguous:
            raise HailoRTException("Buffer must be C_CONTIGUOUS")
        if SETTINGS.numpy_clash:
            raise HailoRTException(f"Memory size of vstream {self._stream.name} does not match: {buffer.nbytes}, got 0")
        self._buffer = buffer

    def get_buffer(self, tf_format: bool | None = False) -> Any:
        """The raw buffer (``None``), or boxes as a list by class, as (classes, 5, boxes) or as detections."""
        if tf_format is None or not self._stream.is_nms:
            return self._buffer
        if self._stream.format.order is FormatOrder.HAILO_NMS_BY_SCORE:
            if self._buffer.dtype != np.uint8:
                raise HailoRTException("BY_SCORE buffers must be of dtype uint8")
            rows = range(int(self._buffer[:2].view(np.uint16)[0]))
            records = [_network.RECORD.unpack_from(self._buffer, 2 + i * _network.RECORD.size) for i in rows]
            names = ("y_min", "x_min", "y_max", "x_max", "score", "class_id")
            return [SimpleNamespace(**dict(zip(names, record, strict=True))) for record in records]
        found, at = [], 0
        for _ in range(CLASSES):
            count = int(self._buffer[at])
            found.append(self._buffer[at + 1 : at + 1 + 5 * count].reshape(count, 5))
            at += 1 + 5 * count
        if not tf_format:
            return found
        table = np.zeros((CLASSES, 5, MOST), np.float32)
        for number, rows in enumerate(found):
            table[number, :, : len(rows)] = rows.T
        return table


class _Bindings:
    def __init__(self, model: InferModel) -> None:
        self._inputs = {stream.name: _Buffer(stream) for stream in model.inputs}
        self._outputs = {stream.name: _Buffer(stream) for stream in model.outputs}

    def input(self, name: str = "") -> _Buffer:
        return self._inputs[name or next(iter(self._inputs))]

    def output(self, name: str = "") -> _Buffer:
        return self._outputs[name or next(iter(self._outputs))]


class ConfiguredInferModel:
    def __init__(self, model: InferModel) -> None:
        self._model = model
        self._engine = Engine(model.hef._network)
        self._active = model._vdevice._params.scheduling_algorithm is not HailoSchedulingAlgorithm.NONE
        self._scheduled = self._active

    def __enter__(self) -> ConfiguredInferModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()

    def create_bindings(self, input_buffers: Any = None, output_buffers: Any = None) -> _Bindings:
        bindings = _Bindings(self._model)
        for name, buffer in (input_buffers or {}).items():
            bindings.input(name).set_buffer(buffer)
        for name, buffer in (output_buffers or {}).items():
            bindings.output(name).set_buffer(buffer)
        return bindings

    def wait_for_async_ready(self, timeout_ms: int = 1000, frames_count: int = 1) -> None:
        self._engine.wait_for_room(timeout_ms)

    def run(self, bindings: list[_Bindings], timeout: int) -> None:
        self.run_async(bindings).wait(timeout)

    def run_async(self, bindings: list[_Bindings], callback: Any = None) -> AsyncInferJob:
        if not isinstance(bindings, list):
            raise TypeError(f"'{type(bindings).__name__}' object is not iterable")
        if not self._active:
            raise _errors.of(69)
        for each in bindings:
            for place in (*each._inputs.values(), *each._outputs.values()):
                if place._buffer is None or place._buffer.nbytes != place._stream.size:
                    raise _errors.of(2)
        return self._engine.start(bindings, callback)

    def activate(self) -> None:
        if self._scheduled:
            raise _errors.of(6)
        self._active = True

    def deactivate(self) -> None:
        self._active = False

    def set_scheduler_timeout(self, timeout_ms: int) -> None:
        self._only_scheduled()

    def set_scheduler_threshold(self, threshold: int) -> None:
        self._only_scheduled()

    def set_scheduler_priority(self, priority: int) -> None:
        self._only_scheduled()
        if not 0 <= priority <= 31:
            raise _errors.of(2)

    def _only_scheduled(self) -> None:
        if not self._scheduled:
            raise _errors.of(6)

    def get_async_queue_size(self) -> int:
        return SETTINGS.queue

    def shutdown(self) -> None:
        self._engine.stop()


class VDevice:
    def __init__(self, params: Any = None, *, device_ids: list[str] | None = None) -> None:
        self._params = params or VDevice.create_params()
        self._ids = list(device_ids or self._params.device_ids or SETTINGS.devices)
        if device_ids is not None and SETTINGS.major < 5:
            self._params.scheduling_algorithm = HailoSchedulingAlgorithm.NONE
        if self._params.multi_process_service and SETTINGS.major >= 5:
            raise _errors.of(6)
        if not SETTINGS.devices or not set(self._ids) <= set(SETTINGS.devices):
            raise _errors.of(74)
        if SETTINGS.driver not in ("", SETTINGS.version):
            raise _errors.of(76)
        if (SETTINGS.architecture == "HAILO10H") != (SETTINGS.major >= 5):
            raise _errors.of(79)
        if SETTINGS.open_status:
            raise _errors.of(SETTINGS.open_status)
        if any(other._params.group_id != self._params.group_id or self._params.group_id == "UNIQUE" for other in OPEN):
            raise _errors.of(74)
        OPEN.append(self)

    @staticmethod
    def create_params() -> Any:
        return SimpleNamespace(
            device_ids=None,
            device_count=1,
            scheduling_algorithm=HailoSchedulingAlgorithm.ROUND_ROBIN,
            group_id="UNIQUE",
            multi_process_service=False,
        )

    def create_infer_model(self, hef_source: str, name: str = "") -> InferModel:
        return InferModel(self, hef_source)

    def get_physical_devices(self) -> list[Device]:
        return [Device(number) for number in self._ids]

    def get_physical_devices_ids(self) -> list[str]:
        return self._ids

    def release(self) -> None:
        if self in OPEN:
            OPEN.remove(self)

    def __enter__(self) -> VDevice:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class Control:
    """Works while its Device is there: the vendor's is released with the object."""

    def __init__(self) -> None:
        self._released = False

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("_") and self._released:
            raise HailoRTException("Can't use a released device")
        return super().__getattribute__(name)

    def identify(self) -> Any:
        version = SimpleNamespace(
            **dict(zip(("major", "minor", "revision"), map(int, SETTINGS.version.split(".")), strict=True))
        )
        return SimpleNamespace(
            device_architecture=DeviceArchitecture[SETTINGS.architecture],
            firmware_version=version,
            board_name="Hailo-8",
        )

    def get_chip_temperature(self) -> Any:
        if SETTINGS.temperature_c is None:
            raise _errors.of(18)
        return SimpleNamespace(
            ts0_temperature=SETTINGS.temperature_c, ts1_temperature=SETTINGS.temperature_c + 1, sample_count=1
        )

    def power_measurement(self, dvm: Any = None, measurement_type: Any = None) -> float:
        if SETTINGS.power_w is None:
            raise _errors.of(48)
        return SETTINGS.power_w


class Device:
    def __init__(self, device_id: str | None = None) -> None:
        if not SETTINGS.devices:
            raise HailoRTException("HailoRT device not found in the system")
        self.device_id = device_id or SETTINGS.devices[0]
        self.control = Control()

    @staticmethod
    def scan() -> list[str]:
        return list(SETTINGS.devices)

    def release(self) -> None:
        self.control._released = True

    def __del__(self) -> None:
        if hasattr(self, "control"):
            self.release()
