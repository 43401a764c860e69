"""The HTTP side of the page: fixed routes, bounded connections, nothing of a request is ever a path."""

from __future__ import annotations

import hmac
import logging
import select
import socket
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from piaccel.pipeline import look
from piaccel.pipeline.masking import masked
from piaccel.pipeline.preview import Preview, background

if TYPE_CHECKING:
    from piaccel.pipeline.web import Web

CONNECTIONS = 32
TIMEOUT_S = 10.0
FIRST_PICTURE_S = 2.0
STATIC = {
    "/": look.Asset("piaccel.pipeline", "page.html"),
    "/page.css": look.Asset("piaccel.pipeline", "page.css"),
    "/page.js": look.Asset("piaccel.pipeline", "page.js"),
    "/icon.svg": look.Asset("piaccel.pipeline", "icon.svg"),
    **look.SHARED,
}
HEADERS = look.headers()
_BOUNDARY = b"--piaccel-picture\r\n"
_log = logging.getLogger("piaccel")


class Server(ThreadingHTTPServer):
    """Serves each of at most ``CONNECTIONS`` clients in a thread of low priority."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._places = threading.BoundedSemaphore(CONNECTIONS)
        super().__init__((host, port), handler)

    def server_bind(self) -> None:
        """Without HTTPServer's look-up of the host's full name, which may wait for a name server."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        background()
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exception()
        level = logging.DEBUG if isinstance(error, OSError) else logging.WARNING
        _log.log(level, "the page: %s: %s", type(error).__name__, error)


class Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD."""

    web: Web
    timeout = TIMEOUT_S
    server_version = "piaccel"
    sys_version = ""

    @classmethod
    def of(cls, web: Web) -> type[Self]:
        return type("Handler", (cls,), {"web": web})

    def do_GET(self) -> None:
        try:
            self._route()
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - the viewer is told, and nobody else is hurt
            _log.warning("the page: %s: %s", type(error).__name__, error)
            self._say(HTTPStatus.INTERNAL_SERVER_ERROR, "the pipeline does not answer\n")

    def _route(self) -> None:
        address = urlsplit(self.path)
        path = address.path
        if not self.web.knows(self.headers.get("Host", "")):
            self._say(HTTPStatus.FORBIDDEN, "this host name is not served here\n")
        elif path in STATIC:
            self._answer(HTTPStatus.OK, STATIC[path].kind, STATIC[path].read())
        elif not self._may(address.query):
            self._say(HTTPStatus.UNAUTHORIZED, "a token is asked for\n", {"WWW-Authenticate": "Bearer"})
        elif path == "/status.json":
            data = masked(msgspec.json.encode(self.web.snapshot()).decode()).encode()
            self._answer(HTTPStatus.OK, "application/json", data)
        elif path == "/health":
            reasons = self.web.reasons()
            status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
            self._say(status, masked("".join(f"{each}\n" for each in reasons)) or "ok\n")
        elif path == "/metrics":
            self._metrics()
        elif path.startswith("/video/") and path.endswith(".mjpg"):
            self._watch(unquote(path[len("/video/") : -len(".mjpg")]), self._video)
        elif path.startswith("/picture/") and path.endswith(".jpg"):
            self._watch(unquote(path[len("/picture/") : -len(".jpg")]), self._one)
        else:
            self._say(HTTPStatus.NOT_FOUND, "there is nothing here\n")

    do_HEAD = do_GET

    def _may(self, query: str) -> bool:
        token = self.web.token
        if not token:
            return True
        given = [*parse_qs(query).get("token", []), self.headers.get("Authorization", "").removeprefix("Bearer ")]
        return any(hmac.compare_digest(each.encode(), token.encode()) for each in given)

    def _metrics(self) -> None:
        try:
            from piaccel.pipeline import metrics
        except ImportError:
            self._say(HTTPStatus.NOT_IMPLEMENTED, "prometheus-client is missing: pip install 'piaccel[metrics]'\n")
            return
        data = metrics.exposition(self.web.snapshot, self.web.histograms)
        self._answer(HTTPStatus.OK, metrics.CONTENT_TYPE, data)

    def _watch(self, stream: str, show: Any) -> None:
        preview = self.web.preview(stream)
        if preview is None:
            self._say(HTTPStatus.NOT_FOUND, "there is no such stream\n")
        elif self.command == "HEAD":
            self._answer(HTTPStatus.OK, "image/jpeg", b"")
        elif not self.web.seats.acquire(blocking=False):
            self._say(HTTPStatus.SERVICE_UNAVAILABLE, "too many viewers\n", {"Retry-After": "5"})
        else:
            try:
                with preview:
                    show(preview)
            finally:
                self.web.seats.release()

    def _one(self, preview: Preview) -> None:
        _, data = preview.newer(0, FIRST_PICTURE_S)
        if data:
            self._answer(HTTPStatus.OK, "image/jpeg", data)
        else:
            self._say(HTTPStatus.SERVICE_UNAVAILABLE, "there is no picture yet\n", {"Retry-After": "1"})

    def _video(self, preview: Preview) -> None:
        """A browser shows a part when the next boundary comes, so it comes at once."""
        kind = f"multipart/x-mixed-replace; boundary={_BOUNDARY.decode()[2:].strip()}"
        self._head(HTTPStatus.OK, kind, {})
        self.wfile.write(_BOUNDARY)
        number = 0
        while not self.web.over.is_set() and not self._gone():
            newest, data = preview.newer(number, 0.5)
            if newest == number or not data:
                continue
            number = newest
            head = f"Content-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n".encode()
            self.wfile.write(head + data + b"\r\n" + _BOUNDARY)

    def _gone(self) -> bool:
        """Whether the viewer closed the connection; a viewer of a stream that stands still would never be noticed."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        return bool(readable) and not self.connection.recv(1024)

    def _say(self, status: HTTPStatus, text: str, headers: dict[str, str] | None = None) -> None:
        self._answer(status, "text/plain; charset=utf-8", text.encode(), headers)

    def _answer(self, status: HTTPStatus, kind: str, data: bytes, headers: dict[str, str] | None = None) -> None:
        self._head(status, kind, {"Content-Length": str(len(data)), **(headers or {})})
        if self.command != "HEAD":
            self.wfile.write(data)

    def _head(self, status: HTTPStatus, kind: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, **HEADERS, **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        _log.debug("the page: " + format, *args)
