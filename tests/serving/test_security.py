"""What a hostile client, page or neighbour may try, against a real server on a real socket."""

import asyncio
import contextlib
import gzip
import json
import os
import socket
import ssl
import subprocess
import threading
import time
import warnings
import zlib
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from piaccel.errors import OptionError, ServiceError
from piaccel.serving import access, picture_size, rest
from piaccel.serving.messages import Request, Response, Tensor
from tests.serving.rest_server import Site, heard, parts, site

BODY_LIMIT = 4 << 20
KB = 1024
POST = b"POST /v2/models/parts/infer HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(scope="module")
def served(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Short time-outs, 4 MiB of body, no keys: a service on loopback."""
    chosen = parts(
        demo,
        tmp_path_factory.mktemp("hidden-folder"),
        max_body_bytes=BODY_LIMIT,
        header_timeout_s=1.5,
        body_timeout_s=4.0,
    )
    with site(chosen) as found:
        yield found


@pytest.fixture(scope="module")
def locked(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, dict[str, str]]]:
    """A service with a key for each scope, and a slow one."""
    folder = tmp_path_factory.mktemp("locked")
    path = folder / "keys.toml"
    tokens: dict[str, str] = {scope: access.add_key(path, scope, [scope]) for scope in access.SCOPES}
    tokens["slow"] = access.add_key(path, "slow", ["read"], rate=0.01, burst=2)
    with site(parts(demo, folder, keys=str(path), repository_api=True), metrics=lambda: "up 1\n") as found:
        yield found, tokens


@pytest.fixture(autouse=True)
def it_still_answers(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test did, the next client is served."""
    yield
    if "served" in request.fixturenames:
        found: Site = request.getfixturevalue("served")
        assert found.json("GET", "/v2/health/live")[0] == 200


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def error_of(answer: bytes) -> str:
    text = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert list(text) == ["error"]
    return str(text["error"])


def test_only_health_and_the_greeting_need_no_key(locked: tuple[Site, dict[str, str]]) -> None:
    served, _ = locked
    for path in ("/v2", "/v2/health/live", "/v2/health/ready"):
        assert served.ask("GET", path)[0] == 200
    for method, path in (
        ("GET", "/v2/health/ready?verbose"),
        ("GET", "/v2/models/parts"),
        ("GET", "/v2/models/parts/ready"),
        ("GET", "/v2/models/stats"),
        ("GET", "/v2/service"),
        ("GET", "/metrics"),
        ("POST", "/v2/models/parts/infer"),
        ("POST", "/v2/models/parts/predict"),
        ("POST", "/v2/repository/index"),
        ("POST", "/v2/repository/models/parts/load"),
    ):
        status, headers, body = served.ask(method, path)
        assert (status, headers["www-authenticate"]) == (401, "Bearer")
        assert list(json.loads(body)) == ["error"]
        for wrong in ({"Authorization": "Bearer wrong"}, {"X-API-Key": "wrong"}, {"Authorization": "Basic eDp5"}):
            assert served.ask(method, path, headers=wrong)[0] == 401


def test_a_key_does_what_its_scope_says(locked: tuple[Site, dict[str, str]]) -> None:
    served, tokens = locked
    calls = {
        ("GET", "/v2/models/parts"): {"infer", "read", "admin"},
        ("GET", "/v2/service"): {"read", "admin"},
        ("GET", "/v2/health/ready?verbose"): {"read", "admin"},
        ("GET", "/metrics"): {"read", "admin"},
        ("POST", "/v2/repository/index"): {"read", "admin"},
        ("POST", "/v2/models/parts/infer"): {"infer", "admin"},
        ("POST", "/v2/repository/models/nuts/release"): {"admin"},
        ("POST", "/v2/repository/models/nuts/promote"): {"admin"},
    }
    for (method, path), may in calls.items():
        for scope in access.SCOPES:
            for headers in ({"Authorization": f"Bearer {tokens[scope]}"}, {"X-API-Key": tokens[scope]}):
                status = served.ask(method, path, headers=headers)[0]
                assert (status not in (401, 403)) == (scope in may), (path, scope, status)


def test_a_used_up_quota_is_429_with_the_time_to_wait(locked: tuple[Site, dict[str, str]]) -> None:
    served, tokens = locked
    key = {"X-API-Key": tokens["slow"]}
    assert [served.ask("GET", "/v2/service", headers=key)[0] for _ in range(3)] == [200, 200, 429]
    headers = served.ask("GET", "/v2/service", headers=key)[1]
    assert 1 <= int(headers["retry-after"]) <= 100
    assert served.ask("GET", "/v2/service", headers={"X-API-Key": tokens["read"]})[0] == 200


def test_the_repository_is_closed_unless_opened(served: Site) -> None:
    for verb in ("load", "unload", "promote", "rollback", "label", "shadow", "release"):
        status, told = served.json("POST", f"/v2/repository/models/parts/{verb}", {"version": "1", "label": "x"})
        assert (status, told) == (403, {"error": "the repository API is off"})
    assert served.json("GET", "/v2/models/parts/ready")[0] == 200


def test_a_declared_length_beyond_the_cap_is_refused_before_it_is_read(served: Site) -> None:
    for length in (BODY_LIMIT + 1, 10**15, 2**63):
        head = f"POST /v2/models/parts/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
        answer = served.raw(head.encode())
        assert status_of(answer) == 413
        assert "longer than" in error_of(answer)


def test_a_chunked_body_beyond_the_cap_is_refused(served: Site) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(BODY_LIMIT // (64 * KB) + 2):
            yield bytes(64 * KB)

    connection = HTTPConnection("127.0.0.1", served.port, timeout=20)
    connection.request("POST", "/v2/models/parts/infer", chunks(), encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_three_megabytes_in_chunks_of_one_byte_are_one_body(locked: tuple[Site, dict[str, str]]) -> None:
    served, tokens = locked  # it has the time-outs of a real service
    head = POST + f"X-API-Key: {tokens['infer']}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", served.port), 60) as connection:
        connection.sendall(head + b"1\r\n{\r\n" * (3 << 20) + b"0\r\n\r\n")
        answer = connection.recv(65536)
    assert status_of(answer) == 400
    assert "JSON" in error_of(answer)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_compressed_bomb_is_stopped_at_the_cap(served: Site, coding: str) -> None:
    bomb = gzip.compress(bytes(200 << 20), 9) if coding == "gzip" else zlib.compress(bytes(200 << 20), 9)
    assert len(bomb) < BODY_LIMIT
    status, told = served.json("POST", "/v2/models/parts/infer", bomb, {"Content-Encoding": coding})
    assert (status, list(told)) == (413, ["error"])


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (b"no gzip", "gzip"),
        (gzip.compress(b"{}" * 100)[:-9], "gzip"),
        (gzip.compress(b"{}") + b"more", "gzip"),
        (b"{}", "br"),
        (gzip.compress(gzip.compress(b"{}")), "gzip, gzip"),
    ],
)
def test_a_broken_coding_is_refused(served: Site, body: bytes, coding: str) -> None:
    assert served.json("POST", "/v2/models/parts/infer", body, {"Content-Encoding": coding})[0] == 400


def test_sizes_that_overflow_are_refused(served: Site) -> None:
    spec = served.service.metadata("parts")["inputs"][0]["name"]
    for shape in ([2**31, 2**31, 4], [2**53] * 16, [10**400], [-1], [0, 2**53]):
        one = {"name": spec, "shape": shape, "datatype": "FP32"}
        header = json.dumps({"inputs": [{**one, "parameters": {"binary_data_size": 4}}]}).encode()
        length = {"Inference-Header-Content-Length": str(len(header))}
        assert served.json("POST", "/v2/models/parts/infer", header + b"abcd", length)[0] == 400
        assert served.json("POST", "/v2/models/parts/infer", {"inputs": [{**one, "data": [1]}]})[0] == 400
    for wrong in ("-1", "1e3", "9" * 19, "9" * 400, "0x10", " "):
        status = served.json("POST", "/v2/models/parts/infer", b"{}", {"Inference-Header-Content-Length": wrong})[0]
        assert status == 400


def test_lists_of_lists_are_refused_before_they_cost_memory(served: Site) -> None:
    data = "[" + ",".join(["[]"] * 1_000_000) + "]"
    text = '{"inputs":[{"name":"x","shape":[1000000,1],"datatype":"UINT8","data":' + data + "}]}"
    assert served.json("POST", "/v2/models/parts/infer", text.encode())[0] == 400


def test_a_picture_of_too_many_pixels_is_refused_unopened(served: Site) -> None:
    side = (60_000).to_bytes(4, "big")
    png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + side + side + b"\x08\x02\0\0\0" + bytes(100)
    jpeg = b"\xff\xd8\xff\xe0\0\x04\0\0\xff\xff\xc0\0\x11\x08\xea\x60\xea\x60" + bytes(100)
    vp8x = b"RIFF" + bytes(4) + b"WEBPVP8X" + bytes(8) + b"\xff\xff\0\xff\xff\0" + bytes(10)
    for picture in (png, jpeg, vp8x):
        status, told = served.json("POST", "/v2/models/parts/predict", picture)
        assert (status, str(picture_size.MAX_PIXELS) in told["error"]) == (413, True)


def test_slow_headers_are_given_up(served: Site) -> None:
    with socket.create_connection(("127.0.0.1", served.port), 20) as connection:
        connection.sendall(b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n")
        for _ in range(30):
            with contextlib.suppress(OSError):
                connection.sendall(b"X-A: b\r\n")
            time.sleep(0.1)
        answer = heard(connection, 10)
    assert b"408" in answer or not answer


def test_a_silent_connection_is_given_up(served: Site) -> None:
    with socket.create_connection(("127.0.0.1", served.port), 20) as connection:
        answer = heard(connection, 20)
    assert status_of(answer) == 408
    assert "headers" in error_of(answer)


def test_a_slow_body_is_given_up(served: Site) -> None:
    with socket.create_connection(("127.0.0.1", served.port), 30) as connection:
        connection.sendall(b"POST /v2/models/parts/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n")

        def drip() -> None:
            with contextlib.suppress(OSError):
                for _ in range(60):
                    connection.sendall(b"{")
                    time.sleep(0.1)

        thread = threading.Thread(target=drip)
        thread.start()
        answer = heard(connection, 20)
        thread.join()
    assert status_of(answer) == 408
    assert "body" in error_of(answer)


def test_a_client_that_does_not_take_its_answer_is_given_up(served: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def infer(request: Request) -> Response:
        return Response("parts", "1", "", [Tensor("y", "UINT8", (64 << 20,), bytes(64 << 20))])

    monkeypatch.setattr(served.service, "infer", infer)
    asked = b'{"inputs":[],"parameters":{"binary_data_output":true}}'
    with socket.create_connection(("127.0.0.1", served.port), 20) as connection:
        connection.sendall(POST + b"Content-Length: %d\r\n\r\n" % len(asked) + asked)
        time.sleep(7)
        assert len(heard(connection, 2)) < 64 << 20


def test_requests_sent_ahead_wait_in_the_client_not_in_our_memory(
    served: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()

    async def infer(request: Request) -> Response:
        while not over.is_set():
            await asyncio.sleep(0.02)
        return Response("parts", "1", "", [])

    monkeypatch.setattr(served.service, "infer", infer)
    one, sent = b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n", 0
    with socket.create_connection(("127.0.0.1", served.port), 2) as connection:
        connection.sendall(POST + b'Content-Length: 13\r\n\r\n{"inputs":[]}')
        with contextlib.suppress(TimeoutError):
            while sent < 200 << 20:
                sent += connection.send(one * 1000)
        assert sent < 200 << 20
        over.set()
        assert connection.recv(100).startswith(b"HTTP/1.1 200")


def test_a_broken_request_behind_a_good_one_is_not_written_into_its_answer(
    served: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def infer(request: Request) -> Response:
        large = Tensor("y", "UINT8", (16 << 20,), bytes(16 << 20))
        return Response("parts", "1", "", [large, large])

    monkeypatch.setattr(served.service, "infer", infer)
    asked = b'{"inputs":[],"parameters":{"binary_data_output":true}}'
    with socket.create_connection(("127.0.0.1", served.port), 20) as connection:
        connection.sendall(POST + b"Content-Length: %d\r\n\r\n" % len(asked) + asked)
        first = connection.recv(100)
        with contextlib.suppress(OSError):
            connection.sendall(b"no http at all\r\n\r\n")
        whole = first + heard(connection, 3)
    assert whole.count(b"HTTP/1.1 ") == 1


def test_a_connection_between_requests_outlives_the_header_time_out(served: Site) -> None:
    one = b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with socket.create_connection(("127.0.0.1", served.port), 20) as connection:
        for pause in (2.5, 0):
            connection.sendall(one)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
            time.sleep(pause)


def test_a_request_that_computes_longer_than_the_time_outs_is_answered(
    served: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def infer(request: Request) -> Response:
        await asyncio.sleep(5.5)
        return Response("parts", "1", "", [])

    monkeypatch.setattr(served.service, "infer", infer)
    assert served.json("POST", "/v2/models/parts/infer", {"inputs": []})[0] == 200


def test_more_connections_than_allowed_are_answered_503(demo: Path, tmp_path: Path) -> None:
    with site(parts(demo, tmp_path, connections=4)) as served, contextlib.ExitStack() as held:
        for _ in range(4):
            held.enter_context(socket.create_connection(("127.0.0.1", served.port)))
        for _ in range(50):  # until the server has seen them all
            status, headers, body = served.ask("POST", "/v2/models/parts/infer", bytes(200 * KB))
            if status == 503:
                break
            time.sleep(0.1)
        assert (status, headers["retry-after"], json.loads(body)) == (503, "1", {"error": "too many connections"})
        held.close()
        for _ in range(50):
            if served.ask("GET", "/v2")[0] == 200:
                break
            time.sleep(0.1)
        assert served.ask("GET", "/v2")[0] == 200


@pytest.mark.parametrize(
    "request_",
    [
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        POST + b"Content-Length: -5\r\n\r\n",
        POST + b"Content-Length: 5, 5\r\n\r\nabcde",
        POST + b"Content-Length: 0x5\r\n\r\nabcde",
        POST + b"Content-Length: 99999999999999999999999\r\n\r\n",
        POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        POST + b" X: folded\r\nbad header\r\n\r\n",
        b"GET /v2 HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n",
        b"GET /v2 HTTP/9.9\r\nHost: a\r\n\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /v2/\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"hello\r\n\r\n",
    ],
)
def test_what_is_no_clean_http_is_400_and_the_connection_ends(served: Site, request_: bytes) -> None:
    answer = served.raw(request_ + b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert status_of(answer) == 400
    assert error_of(answer)
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    "head",
    [
        b"GET /v2/" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /v2 HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET /v2 HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 5000 + b"\r\n",
        b"POST /v2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: a\r\n" * 5000 + b"\r\n",
    ],
)
def test_endless_headers_are_refused(served: Site, head: bytes) -> None:
    answer = served.raw(head)
    assert status_of(answer) in (431, 405)
    assert b"431" in answer


def test_an_upgrade_is_not_followed(served: Site) -> None:
    head = b"GET /v2 HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    answer = served.raw(head + b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert status_of(answer) == 200
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 1_000_000,
        b'{"a":' * 500_000,
        b'{"inputs":[],"parameters":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
        b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[NaN]}]}',
        b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[-Infinity]}]}',
        b'{"inputs":[{"name":"x","shape":[1],"datatype":"INT64","data":[' + b"9" * 100_000 + b"]}]}",
        b'{"inputs":[{"name":"x","shape":[' + b"9" * 100_000 + b'],"datatype":"INT64","data":[1]}]}',
        b'{"inputs":[{"name":"\\ud800","shape":[1],"datatype":"INT64","data":[1]}]}',
        b'{"inputs":[{"name":"x\xff","shape":[1],"datatype":"INT64","data":[1]}]}',
        b'{"inputs":[],"inputs":7}',
        b'{"inputs":' + b"[" + b",".join([b'{"name":"x","shape":[1],"datatype":"UINT8","data":[1]}'] * 1000) + b"]}",
        b"\xef\xbb\xbf{}",
        b"\0" * 1000,
        b'{"id":7,"inputs":[]}',
        b'{"id":"' + b"a" * 100_000 + b'","inputs":[]}',
        b'{"inputs":[],"parameters":{"timeout":-1}}',
        b'{"inputs":[],"parameters":{"priority":1e999}}',
    ],
)
def test_hostile_json_is_refused_in_one_line(served: Site, text: bytes) -> None:
    status, told = served.json("POST", "/v2/models/parts/infer", text)
    assert (status, list(told)) == (400, ["error"])
    assert len(told["error"]) < 300
    assert "\n" not in told["error"]


SECRETS = (
    "/tmp",
    "/usr",
    "/home",
    "/work",
    "/root",
    "/var",
    "/dev/shm",
    "hidden-folder",
    "Traceback",
    "site-packages",
    ".py",
)


def gives_nothing_away(body: bytes) -> None:
    text = body.decode("utf-8", "replace")
    assert not [each for each in SECRETS if each in text], text


@pytest.mark.parametrize(
    "name",
    [
        "../parts", "..%2f..%2fetc%2fpasswd", "%2e%2e%2f", "%252e%252e%252f", "parts%00", "parts%0a", "%c0%ae%c0%ae",
        "%e2%88%95", "%ef%bc%8f", "%5c..%5c", "....//", "a" * 129, "a" * 5000, "%", "%zz", "con:", "~root", ".", "..",
        "$(id)", "%ff%fe", ".piaccel",
    ],
)  # fmt: skip
def test_names_of_models_and_versions_are_never_paths(served: Site, name: str) -> None:
    for path in (f"/v2/models/{name}", f"/v2/models/{name}/ready", f"/v2/models/parts/versions/{name}"):
        answer = served.raw(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        assert status_of(answer) in (400, 404)
        gives_nothing_away(answer)
    head = f"POST /v2/repository/models/{name}/load HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    assert status_of(served.raw((head + "Content-Length: 0\r\n\r\n").encode())) in (400, 403, 404)


def test_an_unforeseen_failure_says_nothing_of_itself(served: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def infer(request: Request) -> Response:
        raise RuntimeError(f"{served.service.settings.repository}/parts/1/model.tflite in /dev/shm/psm_1234")

    monkeypatch.setattr(served.service, "infer", infer)
    status, told = served.json("POST", "/v2/models/parts/infer", {"inputs": []})
    assert (status, told) == (500, {"error": "internal error"})


def test_a_reason_loses_the_folder_it_names(served: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = served.service.settings.repository

    async def infer(request: Request) -> Response:
        raise ServiceError("internal", f"{folder}/parts/1/model.toml: broken")

    monkeypatch.setattr(served.service, "infer", infer)
    assert served.json("POST", "/v2/models/parts/infer", {"inputs": []})[1] == {"error": "parts/1/model.toml: broken"}


_paths = st.one_of(
    st.text(max_size=30).map(lambda text: "/v2/" + quote(text, safe="/%")),
    st.sampled_from(["/v2/models/parts/infer", "/v2/models/parts/predict", "/v2/repository/index", "/v2/models/parts"]),
    st.text(max_size=20).map(lambda text: "/v2/models/" + quote(text, safe="") + "/infer"),
)
_values = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
_headers = st.dictionaries(
    st.sampled_from(
        [
            "Inference-Header-Content-Length", "Content-Encoding", "X-Request-Id", "X-Request-Timeout-Ms", "Accept",
            "Accept-Encoding", "Authorization", "X-API-Key", "traceparent", "Content-Type",
        ]
    ),
    st.one_of(_values, st.integers(-1, 300).map(str), st.sampled_from(["gzip", "deflate"])),
    max_size=4,
)  # fmt: skip


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["GET", "POST", "PUT", "HEAD"]), _paths, _headers, st.binary(max_size=300))
def test_no_answer_to_anything_names_a_folder_or_shows_a_traceback(
    served: Site, method: str, path: str, headers: dict[str, str], body: bytes
) -> None:
    status, told, data = served.ask(method, path, body, headers)
    assert 200 <= status < 600
    assert status != 500
    gives_nothing_away(data)
    if status >= 400 and method != "HEAD":
        assert "error" in json.loads(data)
    assert "server" not in told


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_page_of_another_origin_can_ask_for_nothing(served: Site, headers: dict[str, str]) -> None:
    for path in ("/v2/repository/models/parts/unload", "/v2/models/parts/infer", "/v2/repository/index"):
        status, told, body = served.ask("POST", path, b"{}", {**headers, "Content-Type": "text/plain"})
        assert (status, "another origin" in json.loads(body)["error"]) == (403, True)
        assert not [name for name in told if name.startswith("access-control-")]
    assert served.ask("OPTIONS", "/v2/models/parts/infer", headers=headers)[0] == 403


def test_a_page_of_our_own_origin_may_ask(served: Site) -> None:
    own = {"Origin": f"http://127.0.0.1:{served.port}", "Sec-Fetch-Site": "same-origin"}
    assert served.ask("POST", "/v2/repository/index", b"", own)[0] == 200


def test_a_host_name_that_an_attacker_points_at_us_is_refused(served: Site) -> None:
    for host in ("evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "[", "\xff"):
        for method, path in (("GET", "/v2/service"), ("GET", "/"), ("POST", "/v2/models/parts/infer")):
            assert served.ask(method, path, headers={"Host": host})[0] == 403
    for host in (
        "localhost",
        f"localhost:{served.port}",
        "127.0.0.1",
        "[::1]:8000",
        "LOCALHOST.",
        socket.gethostname(),
    ):
        assert served.ask("GET", "/v2", headers={"Host": host})[0] == 200


def test_every_answer_carries_the_headers_that_keep_browsers_in_check(served: Site) -> None:
    for path in ("/v2", "/v2/models/nuts", "/nothing"):
        headers = served.ask("GET", path)[1]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "server" not in headers
        assert "access-control-allow-origin" not in headers


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("tls")
    cert, key = str(folder / "cert.pem"), str(folder / "key.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key,
         "-out", cert],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return cert, key


def test_tls_is_served_and_nothing_below_1_2(demo: Path, tmp_path: Path, certificate: tuple[str, str]) -> None:
    cert, key = certificate
    with site(parts(demo, tmp_path, tls_cert=cert, tls_key=key)) as served:
        context = ssl.create_default_context(cafile=cert)
        connection = HTTPSConnection("127.0.0.1", served.port, context=context, timeout=20)
        connection.request("GET", "/v2")
        assert connection.getresponse().status == 200
        connection.close()
        old = ssl.create_default_context(cafile=cert)
        old.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        with socket.create_connection(("127.0.0.1", served.port), 10) as raw, pytest.raises((ssl.SSLError, OSError)):
            old.wrap_socket(raw, server_hostname="localhost")
        assert served.raw(b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n").startswith(b"HTTP/") is False


def test_files_that_are_no_certificate_are_named(demo: Path, tmp_path: Path, certificate: tuple[str, str]) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    for pair in ((str(broken), certificate[1]), (certificate[0], str(broken)), (certificate[1], certificate[0])):
        chosen: Any = {"tls_cert": pair[0], "tls_key": pair[1]}
        with pytest.raises(OptionError, match="no certificate with its key"):
            rest.server_config(parts(demo, tmp_path / os.urandom(4).hex(), **chosen))
