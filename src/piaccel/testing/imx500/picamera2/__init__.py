"""The fake's cameras: open, starts, and hands out requests."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import CancelledError, Future
from typing import Any

from piaccel.testing.imx500 import pixels
from piaccel.testing.imx500.settings import current

if current().import_error == "numpy":
    raise ValueError(
        "numpy.dtype size changed, may indicate binary incompatibility. Expected 96 from C header, got 88 from PyObject"
    )
if current().import_error == "libcamera":
    raise ModuleNotFoundError("No module named 'libcamera'", name="libcamera")

_FRAME_US = 33333
_CONTROLS = {"AfMode", "AnalogueGain", "ExposureTime", "FrameDurationLimits", "FrameRate", "CnnEnableInputTensor"}
_networks: dict[int, Any] = {}
"""By the camera's number, the IMX500 that was made last."""
_open: set[int] = set()


class CompletedRequest:
    def __init__(self, model: str, number: int, config: Mapping[str, Any], metadata: dict[str, Any]) -> None:
        self._model, self._number, self._config, self._metadata = model, number, config, metadata
        self._held = True

    def make_array(self, name: str) -> Any:
        assert self._held, "released already"
        stream = self._config[name]
        image = pixels.seen(self._model, self._number, stream["size"], self._config.get("transform"))
        return pixels.laid_out(image, stream["format"])

    def get_metadata(self) -> dict[str, Any]:
        assert self._held, "released already"
        return self._metadata

    def release(self) -> None:
        self._held = False


class Job:
    def __init__(self, future: Future[CompletedRequest], ready_ns: int) -> None:
        self._future, self._ready_ns = future, ready_ns

    def get_result(self, timeout: float | None = None) -> CompletedRequest:
        wait_s = max(0.0, (self._ready_ns - time.monotonic_ns()) / 1e9)
        if timeout is not None and timeout < wait_s:
            time.sleep(timeout)
            raise TimeoutError
        time.sleep(wait_s)
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
        self._model = cameras[camera_num]["Model"]
        self._period_us = _FRAME_US
        self._pending: Future[CompletedRequest] | None = None
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

    def create_video_configuration(
        self,
        main: Any = None,
        lores: Any = None,
        raw: Any = None,
        transform: Any = None,
        colour_space: Any = None,
        buffer_count: int = 6,
        controls: Any = None,
        display: str = "main",
        encode: str = "main",
        queue: bool = True,
        sensor: Any = None,
        use_case: str = "video",
    ) -> dict[str, Any]:
        found = {"main": {"format": "XBGR8888", "size": (1280, 720)} | (main or {}), "lores": None}
        if lores is not None:
            found["lores"] = {"format": "YUV420", "size": found["main"]["size"]} | lores  # type: ignore[index]
        limits = {"FrameDurationLimits": (_FRAME_US, _FRAME_US)}
        return found | {
            "transform": transform,
            "buffer_count": buffer_count,
            "queue": queue,
            "controls": limits | (controls or {}),
        }

    @staticmethod
    def align_configuration(config: dict[str, Any], optimal: bool = True) -> None:
        for stream in filter(None, (config["main"], config.get("lores"))):
            align = 2
            if optimal:
                align = 32 if current().platform == "vc4" else 64
                align *= 2 if stream["format"] == "YUV420" else 1
            width, height = stream["size"]
            stream["size"] = (width - width % align, height - height % 2)

    def camera_configuration(self) -> dict[str, Any]:
        assert self._config is not None
        return self._config

    def configure(self, camera_config: Any = None) -> None:
        assert not self._started, "Camera must be stopped before configuring"
        self._config = config = camera_config or self.create_preview_configuration()
        main, lores = config["main"], config.get("lores")
        for stream in filter(None, (main, lores)):
            if stream["size"][0] % 2 or stream["size"][1] % 2:
                raise RuntimeError("width and height should be even")
            stream["stride"] = pixels.stride(stream["size"][0] * (1 if stream["format"] == "YUV420" else 3))
        if lores is not None:
            if lores["size"][0] > main["size"][0] or lores["size"][1] > main["size"][1]:
                raise RuntimeError("lores stream dimensions may not exceed main stream")
            if current().platform == "vc4" and lores["format"] != "YUV420":
                raise RuntimeError("lores stream must be YUV")
        unknown = set(config["controls"]) - _CONTROLS
        if unknown:
            raise RuntimeError(f"Control {min(unknown)} is not advertised by libcamera")
        self._period_us = config["controls"].get("FrameDurationLimits", (_FRAME_US,))[0]

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
        self._frame = self._next(flush) if settings.paced else self._frame + 1
        while self._frame in settings.dropped:
            self._frame += 1
        if settings.lost_after < 0 or self._frame < settings.lost_after:
            request = CompletedRequest(self._model, self._frame, self._config or {}, self._metadata())
            future.set_result(request)
        elif settings.loss == "error":
            future.set_exception(RuntimeError("Camera frontend has timed out!"))
        else:
            self._pending = future
        job = Job(future, self._exposed_ns() + self._readout_ns() if settings.paced else 0)
        return job if wait is False else job.get_result()

    def _next(self, flush: Any) -> int:
        """The frame handed out: one that waits (queue), one that is finished later, or one exposed later (flush)."""
        now, period = time.monotonic_ns(), self._period_us * 1000
        finished = (now - self._first_ns - self._readout_ns()) // period
        if flush:
            moment = now if flush is True else flush
            return max(self._frame + 1, -(-(moment + self._exposure_us() * 1000 - self._first_ns) // period))
        waiting = (self._config or {}).get("queue", True)
        return max(self._frame + 1, finished if waiting else finished + 1)

    def _exposed_ns(self) -> int:
        return self._first_ns + self._frame * self._period_us * 1000

    def _readout_ns(self) -> int:
        return self._period_us * 500

    def _exposure_us(self) -> int:
        return int((self._config or {})["controls"].get("ExposureTime", self._period_us // 2))

    def _metadata(self) -> dict[str, Any]:
        metadata = {
            "SensorTimestamp": self._exposed_ns(),
            "ExposureTime": self._exposure_us(),
            "FrameDuration": self._period_us,
            "ScalerCrop": tuple(current().crop),
        }
        return metadata if self._network is None else metadata | self._network.results(self._frame)

    def cancel_all_and_flush(self) -> None:
        if self._pending is not None:
            self._pending.set_exception(CancelledError())
            self._pending = None

    def stop(self) -> None:
        assert self._pending is None, "stop would wait for ever behind a capture that never ends"
        self._started = False

    def close(self) -> None:
        _open.discard(self._number)
