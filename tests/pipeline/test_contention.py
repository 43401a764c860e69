"""The promises hold while everything else wants the cores, too."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from piaccel.pipeline.runner import Pipeline
from piaccel.sinks import Event
from piaccel.sources.synthetic import read_code


@pytest.fixture
def stress() -> Iterator[None]:
    program = shutil.which("stress-ng")
    if program is None:
        pytest.skip("stress-ng is not installed")
    command = [program, "--cpu", "4", "--vm", "1", "--vm-bytes", "64M", "--timeout", "60s", "--quiet"]
    with subprocess.Popen(command) as load:
        time.sleep(0.5)
        yield
        load.terminate()


@pytest.mark.parametrize("policy", ["latest", "fresh", "every"])
def test_under_stress_order_accounts_and_pixels_hold(stress: None, demo: Path, policy: str) -> None:
    seen: list[tuple[Event, int | None]] = []

    def keep(event: Event) -> None:
        assert event.image is not None
        code = read_code(event.image)
        seen.append((event, None if code is None or code.torn else code.index))

    source = "synthetic:fps=40,frames=120,size=640x480"
    summary = Pipeline(source, demo / "bundle", sinks=[keep], backend="litert", threads=1, policy=policy).run()
    camera, stream = summary.numbers.cameras[0], summary.numbers.streams[0]
    assert stream.offered == stream.answered + stream.failed + sum(stream.dropped.values())
    assert stream.offered == camera.produced - camera.lost
    assert camera.produced <= 120  # the last ones may have been due while nobody had a core
    assert stream.failed == 0
    assert seen
    indices = [event.index for event, _ in seen]
    assert indices == sorted(set(indices))
    assert [code for _, code in seen] == indices
    assert all(event.age_ns is not None and event.age_ns > 0 for event, _ in seen)
    assert summary.numbers.sinks[0].sent + sum(summary.numbers.sinks[0].given_up.values()) == stream.answered
