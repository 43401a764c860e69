"""Real GStreamer pipelines. Where only the system's Python has PyGObject, this file's tests run there, in a child."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from piaccel import sources
from piaccel.errors import OptionError, UnavailableError
from piaccel.sources import Source
from piaccel.testing.source_compliance import SourceCompliance, taken

SYSTEM_PYTHON = "/usr/bin/python3"
QUIET = ("-W", "ignore::ImportWarning", "-W", "ignore::DeprecationWarning")
"""Of PyGObject itself, while it is imported."""
HERE = importlib.util.find_spec("gi") is not None
real = pytest.mark.skipif(not HERE, reason="PyGObject is not installed for this Python")
LIVE = "gstreamer:videotestsrc is-live=true ! video/x-raw, width=321, height=200, framerate=100/1"


def has_gstreamer() -> bool:
    script = "import gi; gi.require_version('Gst', '1.0'); from gi.repository import Gst; Gst.init(None)\n"
    script += "import sys; sys.exit(not Gst.ElementFactory.find('videotestsrc') or sys.version_info[:2] != %r)"
    command = [SYSTEM_PYTHON, "-c", script % (sys.version_info[:2],)]
    return Path(SYSTEM_PYTHON).exists() and subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.skipif(HERE, reason="they run here")
def test_the_tests_of_this_file_pass_with_the_system_s_python() -> None:
    if not has_gstreamer():
        pytest.skip("the system's Python has no GStreamer, or is of another version than this one")
    source = Path(sources.__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(source), str(Path(np.__file__).parents[1])])}
    command = [SYSTEM_PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", *QUIET, __file__]
    done = subprocess.run(
        command, env=environment, cwd=source.parent, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


@pytest.mark.skipif(HERE, reason="PyGObject is here")
def test_without_pygobject_the_hint_names_its_packages() -> None:
    with pytest.raises(UnavailableError, match="No module named 'gi'") as caught:
        sources.make(LIVE).open()
    assert "python3-gi" in caught.value.hint
    assert "--system-site-packages" in caught.value.hint


def test_no_pipeline_is_refused() -> None:
    with pytest.raises(OptionError, match="needs a pipeline"):
        sources.make("gstreamer")


@real
class TestLive(SourceCompliance):
    name = "gstreamer"
    endless = True
    libraries = ("cv2", "gi")

    def source(self, folder: Path) -> Source:
        return sources.make(LIVE)


@real
class TestFinite(SourceCompliance):
    name = "gstreamer"
    libraries = ("cv2", "gi")

    def source(self, folder: Path) -> Source:
        return sources.make("gstreamer:videotestsrc num-buffers=20 ! video/x-raw, width=64, height=48")


@real
@pytest.mark.parametrize("width", [320, 321, 322, 323])
def test_lines_and_colours_are_right_whatever_the_width(width: int) -> None:
    text = f"gstreamer:videotestsrc pattern=smpte75 num-buffers=3 ! video/x-raw, width={width}, height=240"
    with sources.make(text) as source:
        image = taken(source, 1)[0].image
    assert image.shape == (240, width, 3)
    row = image[60, [round(width * (2 * bar + 1) / 14) for bar in range(7)]].astype(int)  # the middles of 7 bars
    bars = [(1, 1, 1), (1, 1, 0), (0, 1, 1), (0, 1, 0), (1, 0, 1), (1, 0, 0), (0, 0, 1)]
    assert np.abs(row - np.array(bars) * 191).max() <= 8
    np.testing.assert_array_equal(image[20], image[100])  # a wrong stride slants the bars


@real
def test_a_file_gives_every_frame_and_then_ends(tmp_path: Path) -> None:
    path = tmp_path / "raw.rgb"
    shades = [10, 60, 110, 160, 210]
    path.write_bytes(b"".join(bytes([shade, 0, 255 - shade]) * (64 * 48) for shade in shades))
    text = f"gstreamer:filesrc location={path} ! rawvideoparse format=rgb width=64 height=48 framerate=5/1"
    with sources.make(text) as source:
        assert not source.live
        assert source.fps == 5
        frames = taken(source, 5)
        assert source.read() is None
        assert source.read() is None
    assert [frame.image[7, 9].tolist() for frame in frames] == [[shade, 0, 255 - shade] for shade in shades]
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4]


@real
def test_a_live_pipeline_keeps_the_newest_frame_and_counts_the_lost_ones() -> None:
    with sources.make(LIVE) as source:
        assert source.live
        first = taken(source, 1)[0]
        time.sleep(0.3)
        asked_ns = time.monotonic_ns()
        frame = taken(source, 2)[1]
    assert frame.index >= first.index + 15
    assert frame.exposed_ns is not None
    assert frame.exposed_ns > asked_ns - 200_000_000


@real
@pytest.mark.parametrize(
    ("text", "told"), [("no_such_element", "no_such_element"), ("videotestsrc ! ! x", "not a pipeline")]
)
def test_what_is_no_pipeline_is_told_in_one_line(text: str, told: str) -> None:
    with pytest.raises(OptionError, match=told) as caught:
        sources.make(f"gstreamer:{text}").open()
    assert len(str(caught.value).splitlines()) == 1


@real
def test_an_error_of_the_pipeline_is_told_in_one_line(tmp_path: Path) -> None:
    text = f"gstreamer:filesrc location={tmp_path / 'absent'} ! rawvideoparse format=rgb width=64 height=48"
    with pytest.raises(UnavailableError, match=r"filesrc\d+: Resource not found") as caught:
        sources.make(text).open()
    assert len(str(caught.value).splitlines()) == 1
    assert "absent" in str(caught.value)


@real
def test_silence_is_a_loss() -> None:
    with pytest.raises(UnavailableError, match=r"no frame for 0\.3 s"):
        sources.make("gstreamer:appsrc is-live=true format=time,stall=300ms").open()
