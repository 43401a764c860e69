"""The fake's sensor: takes a network before the camera is opened, and answers in the frames' metadata."""

from __future__ import annotations

import importlib
import os
import struct
import time
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from piaccel.formats import rpk
from piaccel.testing.imx500.settings import current

picamera2: Any = importlib.import_module("picamera2")  # the fake, whatever a type checker would find
_TENSORS = _DIMENSIONS = 16
_TENSOR = struct.Struct(f"<II{_DIMENSIONS}H")
_INFO_BYTES = 64 + 4 + _TENSORS * _TENSOR.size + 4


class IMX500:
    def __init__(self, network_file: str, camera_id: str = "", **injection: bool) -> None:
        settings = current()
        if injection and not settings.injects:
            raise TypeError("IMX500.__init__() got an unexpected keyword argument 'tensor_injection'")
        found = [each for each in picamera2.Picamera2.global_camera_info() if each["Model"] == "imx500"]
        if not settings.bound or not any(camera_id in each["Id"] for each in found):
            raise RuntimeError("IMX500: Requested camera dev-node not found")
        if settings.denied:
            raise PermissionError(13, "Permission denied", settings.denied)
        if settings.firmware_error:
            raise RuntimeError(f"IMX500: Unable to set network firmware {network_file}: {settings.firmware_error}")
        self._number = int(next(each["Num"] for each in found if camera_id in each["Id"]))
        info, _ = rpk.describe(Path(network_file))
        counts = [int(info[f"outputTensorDimSize{place}"]) for place in range(1, 1 + int(info["outputTensorNum"]))]
        self._shapes = [list(shape) for shape in settings.shapes] or [[count] for count in counts]
        self._uploaded = 0.0
        self._fed: dict[int, bytes] | None = {} if injection.get("tensor_injection") else None
        self._frame = self._answered_by = 0
        self._missed = settings.missed_pictures
        self.config = {
            "input_tensor": {
                "width": int(info["inputTensorWidth"]),
                "height": int(info["inputTensorHeight"]),
                "input_format": info["inputTensorFormat"],
                "dtype": "signed",
            }
        }
        self.regions: list[tuple[int, int, int, int]] = [(0, 0, 4056, 3040)]
        picamera2._networks[self._number] = self

    @property
    def camera_num(self) -> int:
        return self._number

    def set_inference_roi_abs(self, roi: tuple[int, int, int, int]) -> None:
        self.regions.append(roi)

    def show_network_fw_progress_bar(self) -> None:
        return

    def get_fw_upload_progress(self, stage_req: int) -> tuple[int, int]:
        assert current().tells_progress, "debugfs cannot be read"
        return (int(1000 * self._uploaded), 1000) if stage_req == 2 else (0, 0)

    def upload(self) -> None:
        """What the driver does when the camera is started."""
        steps = 10
        for step in range(steps):
            self._uploaded = step / steps
            time.sleep(current().upload_s / steps)
        self._uploaded = 1.0

    def results(self, frame: int) -> dict[str, Any]:
        """What the frame's metadata holds of the network's answer."""
        settings = current()
        self._frame = frame
        if self._fed is not None:
            tensor = self._fed.get(frame % 256)
            return {} if tensor is None and not self._fed else self._answer([self._of(tensor or b"")])
        silent = settings.silent_frames < 0 or frame < settings.silent_frames
        if silent or (settings.silent_every and frame % settings.silent_every == 0):
            return {}
        if settings.answers:
            arrays = [np.asarray(answer, np.float32) for answer in settings.answers]
        else:
            arrays = [(frame + np.arange(prod(shape), dtype=np.float32)).reshape(shape) for shape in self._shapes]
        return self._answer(arrays)

    def _answer(self, arrays: Sequence[Any]) -> dict[str, Any]:
        flat = np.concatenate([array.ravel(order="F") for array in arrays])
        shapes = [list(array.shape) for array in arrays]
        return {
            "CnnOutputTensor": tuple(flat.tolist()),
            "CnnOutputTensorInfo": tuple(_info(shapes, self._frame)),
            "CnnKpiInfo": (17000, 2500),
        }

    def _of(self, tensor: bytes) -> Any:
        """What the network answers to a picture: the mean of each plane, counted on; each next output is the same."""
        planes = np.frombuffer(tensor, np.int8).reshape(3, -1) if tensor else np.zeros((3, 1))
        means = planes.mean(axis=1, dtype=np.float64)
        shape = self._shapes[0]
        return (means[np.arange(prod(shape)) % 3] + np.arange(prod(shape))).astype(np.float32).reshape(shape)

    def _IMX500__set_input_tensor(self, input_tensor_fd: int) -> None:
        if self._fed is None:
            raise RuntimeError("IMX500: Unable to set input tensor fd: [Errno 22] Invalid argument")
        self._answered_by = (self._frame + (3 if not self._missed else -1)) % 256
        self._missed -= self._missed > 0
        self._fed = {self._answered_by: os.pread(input_tensor_fd, os.fstat(input_tensor_fd).st_size, 0)}

    def get_injection_cmp_frm(self) -> int:
        return self._answered_by

    def _IMX500__get_output_tensor_info(self, tensor_info: Any) -> dict[str, Any]:
        shapes = self.get_output_shapes({"CnnOutputTensorInfo": tensor_info})
        return {"num_tensors": len(shapes), "frameCount": bytes(tensor_info)[-4], "info": [{"size": s} for s in shapes]}

    def get_outputs(self, metadata: dict[str, Any], add_batch: bool = False) -> list[Any] | None:
        tensor = metadata.get("CnnOutputTensor")
        if not tensor:
            return None
        values, outputs, offset = np.fromiter(tensor, np.float32), [], 0
        for shape in self.get_output_shapes(metadata):
            output = values[offset : offset + prod(shape)].reshape(shape, order="F")
            outputs.append(output[np.newaxis] if add_batch else output)
            offset += prod(shape)
        return outputs

    def get_output_shapes(self, metadata: dict[str, Any]) -> list[list[int]]:
        info = metadata.get("CnnOutputTensorInfo")
        if not info:
            return []
        data = bytes(info)
        if len(data) != _INFO_BYTES:
            raise ValueError(f"tensor info length {len(data)} does not match expected size {_INFO_BYTES}")
        (count,) = struct.unpack_from("<I", data, 64)
        tensors = [_TENSOR.unpack_from(data, 68 + place * _TENSOR.size) for place in range(count)]
        return [list(sizes[:rank]) for _, rank, *sizes in tensors]

    @staticmethod
    def get_kpi_info(metadata: dict[str, Any]) -> tuple[float, float] | None:
        kpi = metadata.get("CnnKpiInfo")
        return None if kpi is None else (kpi[0] / 1000, kpi[1] / 1000)


def _info(shapes: Sequence[Sequence[int]], frame: int) -> bytes:
    """The structure CnnOutputTensorInfoExported of libcamera."""
    tensors = [
        _TENSOR.pack(prod(shape), len(shape), *shape, *[0] * (_DIMENSIONS - len(shape)))
        for shape in [*shapes, *[[0]] * (_TENSORS - len(shapes))]
    ]
    return b"fake".ljust(64, b"\0") + struct.pack("<I", len(shapes)) + b"".join(tensors) + bytes([frame % 256, 0, 0, 0])
