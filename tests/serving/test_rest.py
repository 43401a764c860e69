"""Every route, on a real socket."""

import asyncio
import base64
import gzip
import json
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from piaccel.errors import ServiceError
from piaccel.serving import access
from piaccel.serving.messages import Request, Response
from piaccel.serving.rest_routes import read
from piaccel.serving.settings import Settings
from tests.conftest import DEMO
from tests.serving.rest_server import GREY, Site, parts, site


@pytest.fixture(scope="module")
def shared_site(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(parts(demo, tmp_path_factory.mktemp("rest"), repository_api=True)) as found:
        yield found


@pytest.fixture
def served(shared_site: Site) -> Iterator[Site]:
    """One server for all tests; what a test puts in the service's place is taken out again."""
    before = dict(vars(shared_site.service))
    yield shared_site
    vars(shared_site.service).clear()
    vars(shared_site.service).update(before)
    shared_site.app.on_answer = None


def infer_body(served: Site, **more: Any) -> dict[str, Any]:
    spec = served.service.metadata("parts")["inputs"][0]
    one = {"name": spec["name"], "shape": [1, 96, 96, 3], "datatype": "FP32", "data": GREY.reshape(-1).tolist()}
    return {"inputs": [one], **more}


def binary_body(served: Site, **more: Any) -> tuple[bytes, dict[str, str]]:
    document = infer_body(served, **more)
    one = document["inputs"][0]
    del one["data"]
    one["parameters"] = {"binary_data_size": GREY.nbytes}
    header = json.dumps(document).encode()
    return header + GREY.tobytes(), {"Inference-Header-Content-Length": str(len(header))}


def test_the_server_says_who_it_is(served: Site) -> None:
    for path in ("/v2", "/v2/"):
        status, found = served.json("GET", path)
        assert status == 200
        assert set(found) == {"name", "version", "extensions"}
        assert "binary_tensor_data" in found["extensions"]


def test_health_is_told_by_the_status(served: Site) -> None:
    assert served.json("GET", "/v2/health/live") == (200, {"live": True})
    assert served.json("GET", "/v2/health/ready") == (200, {"live": True, "ready": True})
    status, told = served.json("GET", "/v2/health/ready?verbose")
    assert (status, told["reasons"], told["models"][0]["serving"]) == (200, [], "1")
    served.service.draining = True
    status, told = served.json("GET", "/v2/health/ready")
    assert (status, told["ready"]) == (400, False)
    assert told["error"]
    assert served.json("GET", "/v2/health/live")[0] == 200
    served.service.draining = False


def test_a_model_describes_itself(served: Site) -> None:
    for path in ("/v2/models/parts", "/v2/models/parts/versions/1", "/v2/models/%70arts"):
        status, found = served.json("GET", path)
        assert (status, found["name"], found["versions"]) == (200, "parts", ["1"])
    assert served.json("GET", "/v2/models/parts/config")[1]["max_batch_size"] == 0
    for path in ("/v2/models/parts/ready", "/v2/models/parts/versions/1/ready"):
        assert served.json("GET", path) == (200, {"name": "parts", "ready": True})
    for path in ("/v2/models/nuts/ready", "/v2/models/parts/versions/9/ready"):
        assert served.json("GET", path)[0] == 400
    for path in ("/v2/models/nuts", "/v2/models/nuts/config", "/v2/models/nuts/stats", "/v2/models/parts/versions/9"):
        status, told = served.json("GET", path)
        assert (status, list(told)) == (404, ["error"])


def test_a_request_in_json_needs_no_content_type_and_its_id_comes_back(served: Site) -> None:
    status, found = served.json("POST", "/v2/models/parts/infer", infer_body(served, id="a7"))
    assert (status, found["model_name"], found["model_version"], found["id"]) == (200, "parts", "1", "a7")
    assert found["outputs"][0]["shape"] == [1, 12]
    assert len(found["outputs"][0]["data"]) == 12


@pytest.mark.parametrize("coding", [None, "gzip", "deflate", "raw deflate"])
def test_a_binary_request_gives_the_same_as_json(served: Site, coding: str | None) -> None:
    wanted = served.json("POST", "/v2/models/parts/infer", infer_body(served))[1]["outputs"][0]["data"]
    body, headers = binary_body(served, parameters={"binary_data_output": True})
    if coding == "gzip":
        body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
    elif coding == "deflate":
        body, headers["Content-Encoding"] = zlib.compress(body), "deflate"
    elif coding == "raw deflate":
        body, headers["Content-Encoding"] = zlib.compress(body, wbits=-15), "deflate"
    status, told, data = served.ask("POST", "/v2/models/parts/versions/1/infer", body, headers)
    assert (status, told["content-type"]) == (200, "application/octet-stream")
    length = int(told["inference-header-content-length"])
    assert json.loads(data[:length])["outputs"][0]["parameters"] == {"binary_data_size": 48}
    assert np.allclose(np.frombuffer(data[length:], np.float32), wanted, atol=1e-6)


def test_a_raw_body_is_the_input(served: Site) -> None:
    status, told, data = served.ask(
        "POST", "/v2/models/parts/infer", GREY.tobytes(), {"Inference-Header-Content-Length": "0"}
    )
    assert status == 200
    assert len(data) - int(told["inference-header-content-length"]) == 48


def test_an_answer_is_compressed_for_who_asks_for_one_coding(served: Site) -> None:
    _, told, data = served.ask("GET", "/v2/service", headers={"Accept-Encoding": "gzip"})
    plain = served.ask("GET", "/v2/service", headers={"Accept-Encoding": "gzip, deflate"})
    assert told["content-encoding"] == "gzip"
    assert "content-encoding" not in plain[1]
    assert json.loads(gzip.decompress(data))["models"] == json.loads(plain[2])["models"]
    _, told, data = served.ask("GET", "/v2/service", headers={"Accept-Encoding": "deflate"})
    assert json.loads(zlib.decompress(data))["name"] == "piaccel"


def test_classes_are_strings(served: Site) -> None:
    out = served.service.metadata("parts")["outputs"][0]["name"]
    body = infer_body(served, outputs=[{"name": out, "parameters": {"classification": 2}}])
    found = served.json("POST", "/v2/models/parts/infer", body)[1]["outputs"][0]
    assert (found["datatype"], found["shape"]) == ("BYTES", [1, 2])
    assert all(text.count(":") == 2 for text in found["data"])


def test_x_request_id_comes_back_where_it_may(served: Site) -> None:
    _, told, data = served.ask("POST", "/v2/models/parts/infer", infer_body(served), {"X-Request-Id": "line-3/77"})
    assert (told["x-request-id"], json.loads(data)["id"]) == ("line-3/77", "line-3/77")
    assert served.ask("GET", "/v2/models/nuts", headers={"X-Request-Id": "e"})[1]["x-request-id"] == "e"
    for bad in ("x" * 129, "tab\there", "\xff"):
        assert "x-request-id" not in served.ask("GET", "/v2", headers={"X-Request-Id": bad})[1]


def test_statistics_count_what_was_answered(served: Site) -> None:
    before = served.json("GET", "/v2/models/stats")[1]["model_stats"][0]["inference_count"]
    served.json("POST", "/v2/models/parts/infer", infer_body(served))
    for path in ("/v2/models/stats", "/v2/models/parts/stats", "/v2/models/parts/versions/1/stats"):
        (row,) = served.json("GET", path)[1]["model_stats"]
        assert (row["name"], row["version"]) == ("parts", "1")
        assert row["inference_count"] == before + 1
        assert row["inference_stats"]["success"]["ns"] > row["inference_stats"]["compute_infer"]["ns"] > 0


def test_the_index_is_an_array_whether_its_body_is_empty_or_not(served: Site) -> None:
    row = {"name": "parts", "version": "1", "state": "READY", "reason": ""}
    for body in (None, "", "{}", {"ready": True}, {"ready": False}):
        assert served.json("POST", "/v2/repository/index", body) == (200, [row])


def test_a_picture_is_answered_as_it_is(served: Site) -> None:
    picture = next(DEMO.glob("images/*")).read_bytes()
    status, found = served.json("POST", "/v2/models/parts/predict", picture, {"X-Request-Id": "p"})
    assert (status, found["model_name"], found["id"], found["result"]["kind"]) == (200, "parts", "p", "classification")
    assert found["times_ms"]["infer"] > 0
    status, told, data = served.ask("POST", "/v2/models/parts/versions/1/predict?annotate=1", picture)
    assert (status, told["content-type"]) == (200, "image/jpeg")
    assert data.startswith(b"\xff\xd8")
    assert json.loads(told["x-piaccel-result"])["result"]["kind"] == "classification"
    path = "/v2/models/parts/predict?annotate=1"
    _, found = served.json("POST", path, picture, {"Accept": "application/json"})
    assert base64.b64decode(found["picture"]).startswith(b"\xff\xd8")
    assert "picture" not in served.json("POST", "/v2/models/parts/predict?annotate=0", picture)[1]


def test_what_is_no_picture_is_refused(served: Site) -> None:
    picture = next(DEMO.glob("images/*")).read_bytes()
    for body in (b"", b"hello", b"\x89PNG\r\n\x1a\n", picture[:200], b"GIF89a" + bytes(100)):
        status, told = served.json("POST", "/v2/models/parts/predict", body)
        assert (status, list(told)) == (400, ["error"])


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v3", 404),
        ("GET", "/v2/nothing", 404),
        ("GET", "/v2/models", 404),
        ("GET", "/v2/models/parts/versions", 404),
        ("GET", "/v2/models/parts/infer/more", 404),
        ("GET", "/v2/models/parts/infer", 405),
        ("POST", "/v2", 405),
        ("HEAD", "/v2", 405),
        ("OPTIONS", "/v2/models/parts/infer", 405),
        ("DELETE", "/v2/models/parts", 405),
        ("GET", "/v2/repository/index", 405),
        ("GET", "/v2/trace/setting", 501),
        ("POST", "/v2/logging", 501),
        ("GET", "/v2/systemsharedmemory/status", 501),
        ("POST", "/v2/cudasharedmemory/region/x/register", 501),
        ("POST", "/v2/repository/other/models/parts/load", 501),
    ],
)
def test_every_refusal_has_the_protocol_s_form(served: Site, method: str, path: str, status: int) -> None:
    found, told, data = served.ask(method, path)
    assert found == status
    assert told["content-type"] == "application/json"
    if method != "HEAD":
        assert list(json.loads(data)) == ["error"]
    if status == 405:
        assert told["allow"] in ("GET", "POST")


def refuses(served: Site, error: ServiceError) -> None:
    """Have the service refuse everything in that way."""

    async def infer(request: Request) -> Response:
        raise error

    served.service.infer = infer  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("invalid_argument", 400),
        ("not_found", 404),
        ("too_large", 413),
        ("resource_exhausted", 429),
        ("internal", 500),
        ("unsupported", 501),
        ("unavailable", 503),
        ("deadline_exceeded", 504),
    ],
)
def test_every_kind_of_refusal_has_its_status(served: Site, kind: str, status: int) -> None:
    refuses(served, ServiceError(kind, "why", retry_after_s=1.2))
    found, told, data = served.ask("POST", "/v2/models/parts/infer", infer_body(served))
    assert (found, json.loads(data), told["retry-after"]) == (status, {"error": "why"}, "2")


def test_a_503_always_says_when_to_come_back(served: Site) -> None:
    refuses(served, ServiceError("unavailable", "full"))
    assert served.ask("POST", "/v2/models/parts/infer", infer_body(served))[1]["retry-after"] == "1"
    refuses(served, ServiceError("internal", "why"))
    assert "retry-after" not in served.ask("POST", "/v2/models/parts/infer", infer_body(served))[1]


def test_time_outs_priority_and_trace_reach_the_service(served: Site) -> None:
    seen: list[Request] = []

    async def infer(request: Request) -> Response:
        seen.append(request)
        return Response("parts", "1", request.id, [])

    served.service.infer = infer  # type: ignore[method-assign]
    trace = {"traceparent": "00-1-2-01", "tracestate": "a=b"}
    body = infer_body(served, parameters={"timeout": 2_000_000, "priority": 1})
    begun = time.monotonic_ns()
    served.json("POST", "/v2/models/parts/infer", body, trace)
    served.json("POST", "/v2/models/parts/infer", body, {"X-Request-Timeout-Ms": "100"})
    served.json("POST", "/v2/models/parts/infer", infer_body(served))
    taken = time.monotonic_ns() - begun
    deadlines = [each.deadline_ns for each in seen]
    assert deadlines[0] is not None
    assert deadlines[1] is not None
    assert 2e9 <= deadlines[0] - begun <= 2e9 + taken
    assert 1e8 <= deadlines[1] - begun <= 1e8 + taken
    assert deadlines[2] is None
    assert [each.priority for each in seen] == [1, 1, 0]
    assert seen[0].trace == trace
    assert served.json("POST", "/v2/models/parts/infer", body, {"X-Request-Timeout-Ms": "soon"})[0] == 400


def test_a_client_that_goes_away_takes_its_request_back(served: Site) -> None:
    begun, cancelled = threading.Event(), threading.Event()

    async def infer(request: Request) -> Response:
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return Response("parts", "1", request.id, [])

    served.service.infer = infer  # type: ignore[method-assign]
    body, headers = binary_body(served)
    connection = HTTPConnection("127.0.0.1", served.port)
    connection.request("POST", "/v2/models/parts/infer", body, headers)
    assert begun.wait(10)
    connection.close()
    assert cancelled.wait(10)
    assert served.json("GET", "/v2/health/live")[0] == 200


def test_operators_calls_reach_the_service(served: Site) -> None:
    called: list[tuple[Any, ...]] = []

    def take(name: str, result: Any = None) -> None:
        async def call(*given: Any) -> Any:
            called.append((name, *given))
            return result

        setattr(served.service, name, call)

    for name in ("load", "unload", "promote", "label", "shadow", "release"):
        take(name)
    take("rollback", "1")
    at = "/v2/repository/models/parts/"
    assert served.ask("POST", at + "load")[::2] == (200, b"")
    assert served.ask("POST", at + "unload", {"parameters": {"unload_dependents": False}})[::2] == (200, b"")
    assert served.ask("POST", at + "load", {"version": 2})[0] == 200
    assert served.json("POST", at + "promote", {"version": "2"}) == (200, {"model": "parts", "version": "2"})
    assert served.json("POST", at + "rollback") == (200, {"model": "parts", "version": "1"})
    assert served.json("POST", at + "label", {"label": "canary", "version": "2", "share": 0.1})[0] == 200
    assert served.json("POST", at + "shadow", {"version": "2"})[0] == 200
    assert served.json("POST", at + "release", {"version": "2"})[0] == 200
    assert called == [
        ("load", "parts", ""),
        ("unload", "parts", ""),
        ("load", "parts", "2"),
        ("promote", "parts", "2"),
        ("rollback", "parts"),
        ("label", "parts", "canary", "2", 0.1),
        ("shadow", "parts", "2"),
        ("release", "parts", "2"),
    ]
    assert served.json("POST", at + "promote", {})[0] == 400
    assert served.json("POST", at + "label", {"version": "2"})[0] == 400
    assert served.json("POST", at + "label", {"label": "c", "version": "2", "share": 1.5})[0] == 400
    assert served.json("POST", at + "promote", {"version": "../2"})[0] == 400
    for parameters in ({"config": "{}"}, {"file:1/model.tflite": "AAAA"}):
        assert served.json("POST", at + "load", {"parameters": parameters})[0] == 501


def test_the_whole_service_is_shown(served: Site) -> None:
    status, found = served.json("GET", "/v2/service")
    assert (status, found["models"][0]["name"], found["models"][0]["serving"]) == (200, "parts", "1")


def test_metrics_and_a_page_may_stand_beside(settings: Callable[..., Settings]) -> None:
    class Page:
        async def handle(self, scope: Any, receive: Any, send: Any) -> bool:
            if scope["path"] != "/":
                return False
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
            await send({"type": "http.response.body", "body": b"page"})
            return True

    with site(settings(), dashboard=Page(), metrics=lambda: "up 1\n") as served:
        assert served.ask("GET", "/")[::2] == (200, b"page")
        assert served.ask("GET", "/metrics")[::2] == (200, b"up 1\n")
        assert served.json("GET", "/else") == (404, {"error": "Not Found"})


def test_each_answer_is_told_to_who_listens_with_the_version_that_answered(served: Site) -> None:
    told: list[tuple[str, str, int, str]] = []

    def listen(*, model: str, version: str, status: int, request_id: str, **_: Any) -> None:
        told.append((model, version, status, request_id))

    served.app.on_answer = listen
    served.ask("GET", "/v2/models/nuts", headers={"X-Request-Id": "r"})
    served.ask("POST", "/v2/models/parts/infer", infer_body(served), {"X-Request-Id": "s"})
    served.ask("POST", "/v2/models/parts/versions/7/infer", infer_body(served), {"X-Request-Id": "t"})
    assert told == [("nuts", "", 404, "r"), ("parts", "1", 200, "s"), ("parts", "7", 404, "t")]


def test_who_listens_is_told_the_key_s_name(settings: Callable[..., Settings], tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    token = access.add_key(keys, "line-4", ["infer"])
    told: list[tuple[int, str]] = []

    def listen(*, status: int, key: str, **_: Any) -> None:
        told.append((status, key))

    with site(settings(), access.Access(keys)) as served:
        served.app.on_answer = listen
        served.ask("GET", "/v2/models/parts", headers={"X-API-Key": token})
        served.ask("GET", "/v2/models/parts", headers={"X-API-Key": "other"})
    assert told[-2:] == [(200, "line-4"), (401, "")]


def test_many_requests_share_one_connection_and_are_answered_in_order(served: Site) -> None:
    one = b"GET /v2/models/parts/ready HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    heard = served.raw(one * 5 + last)
    assert heard.count(b"HTTP/1.1 200") == 6
    assert heard.endswith(b'{"live":true}')


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (b"/v2/models/a%2Fb", "bad_name"),
        (b"/v2/models/%2e%2e", "bad_name"),
        (b"/v2/models/..", "bad_name"),
        (b"/v2/models/.hidden", "bad_name"),
        (b"/v2/models/a%252Fb", "bad_name"),
        (b"/v2/models/a%00", "bad_name"),
        (b"/v2/models/%ff", "bad_name"),
        (b"/v2/models/%E2%88%95etc", "bad_name"),
        (b"/v2/models/a\\b", "bad_name"),
        (b"/v2/models/" + b"a" * 129, "bad_name"),
        (b"/v2/models/" + b"a" * 128, "metadata"),
        (b"/v2/models/" + b"a" * 3000, "missing"),
        (b"/v2/models/m/versions/..%2f1/infer", "bad_name"),
        (b"/v2/models/m/versions/canary/infer", "infer"),
        (b"/v2/models/versions/ready", "model_ready"),
        (b"/v2/repository/models/..%2fm/load", "bad_name"),
        (b"/v2//models/m", "missing"),
        (b"/v2/../etc/passwd", "missing"),
        (b"/v20", "other"),
        (b"*", "other"),
    ],
)
def test_names_are_checked_after_decoding(path: bytes, kind: str) -> None:
    assert read(path).kind == kind
