"""The AI Camera in a pipeline: its frames come with their results, and it is opened again when it is lost."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from piaccel.errors import OptionError
from piaccel.pipeline.runner import Pipeline
from piaccel.sinks import Event
from piaccel.testing import imx500
from tests.formats import rpks


@pytest.fixture
def fake() -> Iterator[None]:
    with imx500.fake():
        yield


@pytest.fixture
def net(tmp_path: Path) -> Path:
    return rpks.write(tmp_path / "net.rpk")


def test_its_frames_come_out_with_their_results_and_no_source_is_named(fake: object, net: Path) -> None:
    seen: list[Event] = []
    summary = Pipeline(None, net, sinks=[seen.append], backend="imx500", policy="every").run(frames=8)
    assert len(seen) == 8
    assert [event.index for event in seen] == sorted({event.index for event in seen})
    assert all(event.backend == "imx500" and event.result is not None for event in seen)
    assert summary.numbers.cameras[0].clock == "sensor"
    stream = summary.numbers.streams[0]
    assert stream.offered == stream.answered + stream.failed + sum(stream.dropped.values())


def test_a_model_without_a_camera_wants_a_source(demo: Path) -> None:
    with pytest.raises(OptionError, match="no camera of its own"):
        Pipeline(None, demo / "bundle", backend="litert").start()


def test_a_camera_that_is_lost_is_opened_again(net: Path) -> None:
    seen: list[Event] = []
    with imx500.fake(lost_after=6, loss="error"):
        pipeline = Pipeline(None, net, sinks=[seen.append], backend="imx500", policy="every")
        summary = pipeline.run(frames=10)
    assert summary.numbers.cameras[0].reconnects >= 1
    assert len(seen) == 10
    assert [event.index for event in seen] == sorted({event.index for event in seen})
