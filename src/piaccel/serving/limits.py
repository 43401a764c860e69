"""Bounds on connections, which uvicorn does not have: time and size of headers, time of bodies, their number.

Loads uvicorn. A refusal has the protocol's form, as every other.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from piaccel.errors import OptionError
from piaccel.serving.body import Receive, Scope, Send
from piaccel.serving.settings import ServerSettings, Settings

MAX_HEADER_BYTES = 32768
MAX_HEADERS = 100
HEADERS = [
    ("cross-origin-resource-policy", "same-origin"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
]
"""On every response; a page adds its own Content-Security-Policy."""
_BUSY = b'{"error":"too many connections"}'


def options(settings: Settings) -> dict[str, Any]:
    """What ``uvicorn.Config`` is given beside the application and its sockets. Raises OptionError."""
    server = settings.server
    chosen: dict[str, Any] = {
        "http": type("Bounded", (BoundedProtocol,), {"bounds": server}),
        "loop": "uvloop",
        "ws": "none",
        "lifespan": "off",
        "interface": "asgi3",
        "access_log": False,
        "log_config": None,
        "server_header": False,
        "proxy_headers": False,
        "headers": HEADERS,
        "timeout_keep_alive": server.keep_alive_s,
        "timeout_graceful_shutdown": round(server.drain_s),
        "backlog": 128,
    }
    if server.tls_cert and server.tls_key:
        _check_certificate(server.tls_cert, server.tls_key)
        chosen |= {"ssl_certfile": server.tls_cert, "ssl_keyfile": server.tls_key}  # Python's least is TLS 1.2
    return chosen


def _check_certificate(cert: str, key: str) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password="")
    except (OSError, ValueError) as error:
        why = (isinstance(error, ssl.SSLError) and error.reason) or getattr(error, "strerror", None) or error
        raise OptionError(
            f"{cert} and {key} are no certificate with its key: {why}", hint="both are PEM files"
        ) from error


class BoundedProtocol(HttpToolsProtocol):
    """One connection. One timer looks at it a few times in the shortest time-out: none is set per request."""

    bounds = ServerSettings()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._waits_since: float | None = self.loop.time()
        self._waits_for = "headers"
        self._stuck_since: float | None = None
        self._header_bytes = 0
        self._served: tuple[asyncio.Task[None] | None, RequestResponseCycle] | None = None
        self._inner: Any = _busy if len(self.connections) > self.bounds.connections else self.app
        self.app = self._serve
        self._refused = False
        if len(self.connections) > 2 * self.bounds.connections:
            transport.abort()
            return
        self._look_s = max(0.05, min(1.0, self.bounds.header_timeout_s / 4, self.bounds.body_timeout_s / 4))
        self._timer: asyncio.TimerHandle | None = self.loop.call_later(self._look_s, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if (timer := getattr(self, "_timer", None)) is not None:
            timer.cancel()
            self._timer = None
        if self._served is not None:
            task, cycle = self._served
            if task is not None and not task.done() and cycle.scope.get("cancellable"):
                task.cancel()
        self._served = None

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self.transport.is_closing():
            return
        if self._waits_since is None and self._waits_for == "headers":
            self._waits_since = self.loop.time()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            if self.cycle is not None:  # answered as if it had not been asked, and nothing else on this connection
                self.cycle.keep_alive = False
        except httptools.HttpParserError:
            if self._header_bytes > MAX_HEADER_BYTES or len(self.headers or ()) > MAX_HEADERS:
                self._refuse(431, "the headers are too long")
            else:
                self._refuse(400, "the request is no valid HTTP")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._header_bytes = 0
        self._waits_for, self._waits_since = "headers", self.loop.time()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Also called for the trailers of a chunked body, which count like headers."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MAX_HEADER_BYTES or len(self.headers) > MAX_HEADERS:
            raise ValueError("the headers are too long")  # the parser stops, and reports an error

    def on_headers_complete(self) -> None:
        self._waits_for, self._waits_since = "body", self.loop.time()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._waits_for, self._waits_since = "headers", None
        if not self.pipeline:
            self.flow.resume_reading()  # or the client's going away would not be seen while it is answered

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stuck_since = self.loop.time()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stuck_since = None

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application, with a note of who runs: nothing else of uvicorn tells it."""
        self._served = asyncio.current_task(), receive.__self__  # type: ignore[attr-defined]
        await self._inner(scope, receive, send)

    def _look(self) -> None:
        """End the connection when the client takes too long to send, or to take."""
        now = self.loop.time()
        limit = self.bounds.header_timeout_s if self._waits_for == "headers" else self.bounds.body_timeout_s
        if self._waits_since is not None and now - self._waits_since > limit and not self.pipeline:
            self._refuse(408, f"the {self._waits_for} took longer than {limit:g} s")
            self._waits_since = None
        elif self._stuck_since is not None and now - self._stuck_since > self.bounds.body_timeout_s:
            self.transport.abort()
            return
        if self.transport.is_closing() and self._stuck_since is None:
            self._stuck_since = now
        self._timer = self.loop.call_later(self._look_s, self._look)

    def _refuse(self, status: int, message: str) -> None:
        """Answer without the application, and close."""
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        cycle = self._served[1] if self._served is not None else None
        if cycle is None or cycle.response_complete or not cycle.response_started:  # never into another's answer
            text = b'{"error":"%s"}' % message.encode()
            lines = [STATUS_LINE[status], b"content-type: application/json\r\n"]
            lines += [b"%s: %s\r\n" % header for header in self.server_state.default_headers]
            lines.append(b"content-length: %d\r\nconnection: close\r\n\r\n" % len(text))
            self.transport.write(b"".join(lines) + text)
        self.pipeline.clear()
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.close()


async def _busy(scope: Scope, receive: Receive, send: Send) -> None:
    """Take the request in, so that the client is listening when it is told to go."""
    while (await receive()).get("more_body", False):
        pass
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(_BUSY)),
        (b"retry-after", b"1"),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": _BUSY})
