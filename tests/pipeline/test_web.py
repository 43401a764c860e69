from __future__ import annotations

import http.client
import json
import logging
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import pytest

from piaccel.errors import OptionError
from piaccel.pipeline.health import Health
from piaccel.pipeline.snapshot import Snapshot
from piaccel.pipeline.web import Web, split
from piaccel.sinks import Event
from tests.pipeline import snapshots


class Camera:
    """A picture of another grey each time it is asked for one."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, stream: str) -> Event | None:
        self.asked += 1
        return snapshots.event(stream, self.asked)


Start = Callable[..., Web]


@pytest.fixture
def start() -> Iterator[Start]:
    made: list[Web] = []

    def start(seen: Snapshot | None = None, picture: Any = None, **options: Any) -> Web:
        seen = seen or snapshots.snapshot()
        options = {"token": "", "fps": 50.0, **options}
        web = Web("127.0.0.1:0", lambda: seen, snapshots.histograms, picture or Camera(), **options)
        made.append(web)
        web.start()
        return web

    yield start
    for web in made:
        web.stop()


def ask(
    web: Web, path: str, headers: dict[str, str] | None = None, method: str = "GET"
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=20)
    try:
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def watch(web: Web, path: str = "/video/main.mjpg") -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=20)
    connection.request("GET", path)
    return connection.getresponse()


def until(condition: Callable[[], bool]) -> None:
    """Wait for what must come; the test's own time-out is the end."""
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("did not come")


def part(answer: http.client.HTTPResponse) -> np.ndarray[Any, Any]:
    """Read the next picture of a multipart stream."""
    while (line := answer.readline()) and not line.startswith(b"Content-Length"):
        pass
    length = int(line.split(b":")[1])
    assert answer.readline() == b"\r\n"
    image = cv2.imdecode(np.frombuffer(answer.read(length), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return np.asarray(image)


@pytest.mark.parametrize(
    ("path", "kind", "words"),
    [
        ("/", "text/html", b"<!DOCTYPE html>"),
        ("/look.css", "text/css", b"--page"),
        ("/page.css", "text/css", b".stream"),
        ("/parts.js", "text/javascript", b"textContent"),
        ("/page.js", "text/javascript", b"parts.js"),
        ("/icon.svg", "image/svg+xml", b"<svg"),
        ("/health", "text/plain", b"ok"),
    ],
)
def test_a_route_answers_with_its_kind(start: Start, path: str, kind: str, words: bytes) -> None:
    answer, data = ask(start(), path)
    assert answer.status == 200
    assert (answer.getheader("Content-Type") or "").startswith(kind)
    assert words in data


def test_the_status_is_the_snapshot(start: Start) -> None:
    _, data = ask(start(), "/status.json")
    seen = json.loads(data)
    assert seen["streams"][0]["dropped"] == {"overwritten": 99, "expired": 9}
    assert seen["board"]["fan_rpm"] is None


def test_the_metrics_are_there(start: Start) -> None:
    pytest.importorskip("prometheus_client")
    answer, data = ask(start(), "/metrics")
    assert answer.status == 200
    assert b'piaccel_frames_answered_total{stream="main"} 1190.0' in data


@pytest.mark.parametrize(
    "path", ["/nothing", "/../page.html", "/%2e%2e/web.py", "/static/page.html", "//etc/passwd", "/video/none.mjpg",
             "/picture/../page.jpg", "/video/%2e%2e%2fpage.mjpg"]
)  # fmt: skip
def test_there_is_nothing_but_the_routes(start: Start, path: str) -> None:
    assert ask(start(), path)[0].status == 404


def test_what_is_not_asked_with_get_is_refused(start: Start) -> None:
    assert ask(start(), "/status.json", method="POST")[0].status == 501


def test_a_head_request_gets_no_body(start: Start) -> None:
    answer, data = ask(start(), "/status.json", method="HEAD")
    assert (answer.status, data) == (200, b"")


def test_every_answer_forbids_what_comes_from_elsewhere(start: Start) -> None:
    web = start()
    for path in ("/", "/status.json", "/nothing"):
        answer, _ = ask(web, path)
        policy = answer.getheader("Content-Security-Policy") or ""
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.getheader("X-Content-Type-Options") == "nosniff"
        assert answer.getheader("Access-Control-Allow-Origin") is None


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8080", 200), ("127.0.0.1", 200), ("[::1]:80", 200), ("192.168.1.7:8080", 200),
        (socket.gethostname(), 200), (f"{socket.gethostname()}.local:80", 200),
        ("evil.example", 403), ("127.0.0.1.evil.example:80", 403), ("localhost.evil.example", 403), ("", 403),
    ],
)  # fmt: skip
def test_a_name_that_somebody_points_at_us_is_refused(start: Start, host: str, status: int) -> None:
    assert ask(start(), "/status.json", {"Host": host})[0].status == status


def test_with_a_token_numbers_and_pictures_ask_for_it(start: Start) -> None:
    web = start(token="säsame")
    for path in ("/status.json", "/metrics", "/health", "/picture/main.jpg", "/video/main.mjpg"):
        assert ask(web, path)[0].status == 401
    assert ask(web, "/status.json?token=wrong")[0].status == 401
    assert ask(web, "/")[0].status == 200
    assert ask(web, "/status.json?token=s%C3%A4same")[0].status == 200
    plain = start(token="sesame")
    assert ask(plain, "/status.json", {"Authorization": "Bearer sesame"})[0].status == 200
    assert ask(plain, "/status.json", {"Authorization": "Bearer sesam"})[0].status == 401


def test_a_video_shows_pictures_that_change_at_most_960_wide(start: Start) -> None:
    answer = watch(start())
    assert answer.getheader("Content-Type") == "multipart/x-mixed-replace; boundary=piaccel-picture"
    first, second = part(answer), part(answer)
    assert first.shape == (540, 960, 3)
    assert abs(float(first.mean()) - float(second.mean())) > 5
    answer.close()


def test_pictures_are_wanted_and_made_only_while_somebody_watches(start: Start) -> None:
    camera = Camera()
    web = start(picture=camera)
    assert not web.wants("main")
    assert camera.asked == 0
    answer = watch(web)
    part(answer)
    assert web.wants("main")
    assert not web.wants("other")
    answer.close()
    until(lambda: not web.wants("main"))
    preview = web.preview("main")
    assert preview is not None
    until(lambda: preview._thread is None)
    made = preview.encoded
    time.sleep(0.1)
    assert preview.encoded == made


def test_a_viewer_that_leaves_a_stream_that_stands_still_is_noticed(start: Start) -> None:
    still = snapshots.event("main", 1)
    web = start(picture=lambda _: still)
    answer = watch(web)
    part(answer)
    answer.close()
    until(lambda: not web.wants("main"))


def test_all_viewers_share_one_encoding(start: Start) -> None:
    camera = Camera()
    web = start(picture=camera, fps=2.0)
    viewers = [watch(web) for _ in range(3)]
    for viewer in viewers:
        part(viewer)
    preview = web.preview("main")
    assert preview is not None
    assert preview.encoded <= camera.asked
    for viewer in viewers:
        viewer.close()


def test_one_viewer_too_many_is_told_so_and_has_a_place_later(start: Start) -> None:
    web = start(viewers=2)
    first, second = watch(web), watch(web)
    refused, _ = ask(web, "/video/main.mjpg")
    assert refused.status == 503
    assert refused.getheader("Retry-After") == "5"
    assert ask(web, "/status.json")[0].status == 200
    first.close()
    until(lambda: ask(web, "/picture/main.jpg")[0].status == 200)
    second.close()


def test_a_picture_that_cannot_be_drawn_does_not_end_the_video(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    broken = [snapshots.event("main", 1, (0, 0))]

    def picture(_: str) -> Event:
        return broken.pop() if broken else snapshots.event("main", 2)

    answer = watch(start(picture=picture))
    assert part(answer).shape[1] == 960
    answer.close()
    assert "no picture of main" in caplog.text


def test_the_last_picture_comes_alone_too(start: Start) -> None:
    answer, data = ask(start(), "/picture/main.jpg")
    assert answer.getheader("Content-Type") == "image/jpeg"
    assert data[:2] == b"\xff\xd8"


def test_a_stream_whose_name_is_no_plain_word_has_its_picture(start: Start) -> None:
    web = start(snapshots.snapshot(streams=(snapshots.stream("a/b ?ü"),)))
    assert ask(web, "/picture/a%2Fb%20%3F%C3%BC.jpg")[0].status == 200


def test_without_a_picture_yet_that_is_said(start: Start) -> None:
    answer, data = ask(start(picture=lambda _: None), "/picture/main.jpg")
    assert answer.status == 503
    assert b"no picture yet" in data


def test_a_client_that_says_nothing_holds_nothing_up(start: Start) -> None:
    web = start()
    silent = [socket.create_connection(("127.0.0.1", web.port)) for _ in range(5)]
    assert ask(web, "/status.json")[0].status == 200
    for each in silent:
        each.close()


def test_more_connections_than_places_are_closed(start: Start) -> None:
    web = start()
    silent = [socket.create_connection(("127.0.0.1", web.port), timeout=20) for _ in range(33)]
    assert silent[-1].recv(1) == b""
    for each in silent:
        each.close()
    until(lambda: _answers(web))


def _answers(web: Web) -> bool:
    try:
        return ask(web, "/status.json")[0].status == 200
    except (OSError, http.client.HTTPException):
        return False


def test_a_health_that_is_gone_says_why(start: Start) -> None:
    seen = snapshots.snapshot(cameras=(snapshots.camera(state="lost", error="no such device"),))
    answer, data = ask(start(seen), "/health")
    assert answer.status == 503
    assert data == b"source usb:0 is lost: no such device\n"


def test_a_snapshot_that_fails_is_a_health_that_is_gone() -> None:
    def fails() -> Snapshot:
        raise RuntimeError("stopped")

    web = Web("127.0.0.1:0", fails, snapshots.histograms, Camera(), token="")
    assert web.reasons() == ["the pipeline does not answer: stopped"]


def test_a_snapshot_that_fails_is_an_answer_too(start: Start) -> None:
    web = start()

    def fails() -> Snapshot:
        raise RuntimeError("stopped")

    web.snapshot = fails
    assert ask(web, "/status.json")[0].status == 500


def test_frames_without_results_for_long_are_not_healthy() -> None:
    now = [0.0]
    health = Health(quiet_s=30, clock=lambda: now[0])

    def at(seconds: float, **changes: Any) -> list[str]:
        now[0] = seconds
        return health.reasons(snapshots.snapshot(streams=(snapshots.stream(**changes),)))

    assert at(0, offered=10, answered=5) == []
    assert at(20, offered=20, answered=5) == []
    assert at(40, offered=30, answered=5) == ["main: frames come, but no result for 40 s"]
    assert at(45, offered=40, answered=6) == []
    assert at(100, offered=40, answered=6) == []  # no frames: nothing is owed


def test_a_conveyor_without_parts_is_healthy_and_one_without_results_is_not() -> None:
    now = [0.0]
    health = Health(quiet_s=30, clock=lambda: now[0])

    def at(seconds: float, missing: int) -> list[str]:
        now[0] = seconds
        stream = snapshots.stream(policy="triggered", offered=round(seconds * 30), missing=missing)
        return health.reasons(snapshots.snapshot(streams=(stream,)))

    assert at(0, 0) == []
    assert at(100, 0) == []
    assert at(140, 3) == ["main: frames come, but no result for 40 s"]


def test_passwords_in_addresses_are_not_shown(start: Start) -> None:
    camera = snapshots.camera(name="rtsp://me:secret@cam/1", source="rtsp://me:secret@cam/1", state="lost")
    web = start(snapshots.snapshot(cameras=(camera,)))
    for path in ("/status.json", "/health"):
        assert b"secret" not in ask(web, path)[1]


@pytest.mark.parametrize(
    ("address", "expected"),
    [("8080", ("127.0.0.1", 8080)), ("0.0.0.0:80", ("0.0.0.0", 80)), ("[::1]:1", ("::1", 1)), (":7", ("127.0.0.1", 7))],
)
def test_an_address_is_a_port_or_a_host_and_a_port(address: str, expected: tuple[str, int]) -> None:
    assert split(address) == expected


@pytest.mark.parametrize("address", ["", "host", "host:", "1.2.3.4:99999", "a:b"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(OptionError, match="not an address"):
        split(address)


def test_an_address_that_is_taken_is_said_in_one_line(start: Start) -> None:
    web = start()
    with pytest.raises(OptionError, match=str(web.port)):
        Web(f"127.0.0.1:{web.port}", snapshots.snapshot, snapshots.histograms, Camera()).start()


def test_the_network_gets_a_warning_when_nothing_is_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    for token, warned in (("", True), ("sesame", False)):
        caplog.clear()
        web = Web("0.0.0.0:0", snapshots.snapshot, snapshots.histograms, Camera(), token=token)
        with caplog.at_level(logging.WARNING):
            web.start()
        web.stop()
        assert ("without authentication" in caplog.text) is warned


def test_after_the_end_no_thread_draws_and_viewers_are_gone(start: Start) -> None:
    web = start()
    answer = watch(web)
    part(answer)
    preview = web.preview("main")
    assert preview is not None
    web.stop()
    assert preview._thread is None
    while answer.read(65536):
        pass
    answer.close()
