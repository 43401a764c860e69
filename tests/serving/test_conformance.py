"""oip-check: it passes our service, and each of its checks can fail."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from piaccel.serving import conformance
from piaccel.serving.conformance.site import Given, Site
from tests.serving.serve import served

Reply = tuple[int, Any]
_METADATA = {
    "name": "m",
    "versions": ["1"],
    "platform": "p",
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4]}],
    "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 2]}],
}


class Asked:
    """A request as a wrong server sees it."""

    def __init__(self, verb: str, path: str, headers: Any, body: bytes) -> None:
        self.verb, self.path, self.headers, self.body = verb, path, headers, body


@contextmanager
def wrong(answer: Callable[[Asked], Reply]) -> Iterator[str]:
    """A server that answers as it is told; text is sent as it is, anything else as JSON."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length) if length < 1 << 30 else b""
            self.close_connection = length >= 1 << 30 or "Transfer-Encoding" in self.headers
            status, said = answer(Asked(self.command, self.path, self.headers, body))
            data = said.encode() if isinstance(said, str) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain" if isinstance(said, str) else "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_POST = do_HEAD = do_GET

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def yes(asked: Asked) -> Reply:
    return 200, {}


def no(asked: Asked) -> Reply:
    return 500, "Traceback (most recent call last):\n  File /usr/lib/server.py"


def like_mlserver(asked: Asked) -> Reply:
    """The faults of MLServer 1.7.1: no binary tensors, no empty body for the index, errors of its framework."""
    if asked.path in ("/v2", "/v2/"):
        return 200, {"name": "s", "version": "1", "extensions": []}
    if asked.path == "/v2/models/m":
        return 200, {**_METADATA, "inputs": [], "outputs": []}
    if asked.path == "/v2/repository/index":
        index = [{"name": "m", "version": "1", "state": "READY"}]
        return (200, index) if asked.body else (422, {"detail": [{"msg": "Field required"}]})
    if asked.path.endswith("/infer") and asked.verb == "POST":
        try:
            json.loads(asked.body)
        except ValueError:
            return 422, {"detail": [{"msg": "JSON decode error"}]}
        return 200, {"model_name": "m", "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [0, 1]}]}
    return 404, {"detail": "Not Found"}


def like_kserve(asked: Asked) -> Reply:
    """The faults of KServe 0.21: JSON without a content type, versions, no repository, errors of its framework."""
    if asked.path in ("/v2", "/v2/"):
        return 200, {"name": "s", "version": "1", "extensions": ["binary_tensor_data"]}
    if "/versions/" in asked.path:
        return 501, {"error": "Model versioning not supported yet."}
    if asked.path == "/v2/models/m":
        return 200, {**_METADATA, "versions": None}
    if asked.path.endswith("/infer") and asked.verb == "POST" and "Content-Type" not in asked.headers:
        return 400, {"error": "received byte inputs, but the header is missing"}
    return 404, {"detail": "Not Found"}


def failures(url: str, *, grpc: str = "") -> set[str]:
    """The checks that fail there, with every extension taken as claimed."""
    site = Site(url, "m", grpc, 5.0, metadata=_METADATA, inputs=(Given("x", "FP32", (1, 4)),))
    return {each.check.id for each in conformance.run(site, admin=True, claim=("all",)) if each.status == "FAIL"}


def test_there_are_at_least_sixty_checks_each_with_an_id_of_its_own() -> None:
    ids = [each.id for each in conformance.CHECKS]
    assert len(set(ids)) == len(ids) >= 60
    assert all(each.says and each.source for each in conformance.CHECKS)


def test_each_check_over_rest_fails_where_everything_or_nothing_is_answered() -> None:
    with wrong(yes) as lenient, wrong(no) as strict:
        failed = failures(lenient) | failures(strict)
    assert {each.id for each in conformance.CHECKS if each.group != "grpc"} - failed == set()


def test_each_check_over_grpc_fails_where_everything_or_nothing_is_answered() -> None:
    grpc = pytest.importorskip("grpc", reason="grpcio is not installed")

    def serve(answer: Callable[..., Any]) -> Any:
        class Any_(grpc.GenericRpcHandler):  # type: ignore[misc, name-defined]
            def service(self, details: Any) -> Any:
                if details.method.endswith("ModelStreamInfer"):
                    return grpc.stream_stream_rpc_method_handler(
                        lambda asked, context: iter([answer(asked, context)][:0])
                    )
                return grpc.unary_unary_rpc_method_handler(answer)

        server = grpc.server(futures.ThreadPoolExecutor(2))
        server.add_generic_rpc_handlers((Any_(),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        return server, f"127.0.0.1:{port}"

    failed: set[str] = set()
    for answer in (lambda asked, context: b"", lambda asked, context: context.abort(grpc.StatusCode.UNKNOWN, "no")):
        server, address = serve(answer)
        with wrong(yes) as url:
            failed |= failures(url, grpc=address)
        server.stop(0).wait()
    assert {each.id for each in conformance.CHECKS if each.group == "grpc"} - failed == set()


def test_the_faults_of_mlserver_are_found() -> None:
    with wrong(like_mlserver) as url:
        found = failures(url)
    assert {
        "model.tensors",
        "binary.refused",
        "binary.both",
        "repository.empty_body",
        "statistics.model",
        "configuration.model",
        "errors.shape_400",
        "errors.shape_404",
    } <= found
    assert not {"server.metadata", "infer.no_content_type", "repository.body"} & found


def test_the_faults_of_kserve_are_found() -> None:
    with wrong(like_kserve) as url:
        found = failures(url)
    assert {
        "model.versions",
        "model.version_path",
        "errors.unknown_version",
        "infer.no_content_type",
        "repository.empty_body",
        "repository.load",
        "statistics.model",
        "errors.shape_404",
    } <= found
    assert "server.metadata" not in found


def test_what_is_not_claimed_is_skipped(capsys: pytest.CaptureFixture[str]) -> None:
    with wrong(like_mlserver) as url:
        assert conformance.main([url, "m", "--json", "--input", "x:FP32:1,4"]) == 1
    told = {each["id"]: each["status"] for each in json.loads(capsys.readouterr().out)["checks"]}
    assert told["binary.both"] == told["grpc.live"] == "SKIP"
    assert told["server.metadata"] == "PASS"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["http://127.0.0.1:1"], "cannot be asked"), (["URL", "m"], "describes no inputs"), (["URL"], "no model")],
)
def test_a_suite_that_cannot_run_says_why(capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    with wrong(yes) as url:
        assert conformance.main([url if each == "URL" else each for each in arguments]) == 2
    assert words in capsys.readouterr().err


def test_free_sizes_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    free = {**_METADATA, "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, -1]}]}
    with wrong(lambda asked: (200, free)) as url:
        assert conformance.main([url, "m"]) == 2
        assert "--shape x:1,..." in capsys.readouterr().err
        assert conformance.main([url, "m", "--shape", "x:1,4"]) == 1


def test_our_service_passes_every_check(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("uvicorn", reason="uvicorn is not installed")
    pytest.importorskip("grpc", reason="grpcio is not installed")
    with served(repository, "--repository-api", grpc=True) as service:
        asked = [service.told["url"], "parts", "--grpc", service.told["grpc"], "--admin"]
        code = conformance.main(asked)
    said = capsys.readouterr().out
    assert code == 0, [line for line in said.splitlines() if "FAIL" in line]
    assert " 0 failed, 1 skipped" in said
