"""A camera on the board's ribbon connector, through picamera2: ``picamera``, ``picamera:1``, ``picamera:imx708``.

API: picamera2 0.3.38, picamera2.py, request.py and job.py; the Picamera2 manual.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from piaccel import picamera, sources
from piaccel.errors import OptionError, UnavailableError
from piaccel.frames import Frame, Pool

_BUFFERS = 4
"""Three on their way (exposed, in the ISP, done) and one that is being copied: with fewer the sensor waits for buffers
and drops every other frame, more give nothing, as none is kept waiting (``queue=False``)."""
_CONTINUOUS = 2
"""libcamera's AfModeEnum.Continuous."""


@dataclass(frozen=True, kw_only=True)
class Options(sources.Options):
    size: tuple[int, int] = (1280, 720)
    """WIDTHxHEIGHT, to which the ISP scales: the model's input size costs the processor nothing. Even numbers."""
    fps: float = 30.0
    fresh: bool = False
    """Only frames whose exposure begins after they were asked for, which costs up to two frames of waiting."""
    stream: Literal["main", "lores"] = "main"
    """lores: the ISP's second scaler, in YUV420."""
    exposure_us: int = 0
    """0: automatic, as is ``gain``."""
    gain: float = 0.0
    hflip: bool = False
    vflip: bool = False
    autofocus: bool = False
    """Continuous autofocus, for cameras with a lens that moves."""


class PiCamera(sources.Source):
    """Each frame and its metadata come from one request, which is given back at once.

    The configuration has ``queue=False``: picamera2 hands out the next frame that is finished after the call, never one
    that lay waiting. That frame may have been under exposure when it was asked for. With ``fresh`` the request is made
    with ``flush=True``: the exposure itself begins after the call, which halves the rate and is meant for a picture of
    a moment that has just come. ``exposed_ns`` is SensorTimestamp: the beginning of the readout of the first line,
    which picamera2 itself compares with CLOCK_MONOTONIC. Lost frames are told by the distance of two timestamps.
    """

    options = Options
    delivery_clock = "sensor"

    def __init__(self, target: str, options: sources.Options) -> None:
        super().__init__(target, options)
        self._chosen = chosen = cast(Options, options)
        _check(chosen)
        self._camera: Any = None
        self._layout: Mapping[str, Any] = {}
        self._pool = Pool()
        self._index = -1
        self._last_ns: int | None = None

    def __str__(self) -> str:
        return f"picamera:{self.target}".rstrip(":")

    def open(self) -> None:
        """Start the camera. Raises UnavailableError naming what is missing, or who has it."""
        self.close()
        module = _imported()
        number = self._number(module.Picamera2.global_camera_info())
        try:
            self._camera = module.Picamera2(number)
            self._start()
        except UnavailableError:
            self.close()
            raise
        except Exception as error:  # libcamera's errors are of any type
            self.close()
            raise picamera.unopened(error) from error

    def read(self) -> Frame | None:
        """Wait for the next frame; see the class for how old it may be."""
        if self._camera is None:
            raise UnavailableError(f"{self} is closed")
        asked = {"flush": True} if self._chosen.fresh else {}
        try:
            request = self._camera.capture_request(wait=False, **asked).get_result(timeout=self._chosen.stall_s)
        except TimeoutError as error:
            raise UnavailableError(
                f"{self}: no frame for {self._chosen.stall_s:g} s",
                hint="check the ribbon cable and the power supply (piaccel doctor)",
            ) from error
        except Exception as error:  # libcamera's errors are of any type
            told = " ".join(str(error).split()) or type(error).__name__
            raise UnavailableError(f"{self}: the camera is lost: {told}", hint="check the ribbon cable") from error
        try:
            metadata = request.get_metadata()
            array = request.make_array(self._chosen.stream)
        finally:
            request.release()
        return Frame(self._image(array), self._count(metadata), self._last_ns)

    def close(self) -> None:
        camera, self._camera = self._camera, None
        self._index, self._last_ns = -1, None
        if camera is None:
            return
        with contextlib.suppress(RuntimeError, OSError):  # a lost camera may fail even at this
            camera.cancel_all_and_flush()  # else ``stop`` waits behind a request that never ends
            camera.stop()
        with contextlib.suppress(RuntimeError, OSError):
            camera.close()

    def _number(self, cameras: list[dict[str, Any]]) -> int:
        if not cameras:
            raise UnavailableError(
                "no camera is connected", hint=f"check the ribbon cable at both ends, reboot; {picamera.LIST}"
            )
        wanted = self.target or "0"
        for place, each in enumerate(cameras):
            if wanted in (str(each.get("Num", place)), each["Model"]):
                return int(each.get("Num", place))
        there = ", ".join(f"{each.get('Num', place)} ({each['Model']})" for place, each in enumerate(cameras))
        raise UnavailableError(f"{self}: no such camera", hint=f"connected: {there}")

    def _start(self) -> None:
        chosen, camera = self._chosen, self._camera
        size = (chosen.size[0], chosen.size[1])
        streams: dict[str, Any] = {"main": {"format": "BGR888", "size": size}}  # R, G, B in NumPy
        if chosen.stream == "lores":
            streams["lores"] = {"format": "YUV420", "size": size}
        config = camera.create_video_configuration(
            **streams, **_flipped(chosen), buffer_count=_BUFFERS, queue=False, controls=_controls(chosen)
        )
        # not "optimal": that would cut 224 to 192; the ISP pads the lines instead
        camera.align_configuration(config, optimal=False)
        camera.configure(config)
        self._layout = camera.camera_configuration()[chosen.stream]
        if self._layout["format"] not in ("BGR888", "YUV420"):
            raise UnavailableError(f"{self}: the camera gives {self._layout['format']}, expected BGR888 or YUV420")
        width, height = self._layout["size"]
        self.size, self.fps = (height, width), chosen.fps
        camera.start()

    def _image(self, array: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return RGB: ``make_array`` has copied BGR888 already; YUV420 has lines as long as the stride.

        libcamera's YUV420 is YU12, U before V. OpenCV's COLOR_YUV420p2RGB means YV12 and would swap red and blue.
        """
        if self._layout["format"] == "BGR888":
            return np.ascontiguousarray(array)
        import cv2

        width, height = self._layout["size"]
        image = self._pool.take(height, width)
        if array.shape[1] == width:
            cv2.cvtColor(array, cv2.COLOR_YUV2RGB_I420, dst=image)
        else:  # two lines of a chroma plane share a row: cut after the conversion, not before
            np.copyto(image, cv2.cvtColor(array, cv2.COLOR_YUV2RGB_I420)[:, :width])
        return image

    def _count(self, metadata: Mapping[str, Any]) -> int:
        exposed_ns = int(metadata["SensorTimestamp"])
        period_ns = int(metadata.get("FrameDuration", 1e6 / self._chosen.fps)) * 1000
        passed = 1 if self._last_ns is None else max(1, round((exposed_ns - self._last_ns) / period_ns))
        self._index += passed
        self._last_ns = exposed_ns
        return self._index


def _imported() -> Any:
    try:
        return importlib.import_module("picamera2")
    except ModuleNotFoundError as error:
        if error.name == "picamera2":
            raise UnavailableError("picamera2 is not installed", hint=picamera.hidden() or picamera.INSTALL) from error
        raise picamera.imported(error) from error
    except (ImportError, ValueError, AttributeError) as error:  # ValueError is NumPy's, of another binary layout
        raise picamera.imported(error) from error


def _check(chosen: Options) -> None:
    if min(chosen.size) < 2 or chosen.size[0] % 2 or chosen.size[1] % 2:
        raise OptionError(f"picamera: size is {chosen.size[0]}x{chosen.size[1]}, expected even numbers")
    if chosen.fps <= 0:
        raise OptionError(f"picamera: fps is {chosen.fps:g}, expected more than 0")
    if chosen.exposure_us < 0 or chosen.gain < 0:
        raise OptionError("picamera: exposure_us and gain must not be negative", hint="0 is automatic")


def _controls(chosen: Options) -> dict[str, Any]:
    period_us = round(1e6 / chosen.fps)
    controls: dict[str, Any] = {"FrameDurationLimits": (period_us, period_us)}
    if chosen.exposure_us:
        controls["ExposureTime"] = chosen.exposure_us
    if chosen.gain:
        controls["AnalogueGain"] = chosen.gain
    if chosen.autofocus:
        controls["AfMode"] = _CONTINUOUS
    return controls


def _flipped(chosen: Options) -> dict[str, Any]:
    if not chosen.hflip and not chosen.vflip:
        return {}
    transform = importlib.import_module("libcamera").Transform
    return {"transform": transform(hflip=chosen.hflip, vflip=chosen.vflip)}
