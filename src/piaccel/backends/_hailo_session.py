"""A HEF on a Hailo device: several runs in flight, buffers made once, boxes as arrays."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import TimeoutError as NoAnswer
from pathlib import Path
from typing import Any

import numpy as np

from piaccel.backends import Session
from piaccel.backends import _hailo_errors as errors
from piaccel.backends._hailo_device import Sensor, Shared, sensors
from piaccel.backends._hailo_nms import reader
from piaccel.errors import InferenceError, ModelError
from piaccel.tensors import Array, Quantization, TensorSpec, guess_layout

_DTYPES = {"UINT8": np.uint8, "UINT16": np.uint16, "FLOAT32": np.float32}
Answer = Future[dict[str, Array]]


class HailoSession(Session):
    """``shared`` is this session's to give back; ``model`` is an InferModel whose formats are set."""

    def __init__(self, shared: Shared, model: Any, configured: Any, path: Path, depth: int, timeout_ms: int) -> None:
        self._shared = shared
        self._model = model  # the configured model needs it alive
        self._configured = configured
        self._timeout_ms = timeout_ms
        self._file = path
        self.inputs = tuple(_input(stream) for stream in model.inputs)
        readers = [_reader(stream, model) for stream in model.outputs]
        self.outputs = tuple(spec for spec, _ in readers)
        self.depth = max(1, min(depth, configured.get_async_queue_size()))
        self._slots = [_Slot(configured, model, readers) for _ in range(self.depth)]
        self._free = deque(self._slots)
        self._changed = threading.Condition()
        self._sensors: tuple[Sensor, ...] | None = None

    def sensors(self) -> tuple[Sensor, ...]:
        """The chip's temperature and power, read through the device that this session holds."""
        if self._sensors is None:
            self._sensors = sensors(self._shared)
        return self._sensors

    def _run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        return self._submit(feeds).result()

    def _submit(self, feeds: Mapping[str, Array]) -> Answer:
        slot = self._take()
        answer: Answer = _Answer(self._file, self._timeout_ms)
        try:
            slot.fill(feeds)
            self._configured.wait_for_async_ready(timeout_ms=self._timeout_ms, frames_count=1)
            slot.job = self._configured.run_async([slot.bindings], self._done(slot, answer))
        except Exception as error:  # the binding raises anything
            self._put_back(slot)
            raise self._explained(error) from error
        return answer

    def _done(self, slot: _Slot, answer: Answer) -> Callable[..., None]:
        """What HailoRT calls from its own thread when a run has ended; it must be quick and must not raise."""

        def done(completion_info: Any) -> None:
            outputs: dict[str, Array] = {}
            failed = completion_info.exception
            if failed is None:
                try:
                    outputs = slot.outputs()
                except Exception as error:  # noqa: BLE001 - nobody above this thread would hear of it
                    failed = error
            self._put_back(slot)
            try:
                if failed is None:
                    answer.set_result(outputs)
                else:
                    answer.set_exception(self._explained(failed))
            except InvalidStateError:  # given up, or answered as late, before
                return

        return done

    def _take(self) -> _Slot:
        with self._changed:
            if not self._changed.wait_for(lambda: self._free, self._timeout_ms / 1000):
                raise errors.late(self._file, self._timeout_ms)
            return self._free.popleft()

    def _put_back(self, slot: _Slot) -> None:
        with self._changed:
            self._free.append(slot)
            self._changed.notify()

    def _explained(self, error: BaseException) -> InferenceError:
        if isinstance(error, InferenceError):
            return error
        if self._closed:
            return InferenceError(f"{self._file}: the session was closed while this ran", hint="load the model again")
        self._shared.abandon()
        return errors.running(error, self._file, self._timeout_ms)

    def _close(self) -> None:
        ends = time.monotonic() + self._timeout_ms / 1000
        with self._changed:
            self._changed.wait_for(lambda: len(self._free) == len(self._slots), max(0, ends - time.monotonic()))
        try:
            self._configured.shutdown()
            self._configured.__exit__(None, None, None)
        except Exception:  # noqa: BLE001 - a lost device cannot be shut down; it is let go of all the same
            self._shared.abandon()
        finally:
            self._free.clear()
            self._slots.clear()
            del self._configured, self._model
            self._shared.give_back()


class _Answer(Future[dict[str, Array]]):
    """A future that does not wait for ever: HailoRT never calls back for a device that hangs."""

    def __init__(self, path: Path, timeout_ms: int) -> None:
        super().__init__()
        self._late = errors.late(path, timeout_ms)
        self._due = time.monotonic() + timeout_ms / 1000

    def result(self, timeout: float | None = None) -> dict[str, Array]:
        if timeout is not None:
            return super().result(timeout)
        try:
            return super().result(max(0, self._due - time.monotonic()))
        except NoAnswer:
            try:
                self.set_exception(self._late)
            except InvalidStateError:  # it came in this moment
                return super().result()
            raise self._late from None


class _Slot:
    """The buffers of one run in flight. They belong to the device from ``fill`` until it calls back."""

    def __init__(self, configured: Any, model: Any, readers: list[tuple[TensorSpec, _Read]]) -> None:
        self._buffers = [np.zeros(stream.shape, _dtype(stream)) for stream in model.outputs]
        self._readers = readers
        self._given: list[Array] = []
        names = [stream.name for stream in model.outputs]
        self.bindings = configured.create_bindings(output_buffers=dict(zip(names, self._buffers, strict=True)))
        self.job: Any = None

    def fill(self, feeds: Mapping[str, Array]) -> None:
        """Hand in the caller's arrays, without the batch; those that are read-only are copied."""
        self._given = [array[0] if array.flags.writeable else array[0].copy() for array in feeds.values()]
        for name, array in zip(feeds, self._given, strict=True):
            self.bindings.input(name).set_buffer(array)

    def outputs(self) -> dict[str, Array]:
        pairs = zip(self._readers, self._buffers, strict=True)
        return {spec.name: read(buffer) for (spec, read), buffer in pairs}


_Read = Callable[[Array], Array]


def _input(stream: Any) -> TensorSpec:
    shape = (1, *stream.shape)
    return TensorSpec(stream.name, shape, np.dtype(_dtype(stream)), guess_layout(shape), _quantization(stream))


def _reader(stream: Any, model: Any) -> tuple[TensorSpec, _Read]:
    """An output's spec and what makes its array of a buffer: a copy, which the caller owns."""
    if stream.is_nms:
        shape, read = reader(stream, model.hef)
        return TensorSpec(stream.name, shape, np.dtype(np.float32)), read
    dtype = np.dtype(_dtype(stream))
    quantization = _quantization(stream) if dtype.kind == "u" else None
    return TensorSpec(stream.name, (1, *stream.shape), dtype, "", quantization), lambda buffer: buffer[None].copy()


def _dtype(stream: Any) -> Any:
    name = stream.format.type.name
    if name not in _DTYPES:
        raise ModelError(f"{stream.name!r} is of the type {name}, which is not known here")
    return _DTYPES[name]


def _quantization(stream: Any) -> Quantization | None:
    """The scale and zero point of the whole tensor, or of each feature."""
    infos = [info for info in stream.quant_infos if info.qp_scale > 0]
    if not infos or len(infos) not in (1, stream.shape[-1]):
        return None
    scales = tuple(float(info.qp_scale) for info in infos)
    zero_points = tuple(round(info.qp_zp) for info in infos)
    return Quantization(scales, zero_points, 0 if len(infos) == 1 else len(stream.shape))
