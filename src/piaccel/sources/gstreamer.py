"""A GStreamer pipeline: ``gstreamer:libcamerasrc ! video/x-raw, width=640, height=480``.

The text goes up to the sink, which is added. A space belongs after each comma, else it begins an option of ours.
API: GStreamer 1.22, GstAppSink, GstClock and GstVideoInfo.
"""

from __future__ import annotations

import importlib
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from piaccel import sources
from piaccel.errors import OptionError, UnavailableError
from piaccel.frames import Frame, Pool

_END = " ! videoconvert ! video/x-raw,format=RGB ! appsink name=piaccel max-buffers=1 sync=false"
_SLICE_NS = 100_000_000
"""The bus is looked at so often while no frame comes."""
_HINT = (
    "sudo apt install python3-gi gir1.2-gstreamer-1.0 gstreamer1.0-plugins-base, and make the venv with the system's "
    "Python: /usr/bin/python3 -m venv --system-site-packages .venv"
)


class Gstreamer(sources.Source):
    """A pipeline with a live source keeps the newest frame only; one that reads a file gives every frame.

    ``exposed_ns`` of a live frame is its running time on the pipeline's clock, carried over to CLOCK_MONOTONIC; what
    the source element wrote there, for most of them the moment the frame came from its driver. Indices jump where a
    live source numbers its frames (v4l2src) and some were dropped.
    """

    def __init__(self, target: str, options: sources.Options) -> None:
        super().__init__(target, options)
        if not target.strip():
            raise OptionError("gstreamer needs a pipeline", hint="write gstreamer:libcamerasrc")
        self._gst: Any = None
        self._pipeline: Any = None
        self._sink: Any = None
        self._first: Frame | None = None
        self._ended = False
        self._index, self._offset, self._last_ns = -1, -1, 0
        self._pool = Pool()

    def __str__(self) -> str:
        return f"gstreamer:{' '.join(self.target.split())}"

    def open(self) -> None:
        """Start the pipeline and wait for its first frame. Raises OptionError when it cannot be built."""
        self.close()
        self._gst = gst = _gst()
        try:
            self._pipeline = gst.parse_launch(self.target.rstrip(" !") + _END)
        except Exception as error:  # GLib.Error
            self.close()
            raise OptionError(
                f"{self}: not a pipeline: {_line(error)}", hint="try it with: gst-launch-1.0 PIPELINE ! fakesink"
            ) from error
        self._sink = self._pipeline.get_by_name("piaccel")
        self._ended = False
        self._index, self._offset, self._last_ns = -1, -1, 0
        try:
            paused = self._pipeline.set_state(gst.State.PAUSED)
            if paused == gst.StateChangeReturn.ASYNC:
                paused = self._pipeline.get_state(_SLICE_NS)[0]
            self.live = paused == gst.StateChangeReturn.NO_PREROLL
            self._sink.set_property("drop", self.live)
            self._pipeline.set_state(gst.State.PLAYING)
            first = self._next()
        except UnavailableError:
            self.close()
            raise
        if first is None:
            self.close()
            raise UnavailableError(f"{self}: the pipeline ended without a frame")
        self._first = None if self.live else first

    def read(self) -> Frame | None:
        """Wait for the next frame, None at the end of the stream."""
        if self._pipeline is None:
            raise UnavailableError(f"{self} is closed")
        first, self._first = self._first, None
        return first or self._next()

    def close(self) -> None:
        pipeline, self._pipeline = self._pipeline, None
        self._sink = self._first = None
        if pipeline is not None:
            pipeline.set_state(self._gst.State.NULL)

    def _next(self) -> Frame | None:
        given_up_ns = time.monotonic_ns() + round(self.chosen.stall_s * 1e9)
        while not self._ended:
            sample = self._sink.emit("try-pull-sample", _SLICE_NS)
            if sample is not None:
                return self._frame(sample)
            self._look_for_errors()
            self._ended = bool(self._sink.get_property("eos"))
            if not self._ended and time.monotonic_ns() > given_up_ns:
                raise UnavailableError(f"{self}: no frame for {self.chosen.stall_s:g} s")
        return None

    def _look_for_errors(self) -> None:
        message = self._pipeline.get_bus().pop_filtered(self._gst.MessageType.ERROR)
        if message is not None:
            error, debug = message.parse_error()
            why = (debug or "").strip().splitlines()[-1:]
            raise UnavailableError(f"{self}: {message.src.get_name()}: {' '.join([_line(error), *why])}")

    def _frame(self, sample: Any) -> Frame:
        structure = sample.get_caps().get_structure(0)
        width, height = structure.get_int("width")[1], structure.get_int("height")[1]
        known, number, of = structure.get_fraction("framerate")
        self.size, self.fps = (height, width), number / of if known and number else None
        buffer = sample.get_buffer()
        passed = 1
        if self.live and 0 <= buffer.offset < self._gst.BUFFER_OFFSET_NONE:
            passed = buffer.offset - self._offset if 0 <= self._offset < buffer.offset else 1
            self._offset = buffer.offset
        self._index += passed
        return Frame(self._image(buffer, height, width), self._index, self._exposed_ns(sample, buffer))

    def _image(self, buffer: Any, height: int, width: int) -> NDArray[np.uint8]:
        """Lines of RGB begin at multiples of 4 bytes (GstVideoInfo)."""
        data = np.frombuffer(buffer.extract_dup(0, buffer.get_size()), np.uint8)
        stride = (width * 3 + 3) // 4 * 4
        if data.size < (height - 1) * stride + width * 3:
            raise UnavailableError(f"{self}: a frame of {width}x{height} has {data.size} bytes")
        lines = np.lib.stride_tricks.as_strided(data, (height, width * 3), (stride, 1), writeable=False)
        image = self._pool.take(height, width)
        np.copyto(image.reshape(height, width * 3), lines)
        return image

    def _exposed_ns(self, sample: Any, buffer: Any) -> int:
        now_ns = time.monotonic_ns()
        clock = self._pipeline.get_clock()
        if self.live and clock is not None and buffer.pts != self._gst.CLOCK_TIME_NONE:
            running = sample.get_segment().to_running_time(self._gst.Format.TIME, buffer.pts)
            if running != self._gst.CLOCK_TIME_NONE:
                now_ns = min(now_ns, now_ns - clock.get_time() + self._pipeline.get_base_time() + running)
        self._last_ns = max(self._last_ns, now_ns)
        return self._last_ns


def _gst() -> Any:
    try:
        importlib.import_module("gi").require_version("Gst", "1.0")
        gst: Any = importlib.import_module("gi.repository.Gst")
    except (ImportError, ValueError) as error:  # ValueError: the typelib is not there
        raise UnavailableError(f"GStreamer is not here for Python: {_line(error)}", hint=_HINT) from error
    if not gst.is_initialized():
        gst.init(None)
    return gst


def _line(error: Any) -> str:
    return " ".join(str(getattr(error, "message", error)).split())
