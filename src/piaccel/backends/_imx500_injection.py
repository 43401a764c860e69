"""Gives pictures to the network in the IMX500 in place of what the sensor sees: a debug feature of its maker.

How a tensor is laid out and which frame holds its answer: picamera2 0.3.38, devices/imx500/imx500.py
(prepare_tensor_for_injection) and examples/imx500/imx500_object_detection_injection_demo.py, private names included.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from piaccel.errors import UnavailableError

_WIDTH_STEP, _HEIGHT_STEP = 32, 2


class Injector:
    """Raises UnavailableError when this picamera2 is too old to take pictures."""

    def __init__(self, device: Any) -> None:
        try:
            self._put = device._IMX500__set_input_tensor
            self._info = device._IMX500__get_output_tensor_info
            self._frame = device.get_injection_cmp_frm
        except AttributeError as error:
            raise too_old() from error
        self._form: Mapping[str, Any] = device.config["input_tensor"]

    def put(self, image: NDArray[np.uint8]) -> int:
        """Hand over a picture, uint8 (H, W, 3) RGB of the input's size; return the count of the frame that answers."""
        fd = os.memfd_create("piaccel-tensor", os.MFD_CLOEXEC)
        with os.fdopen(fd, "wb") as file:
            file.write(tensor(image, self._form))
            file.flush()
            self._put(fd)
        return int(self._frame())

    def late(self, metadata: Mapping[str, Any], wanted: int) -> int | None:
        """How many frames this one is after the wanted one: 0 is it. Counts have 8 bits; None: it has no answer."""
        info = metadata.get("CnnOutputTensorInfo")
        if not info:
            return None
        count = self._info(info).get("frameCount")
        if count is None:
            raise too_old()
        return (int(count) - wanted + 128) % 256 - 128


def too_old() -> UnavailableError:
    return UnavailableError("this picamera2 cannot give pictures to the camera", hint="sudo apt full-upgrade, reboot")


def tensor(image: NDArray[np.uint8], form: Mapping[str, Any]) -> bytes:
    """The picture as the sensor keeps it: one plane a colour, padded, signed where the network is."""
    values = image if form.get("dtype") == "unsigned" else (image.astype(np.int16) - 128).astype(np.int8)
    planes = values.transpose(2, 0, 1)
    if form.get("input_format") == "BGR":
        planes = planes[::-1]
    height, width = image.shape[:2]
    return np.pad(planes, ((0, 0), (0, -height % _HEIGHT_STEP), (0, -width % _WIDTH_STEP))).tobytes()
