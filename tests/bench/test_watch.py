"""A camera that runs the network itself is watched, since nothing can be fed to it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import piaccel
from piaccel.backends import CameraSession, Shot
from piaccel.bench.scenarios import Limits
from piaccel.bench.watch import WARM_UP, watch
from piaccel.errors import InferenceError
from piaccel.frames import Frame, Geometry
from piaccel.testing import imx500
from tests.formats import rpks

MS = 1_000_000
PERIOD_MS, AGE_MS = 33, 70


class Clock:
    """Shows when the frame that was yielded last had its result."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


class Camera(CameraSession):
    """A frame each 33 ms, whose result is there 70 ms after its exposure; each fifth comes without one."""

    def __init__(self, clock: Clock, *, stamped: bool = True, frames: int = 1000, unanswered: int = 5) -> None:
        self.inputs = self.outputs = ()
        self._clock, self._stamped, self._frames, self._unanswered = clock, stamped, frames, unanswered

    def shots(self) -> Iterator[Shot]:
        image = np.zeros((2, 2, 3), np.uint8)
        for index in range(self._frames):
            exposed = index * PERIOD_MS * MS
            self._clock.now = exposed + AGE_MS * MS
            outputs = None if self._unanswered and index % self._unanswered == 4 else {"y": np.zeros(1)}
            frame = Frame(image, index, exposed if self._stamped else None)
            yield Shot(frame, outputs, Geometry((2, 2), (2, 2), (1.0, 1.0), (0.0, 0.0)), {"dnn_ms": 12.0})


def test_a_latency_is_the_age_of_a_frame_when_its_result_is_there() -> None:
    clock = Clock()
    seen = watch(Camera(clock), Limits(1000 * MS, 20), clock)
    assert set(seen.samples.latency_ns) == {AGE_MS * MS}
    assert len(seen.warmup_ns) == WARM_UP
    assert seen.first_ns == AGE_MS * MS
    assert seen.samples.duration_ns >= 1000 * MS
    rate = len(seen.samples.latency_ns) / seen.samples.duration_ns * 1e9
    assert rate == pytest.approx(0.8 * 1000 / PERIOD_MS, rel=0.05)
    assert "age of a frame" in seen.note
    assert "frames came without a result" in seen.note
    assert "dnn 12.0 ms" in seen.note


def test_frames_without_a_time_are_measured_from_result_to_result() -> None:
    clock = Clock()
    seen = watch(Camera(clock, stamped=False, unanswered=0), Limits(500 * MS, 5), clock)
    assert set(seen.samples.latency_ns) == {PERIOD_MS * MS}
    assert seen.note.startswith("time from one result to the next")


def test_it_lasts_until_there_are_enough_frames_or_the_time_is_up() -> None:
    clock = Clock()
    assert len(watch(Camera(clock, unanswered=0), Limits(0, 200), clock).samples.latency_ns) == 200
    short = watch(Camera(clock, unanswered=0), Limits(0, 200, max_duration_ns=330 * MS), clock)
    assert len(short.samples.latency_ns) == 10


def test_a_camera_that_ends_before_is_an_error() -> None:
    clock = Clock()
    with pytest.raises(InferenceError, match="ended before"):
        watch(Camera(clock, frames=WARM_UP), Limits(0, 1), clock)


def test_a_camera_is_a_row_of_the_benchmark(tmp_path: Path) -> None:
    net = rpks.write(tmp_path / "net.rpk")
    with imx500.fake():
        report = piaccel.benchmark(net, duration_s=0.1, repeats=2, threads=[1, 2])
        (row,) = report.measurements
        assert row.error == ""
        assert len(row.repeats) == 2
        assert all(repeat.latency_ns and repeat.first_ns > 0 for repeat in row.repeats)
        assert row.agreement is None
        assert report.reference == ""
        refused = piaccel.benchmark(net, duration_s=0.1, repeats=1, scenario="offline")
        assert "its scenario is single-stream" in refused.measurements[0].error
