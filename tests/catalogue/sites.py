"""Real HTTP servers that behave as bad networks do, and a forward proxy."""

from __future__ import annotations

import http.client
import http.server
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


@dataclass
class Site:
    """What a server has, and how it fails. ``asked`` holds (path, Range header) of each request."""

    files: dict[str, bytes] = field(default_factory=dict)
    etag: str = '"one"'
    modified: str = ""
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    """The next answers end after so many bytes, the connection with them."""
    statuses: list[int] = field(default_factory=list)
    """The next answers are these and nothing else."""
    headers: dict[str, str] = field(default_factory=dict)
    """Sent with every answer that is not 200 or 206."""
    redirects: dict[str, str] = field(default_factory=dict)
    stall_after: int | None = None
    """After so many bytes it is silent until ``released``."""
    shifts: list[int] = field(default_factory=list)
    """The next ranges begin so many bytes before what was asked for."""
    drip_s: float = 0.0
    """Between any two bytes."""
    length: bool = True
    released: threading.Event = field(default_factory=threading.Event)
    reached: threading.Event = field(default_factory=threading.Event)
    """Set when it stalls."""
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""

    def starts(self) -> list[int]:
        """From which byte on each request asked for the file."""
        return [int(asked[6:-1]) if asked else 0 for _, asked in self.asked]


def _handler(site: Site) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            site.asked.append((self.path, asked))
            if site.statuses:
                self._bare(site.statuses.pop(0), site.headers)
            elif self.path in site.redirects:
                self._bare(302, {"Location": site.redirects[self.path]})
            elif self.path not in site.files:
                self._bare(404, site.headers)
            else:
                self._file(site.files[self.path], asked)

        def _bare(self, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _file(self, whole: bytes, asked: str | None) -> None:
            same = self.headers.get("If-Range") in (site.etag, site.modified) and self.headers.get("If-Range")
            start = int(asked[6:-1]) if asked and site.ranges and same else 0
            start = start and start - (site.shifts.pop(0) if site.shifts else 0)
            body = whole[start:]
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(whole) - 1}/{len(whole)}")
            if site.etag:
                self.send_header("ETag", site.etag)
            if site.modified:
                self.send_header("Last-Modified", site.modified)
            if site.length:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if site.cuts:
                self.wfile.write(body[: site.cuts.pop(0)])
                self.close_connection = True
            elif site.stall_after is not None:
                self.wfile.write(body[: site.stall_after])
                site.reached.set()
                site.released.wait(30)
            elif site.drip_s:
                for byte in body:
                    self.wfile.write(bytes([byte]))
                    time.sleep(site.drip_s)
            else:
                self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None: ...

    return Handler


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """The client went away, as it is meant to."""


@contextmanager
def _running(handler: type[http.server.BaseHTTPRequestHandler], certificate: Path | None = None) -> Iterator[str]:
    with _Server(("127.0.0.1", 0), handler) as server:
        base = f"http://127.0.0.1:{server.server_address[1]}"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
            base = f"https://localhost:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield base
        finally:
            server.shutdown()


@contextmanager
def serving(site: Site, certificate: Path | None = None) -> Iterator[Site]:
    """Serve ``site`` until the end, over TLS with a ``certificate``; its ``url`` is known then."""
    with _running(_handler(site), certificate) as url:
        site.url = url
        try:
            yield site
        finally:
            site.released.set()


@contextmanager
def proxying(asked: list[str]) -> Iterator[str]:
    """A forward proxy, which notes every address (http) or host (https) that it was asked for."""

    class Proxy(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            target = urlsplit(self.path)
            connection = http.client.HTTPConnection(target.netloc, timeout=10)
            connection.request("GET", target.path, headers={"Host": target.netloc})
            answer = connection.getresponse()
            body = answer.read()
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            connection.close()

        def do_CONNECT(self) -> None:
            asked.append(self.path)
            host, _, port = self.path.partition(":")
            with socket.create_connection((host, int(port)), timeout=10) as target:
                self.send_response(200)
                self.end_headers()
                while readable := select.select([self.connection, target], [], [], 10)[0]:
                    for end in readable:
                        data = end.recv(65536)
                        if not data:
                            return
                        (target if end is self.connection else self.connection).sendall(data)

        def log_message(self, format: str, *args: Any) -> None: ...

    with _running(Proxy) as url:
        yield url
