"""Network cameras: a real RTSP server and a real MJPEG server, both killed and brought back."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

from piaccel import sources
from piaccel.errors import OptionError, UnavailableError
from piaccel.sources import Source
from piaccel.testing.source_compliance import SourceCompliance, taken

PYTHON = "/usr/bin/python3"
SERVER = Path(__file__).with_name("rtsp_server.py")
NEEDS = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@cache
def can_serve() -> bool:
    if not os.path.exists(PYTHON):
        return False
    return subprocess.run([PYTHON, "-c", NEEDS], capture_output=True, check=False).returncode == 0


@contextmanager
def rtsp_camera(port: int, *user: str) -> Iterator[str]:
    if not can_serve():
        pytest.skip("no RTSP server here: apt install gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-good")
    command = [PYTHON, str(SERVER), str(port), *user]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert server.stdout is not None
    try:
        assert server.stdout.readline().strip() == b"ready"
        yield f"rtsp://127.0.0.1:{port}/stream"
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


class MjpegCamera(BaseHTTPRequestHandler):
    """/video is endless, /short ends after 15 pictures; /locked wants a password."""

    def do_GET(self) -> None:
        if self.path == "/locked":
            self.send_error(401)
            return
        if self.path not in ("/video", "/short"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        red = np.zeros((240, 320, 3), np.uint8)
        red[..., 2] = 255
        picture = cv2.imencode(".jpg", red)[1].tobytes()
        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n".encode()
        left, stopped = 15, threading.Event()
        try:
            while left:
                self.wfile.write(head + picture + b"\r\n")
                left -= self.path == "/short"
                stopped.wait(0.02)
        except OSError:
            return  # who watched has gone

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def http_camera() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), MjpegCamera)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def rtsp_url() -> Iterator[str]:
    with rtsp_camera(free_port()) as url:
        yield url


class TestRtsp(SourceCompliance):
    name = "rtsp"
    endless = True

    @pytest.fixture(autouse=True)
    def camera(self, rtsp_url: str) -> None:
        self.url = rtsp_url

    def source(self, folder: Path) -> Source:
        return sources.make(self.url)


class TestMjpegOverHttp(SourceCompliance):
    name = "rtsp"
    endless = True

    @pytest.fixture(autouse=True)
    def camera(self, http_camera: str) -> None:
        self.url = f"{http_camera}/video"

    def source(self, folder: Path) -> Source:
        return sources.make(self.url)


def read_on(source: Source) -> None:
    """Read what still comes, until it is lost."""
    for _ in range(1000):
        source.read()


def test_the_colours_are_right(http_camera: str) -> None:
    with sources.make(f"{http_camera}/video") as source:
        red, green, blue = taken(source, 1)[0].image[120, 160].tolist()
    assert red > 240
    assert green < 15
    assert blue < 15


def test_a_server_that_dies_is_a_loss_and_the_same_source_opens_again_when_it_is_back() -> None:
    port = free_port()
    with rtsp_camera(port) as url:
        source = sources.make(f"{url},stall=2s")
        source.open()
        taken(source, 3)
    with pytest.raises(UnavailableError) as caught:
        read_on(source)
    assert str(source) in str(caught.value)
    source.close()
    with pytest.raises(UnavailableError, match="refused"):
        source.open()
    with rtsp_camera(port):
        source.open()
        assert taken(source, 3)[-1].image.shape == (240, 320, 3)
        source.close()


def test_a_stream_that_ends_is_lost_not_at_its_end(http_camera: str) -> None:
    with sources.make(f"{http_camera}/short") as source, pytest.raises(UnavailableError, match=r"ended|no frame"):
        read_on(source)


def test_a_late_reader_gets_the_newest_frame_and_a_gap(http_camera: str) -> None:
    with sources.make(f"{http_camera}/video") as source:
        first = taken(source, 1)[0]
        pause = threading.Event()
        pause.wait(0.5)
        late = taken(source, 1)[0]
    assert late.index > first.index + 3


def test_a_wrong_path_is_told_from_a_wrong_password_and_from_no_camera(http_camera: str) -> None:
    with pytest.raises(UnavailableError, match="no such path"):
        sources.make(f"{http_camera}/elsewhere").open()
    with pytest.raises(UnavailableError, match="password") as caught:
        sources.make(f"{http_camera.replace('//', '//eve:tomato@')}/locked").open()
    assert "tomato" not in f"{caught.value} {caught.value.hint}"
    with pytest.raises(UnavailableError, match="refused"):
        sources.make(f"rtsp://127.0.0.1:{free_port()}/stream").open()
    with pytest.raises(UnavailableError, match="not known"):
        sources.make("rtsp://camera.invalid/stream").open()


def test_a_camera_with_a_password_is_opened_and_refuses_a_wrong_one() -> None:
    with rtsp_camera(free_port(), "eve", "tomato") as url:
        with sources.make(url.replace("//", "//eve:tomato@")) as source:
            assert "tomato" not in str(source)
            taken(source, 1)
        for wrong in (url, url.replace("//", "//eve:potato@")):
            with pytest.raises(UnavailableError, match="password") as caught:
                sources.make(wrong).open()
            assert "potato" not in str(caught.value)
        wrong = url.replace("//", "//eve:tomato@").replace("stream", "elsewhere")
        with pytest.raises(UnavailableError, match="no such path"):
            sources.make(wrong).open()


def test_a_camera_that_accepts_and_stays_silent_is_given_up_after_the_time_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        source = sources.make(f"rtsp://127.0.0.1:{silent.getsockname()[1]}/stream,stall=500ms")
        with pytest.raises(UnavailableError, match="does not answer"):
            source.open()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://eve:tom@to@camera:554/a", "rtsp://camera:554/a"),
        ("http://camera/video?user=eve&pwd=tomato", "http://camera/video"),
        ("rtsps://camera/a", "rtsps://camera/a"),
    ],
)
def test_its_name_holds_no_secret(url: str, shown: str) -> None:
    assert str(sources.make(url)) == shown


def test_what_is_no_url_is_refused() -> None:
    with pytest.raises(OptionError, match="URL"):
        sources.make("rtsp:camera").open()
    with pytest.raises(OptionError, match="transport"):
        sources.make("rtsp://camera/a,transport=pigeon")
