"""The fake's camera: opens, starts, and hands out requests."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

import numpy as np

from piaccel.testing.imx500 import COLOUR
from piaccel.testing.imx500.settings import current

if current().import_error == "numpy":
    raise ValueError(
        "numpy.dtype size changed, may indicate binary incompatibility. Expected 96 from C header, got 88 from PyObject"
    )
if current().import_error == "libcamera":
    raise ModuleNotFoundError("No module named 'libcamera'", name="libcamera")

_FRAME_US = 33333
_networks: dict[int, Any] = {}
"""By the camera's number, the IMX500 that was made last."""
_open: set[int] = set()


class CompletedRequest:
    def __init__(self, number: int, config: Mapping[str, Any], metadata: dict[str, Any]) -> None:
        self._number, self._config, self._metadata = number, config, metadata
        self._held = True

    def make_array(self, name: str) -> Any:
        assert self._held, "released already"
        width, height = self._config[name]["size"]
        image = np.full((height, width, 3), COLOUR, np.uint8)
        image[0, 0, 2] = self._number % 256
        return image if self._config[name]["format"] == "BGR888" else np.ascontiguousarray(image[..., ::-1])

    def get_metadata(self) -> dict[str, Any]:
        assert self._held, "released already"
        return self._metadata

    def release(self) -> None:
        self._held = False


class Job:
    def __init__(self, future: Future[CompletedRequest]) -> None:
        self._future = future

    def get_result(self, timeout: float | None = None) -> CompletedRequest:
        return self._future.result(timeout=timeout)


class Picamera2:
    def __init__(self, camera_num: int = 0, verbose_console: Any = None, tuning: Any = None) -> None:
        cameras = self.global_camera_info()
        if camera_num >= len(cameras):
            raise IndexError("list index out of range")
        if current().busy or camera_num in _open:
            cause = RuntimeError("Failed to acquire camera: Device or resource busy")
            raise RuntimeError("Camera __init__ sequence did not complete.") from cause
        _open.add(camera_num)
        self._number = camera_num
        self._network = _networks.get(camera_num)  # one that is made later is not seen
        self._config: dict[str, Any] | None = None
        self._started = self._first_ns = 0
        self._frame = -1

    @staticmethod
    def global_camera_info() -> list[dict[str, Any]]:
        return [
            {"Model": model, "Location": 2, "Rotation": 180, "Id": f"/base/soc/i2c0mux/i2c@1/{model}@1a", "Num": number}
            for number, model in enumerate(current().cameras)
        ]

    def create_preview_configuration(
        self, main: Any = None, *, controls: Any = None, buffer_count: int = 4, **_: Any
    ) -> dict[str, Any]:
        main = {"format": "XBGR8888", "size": (640, 480)} | (main or {})
        return {"main": main, "controls": controls or {}, "buffer_count": buffer_count, "queue": True}

    def configure(self, camera_config: Any = None) -> None:
        assert not self._started, "Camera must be stopped before configuring"
        self._config = camera_config or self.create_preview_configuration()

    def start(self, config: Any = None, show_preview: bool = False) -> None:
        if config is not None or self._config is None:
            self.configure(config)
        if self._network is not None:
            self._network.upload()
        self._first_ns = time.monotonic_ns()
        self._started = True

    def capture_request(self, wait: Any = None, signal_function: Any = None, flush: Any = None) -> Any:
        assert self._started, "Camera is not started"
        future: Future[CompletedRequest] = Future()
        settings = current()
        self._frame += 1
        while self._frame in settings.dropped:
            self._frame += 1
        if settings.lost_after < 0 or self._frame < settings.lost_after:
            future.set_result(CompletedRequest(self._frame, self._config or {}, self._metadata()))
        elif settings.loss == "error":
            future.set_exception(RuntimeError("Camera frontend has timed out!"))
        job = Job(future)
        return job if wait is False else job.get_result()

    def _metadata(self) -> dict[str, Any]:
        metadata = {
            "SensorTimestamp": self._first_ns + self._frame * _FRAME_US * 1000,
            "FrameDuration": _FRAME_US,
            "ScalerCrop": tuple(current().crop),
        }
        return metadata if self._network is None else metadata | self._network.results(self._frame)

    def stop(self) -> None:
        self._started = False

    def close(self) -> None:
        _open.discard(self._number)
