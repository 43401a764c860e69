"""The Raspberry Pi AI Camera: a Sony IMX500 sensor that runs the network itself, through picamera2.

API: picamera2 0.3.38, devices/imx500/imx500.py; examples/imx500 of raspberrypi/picamera2.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from piaccel.backends import Availability, Backend, CameraSession, Options, Session, Shot, last_line
from piaccel.backends import _imx500_camera as camera
from piaccel.backends._imx500_injection import Injector, too_old
from piaccel.errors import InferenceError, OptionError, PiaccelError, UnavailableError
from piaccel.frames import Frame, Geometry
from piaccel.tensors import Array, TensorSpec

if TYPE_CHECKING:
    from piaccel.formats import Network

SENSOR = (4056, 3040)
"""(width, height) of the IMX500 in pixels, which regions of it are given in."""
_BUFFERS = 12  # what the vendor's examples take: a frame's result follows it after some more frames

Region = tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True)
class IMX500Options(Options):
    camera: str = ""
    """Part of the camera's id, where there are several AI Cameras; '' takes the first."""
    frame_size: tuple[int, int] = (480, 640)
    """(height, width) of the frames; the network has its own input, whatever this is."""
    rate: float | None = None
    """Frames a second; None is what the network states, else 30."""
    upload_timeout_s: float = 600.0
    """How long the first answer may take: a network that is new to the camera is uploaded for minutes."""
    frame_timeout_s: float = 10.0
    """How long the next frame may take before the camera counts as lost."""
    inject: bool = False
    """Let the network answer pictures in place of what the sensor sees: its maker's debug feature, slow."""

    def __post_init__(self) -> None:
        Options.__post_init__(self)
        for name in ("rate", "upload_timeout_s", "frame_timeout_s"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise OptionError(f"{name} is {value:g}, expected more than 0")


class IMX500(Backend):
    suffixes = (".rpk",)
    looks_into = suffixes
    priority = 0  # it cannot answer pictures: any other variant is taken before it
    accelerator = True
    options = IMX500Options
    modules = ("picamera2",)
    install = camera.INSTALL
    brings_camera = True
    hang_hint = "the camera does not answer: check the ribbon cable at both ends, then reboot"

    def _absent(self) -> Availability:
        hint = camera.hidden() or self.install
        return Availability(False, "picamera2 is not installed", hint, state="not installed")

    def _probe(self) -> Availability:
        picamera2, _ = _runtime()
        version = camera.version()
        found = picamera2.Picamera2.global_camera_info()
        ids = tuple(str(each["Id"]) for each in found if each.get("Model") == "imx500")
        if ids:
            return Availability(True, version=version, devices=ids)
        error = camera.absent()
        others = ", ".join(str(each.get("Model")) for each in found)
        reason = f"{error} (there is {others})" if others else str(error)
        return Availability(False, reason, error.hint, version, state="no device")

    def _load(self, path: Path, options: IMX500Options) -> Session:
        from piaccel import formats

        return _Session(path, formats.read(path), options)


class _Session(CameraSession):
    feed_hint = "; or have it answer pictures, slowly: --option inject=true"

    def __init__(self, path: Path, network: Network, options: IMX500Options) -> None:
        picamera2, devices = _runtime()
        assert network.preprocess is not None
        self.inputs, self.outputs = network.inputs, network.outputs
        self._name = path.name
        self._options = options
        height, width = network.preprocess.size
        self._region = _region(width, height) if network.preprocess.resize == "crop" else (0, 0, *SENSOR)
        self._model_size = (height, width)
        self._started = False
        self._picamera: Any = None
        self._injector: Injector | None = None
        try:
            if options.inject:
                self._device = devices.IMX500(str(path), options.camera, tensor_injection=True)
                self._injector = Injector(self._device)
            else:
                self._device = devices.IMX500(str(path), options.camera)  # before Picamera2, or it has no network
            self._picamera = picamera2.Picamera2(self._device.camera_num)
            self._configure(network)
        except Exception as error:  # libcamera's errors are of any type
            if self._picamera is not None:
                self._picamera.close()
            raise _explained(error, path) from error

    def _configure(self, network: Network) -> None:
        height, width = self._options.frame_size
        rate = self._options.rate or float(network.facts.get("frame rate", 30))
        # "BGR888" lies in memory as R, G, B (picamera2 manual, 4.2.2); 4:3 keeps the whole sensor in view.
        main = {"format": "BGR888", "size": (width, height)}
        found = self._picamera.create_preview_configuration(
            main=main, controls={"FrameRate": rate}, buffer_count=_BUFFERS
        )
        self._picamera.configure(found)
        self._device.set_inference_roi_abs(self._region)

    def shots(self) -> Iterator[Shot]:
        index, before = -1, None
        for image, metadata in self._requests():
            stamp = metadata.get("SensorTimestamp")
            index += _passed(before, stamp, metadata.get("FrameDuration"))
            before = stamp
            yield Shot(
                Frame(image, index, stamp),
                self._outputs(metadata),
                _geometry(image.shape, self._model_size, self._region, metadata.get("ScalerCrop")),
                _timing(self._device, metadata),
            )

    def _requests(self) -> Iterator[tuple[Array, Mapping[str, Any]]]:
        """Yield the picture and the metadata of each frame; both of one request, so that they belong together."""
        if not self._started:
            yield from self._first()
        while not self._closed:
            yield self._capture(self._options.frame_timeout_s)

    def _first(self) -> Iterator[tuple[Array, Mapping[str, Any]]]:
        """Start the camera and drop frames until the network answers."""
        deadline = time.monotonic() + self._options.upload_timeout_s
        with camera.upload(self._device, self._name):
            self._start()
            while not self._closed:
                image, metadata = self._capture(max(deadline - time.monotonic(), self._options.frame_timeout_s))
                if self._device.get_outputs(metadata) is not None:
                    break
                if time.monotonic() > deadline:
                    raise UnavailableError(
                        f"{self._name}: the camera gave no answer within {self._options.upload_timeout_s:g} s",
                        hint="a longer time: --option upload_timeout_s=1200; else: sudo apt install --reinstall "
                        "imx500-all, then reboot",
                    )
            else:
                return
        yield image, metadata

    def _start(self) -> None:
        try:
            self._picamera.start()
        except Exception as error:  # libcamera's errors are of any type
            raise _explained(error, Path(self._name)) from error
        self._started = True

    def _run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Answer a picture, where the camera was opened with ``inject``."""
        if self._injector is None:
            return super()._run(feeds)
        patience_s = self._options.frame_timeout_s
        if not self._started:
            patience_s = self._options.upload_timeout_s
            with camera.upload(self._device, self._name):
                self._start()
                self._capture(patience_s)
        deadline = time.monotonic() + patience_s
        image = feeds[self.inputs[0].name][0]
        wanted = self._injector.put(image)
        while time.monotonic() < deadline:
            _, metadata = self._capture(self._options.frame_timeout_s)
            late = self._injector.late(metadata, wanted)
            if late == 0 and (outputs := self._outputs(metadata)) is not None:
                return outputs
            if late is not None and late >= 0:  # missed: the sensor was faster
                wanted = self._injector.put(image)
        raise InferenceError(
            f"{self._name}: the camera did not answer a picture within {patience_s:g} s",
            hint="a slower camera misses none: --option rate=10",
        )

    def _capture(self, timeout: float) -> tuple[Array, Mapping[str, Any]]:
        if self._picamera is None:
            raise InferenceError("this session is closed", hint="load the model again")
        try:
            request = self._picamera.capture_request(wait=False).get_result(timeout=timeout)
        except TimeoutError as error:
            raise InferenceError(
                f"{self._name}: the camera gave no frame within {timeout:.3g} s",
                hint=f"check the ribbon cable and the power supply (piaccel doctor); {camera.LIST}",
            ) from error
        except Exception as error:  # libcamera's errors are of any type
            raise InferenceError(
                f"{self._name}: the camera is lost: {last_line(error)}", hint=f"check the ribbon cable; {camera.LIST}"
            ) from error
        try:
            return np.ascontiguousarray(request.make_array("main")), request.get_metadata()
        finally:
            request.release()

    def _outputs(self, metadata: Mapping[str, Any]) -> dict[str, Array] | None:
        given: Sequence[Array] | None = self._device.get_outputs(metadata)
        if given is None:
            return None
        if len(given) != len(self.outputs):
            raise InferenceError(
                f"{self._name}: the camera gives {len(given)} outputs, the file states {len(self.outputs)}",
                hint="sudo apt full-upgrade: libcamera and picamera2 must be of one age",
            )
        arrays = {spec.name: _batched(spec, array) for spec, array in zip(self.outputs, given, strict=True)}
        self.outputs = tuple(replace(spec, shape=arrays[spec.name].shape) for spec in self.outputs)
        return arrays

    def _close(self) -> None:
        picamera, self._picamera = self._picamera, None
        with contextlib.suppress(RuntimeError, OSError):  # a lost camera may fail even at this
            if self._started:
                picamera.cancel_all_and_flush()  # else ``stop`` waits behind a request that never ends
                picamera.stop()
            picamera.close()
        del self._device


def _runtime() -> tuple[Any, Any]:
    """Return picamera2 and picamera2.devices. Raises UnavailableError with what mends them."""
    import importlib

    try:
        return importlib.import_module("picamera2"), importlib.import_module("picamera2.devices")
    except (ImportError, ValueError, AttributeError) as error:  # ValueError is NumPy's, of another binary layout
        raise camera.imported(error) from error


def _explained(error: Exception, path: Path) -> PiaccelError:
    if isinstance(error, PiaccelError):
        return error
    if isinstance(error, TypeError) and "tensor_injection" in str(error):
        return too_old()
    return camera.explained(error, path)


def _batched(spec: TensorSpec, array: Array) -> Array:
    """The array in C order with a batch of one in front, but for a lone number; the sensor's are in Fortran order."""
    return np.array(array if spec.shape == (1,) else array[np.newaxis], np.float32, order="C")


def _region(width: int, height: int) -> Region:
    """The largest part in the middle of the sensor with the ratio of the network's input: left, top, width, height."""
    scale = min(SENSOR[0] / width, SENSOR[1] / height)
    seen = int(width * scale), int(height * scale)
    return (SENSOR[0] - seen[0]) // 2, (SENSOR[1] - seen[1]) // 2, *seen


def _geometry(
    shape: Sequence[int], model_size: tuple[int, int], region: Region, crop: Sequence[int] | None
) -> Geometry:
    """Map the network's pixels to the frame's: it sees ``region`` of the sensor, the frame shows ``crop`` of it."""
    left, top, width, height = crop or (0, 0, *SENSOR)
    x, y = model_size[1] / region[2], model_size[0] / region[3]
    scale = x * width / shape[1], y * height / shape[0]
    return Geometry((shape[0], shape[1]), model_size, scale, ((left - region[0]) * x, (top - region[1]) * y))


def _passed(before: int | None, now: int | None, duration_us: float | None) -> int:
    """How many frames the sensor took since the one before: more than one when some were dropped on the way."""
    if before is None or now is None or not duration_us:
        return 1
    return max(1, round((now - before) / (1000 * duration_us)))


def _timing(device: Any, metadata: Mapping[str, Any]) -> dict[str, float]:
    kpi = device.get_kpi_info(metadata)
    return {} if kpi is None else {"dnn_ms": float(kpi[0]), "dsp_ms": float(kpi[1])}
