"""A small server of the Open Inference Protocol: binary tensors and pictures, keys, and refusals on request."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

INPUTS = [
    {"name": "image", "datatype": "UINT8", "shape": [-1, 4, 5, 3]},
    {"name": "scale", "datatype": "FP32", "shape": [2]},
]


class OipServer(ThreadingHTTPServer):
    """``busy`` answers are 503, then 200 again; ``broken`` answers are 500; ``asked`` are the tensors' shapes."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.inputs = INPUTS
        self.key = ""
        self.busy = 0
        self.broken = False
        self.garbage = False
        self.asked: list[list[tuple[int, ...]]] = []
        self.pictures: list[bytes] = []
        self.connections = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: OipServer

    def setup(self) -> None:
        super().setup()
        with self.server.lock:
            self.server.connections += 1

    def do_GET(self) -> None:
        if self.server.garbage:
            self._answer(200, b"<html>")
        elif self._denied():
            self._answer(401, b'{"error": "the key is not known"}')
        elif self.path != "/v2/models/parts":
            self._answer(404, b'{"error": "no such model"}')
        else:
            document = {"name": "parts", "versions": ["3"], "platform": "test", "inputs": self.server.inputs}
            self._answer(200, json.dumps(document).encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.lock:
            busy = self.server.busy > 0
            self.server.busy -= busy
        if busy:
            self._answer(503, b'{"error": "the queue is full"}', {"Retry-After": "0"})
        elif self.server.broken or self._denied():
            self._answer(500, b'{"error": "the model broke"}')
        elif self.path == "/v2/models/parts/predict":
            self.server.pictures.append(body)
            self._answer(200, b'{"result": {}}')
        else:
            self._infer(body)

    def _infer(self, body: bytes) -> None:
        length = int(self.headers["Inference-Header-Content-Length"])
        head, at, shapes = json.loads(body[:length]), length, []
        types = {"UINT8": np.uint8, "FP32": np.float32}
        for each in head["inputs"]:
            size = each["parameters"]["binary_data_size"]
            array = np.frombuffer(body[at : at + size], types[each["datatype"]]).reshape(each["shape"])
            shapes.append(array.shape)
            at += size
        assert at == len(body)
        with self.server.lock:
            self.server.asked.append(shapes)
        self._answer(200, b"\0" * 8)

    def _denied(self) -> bool:
        return bool(self.server.key) and self.headers.get("Authorization") != f"Bearer {self.server.key}"

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[OipServer]:
    server = OipServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
