"""A small HTTP server that shows a running pipeline: page, numbers, pictures, health, metrics."""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping

from piaccel.errors import OptionError
from piaccel.pipeline._web_server import Handler, Server
from piaccel.pipeline.health import Health
from piaccel.pipeline.histogram import Histogram
from piaccel.pipeline.preview import Preview
from piaccel.pipeline.snapshot import Snapshot
from piaccel.sinks import Event

TOKEN = "PIACCEL_WEB_TOKEN"
HEALTH_PERIOD_S = 5.0
_log = logging.getLogger("piaccel")


class Web:
    """Serves ``snapshot`` at ``address`` ("HOST:PORT", "PORT" is this machine only) in daemon threads.

    ``picture(stream)`` is its last event with the image, which need be kept only while ``wants(stream)``. With
    ``token`` (the environment's PIACCEL_WEB_TOKEN by default) everything but the empty page asks for it. Raises
    OptionError for an address that is none, or that cannot be had.
    """

    def __init__(
        self,
        address: str,
        snapshot: Callable[[], Snapshot],
        histograms: Callable[[], Mapping[tuple[str, str], Histogram]],
        picture: Callable[[str], Event | None],
        *,
        fps: float = 5.0,
        viewers: int = 4,
        token: str | None = None,
        health: Health | None = None,
    ) -> None:
        self.host, self.port = split(address)
        self.snapshot = snapshot
        self.histograms = histograms
        self.token = os.environ.get(TOKEN, "") if token is None else token
        self.seats = threading.BoundedSemaphore(viewers)
        self.over = threading.Event()
        self._picture = picture
        self._fps = fps
        self._health = health or Health()
        self._previews: dict[str, Preview] = {}
        self._lock = threading.Lock()
        self._server: Server | None = None

    def start(self) -> None:
        """Listen. Raises OptionError when the address is taken or not this machine's."""
        try:
            self._server = Server(self.host, self.port, Handler.of(self))
        except OSError as error:
            raise OptionError(
                f"the page cannot be served at {self.host}:{self.port}: {error.strerror or error}",
                hint="choose another address with --web HOST:PORT",
            ) from error
        self.port = self._server.server_address[1]
        if not _is_loopback(self.host) and not self.token:
            _log.warning("the page is served to the network without authentication; set %s to ask for a token", TOKEN)
        threading.Thread(target=self._server.serve_forever, args=(0.2,), name="piaccel-web", daemon=True).start()
        threading.Thread(target=self._watch, name="piaccel-web-health", daemon=True).start()

    def stop(self) -> None:
        """Idempotent; viewers are sent away."""
        self.over.set()
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
        with self._lock:
            previews = list(self._previews.values())
        for preview in previews:
            preview.stop()

    def wants(self, stream: str) -> bool:
        """Whether somebody watches pictures of ``stream``, or asked for one in the last two seconds."""
        preview = self._previews.get(stream)
        return preview is not None and preview.wanted

    def preview(self, stream: str) -> Preview | None:
        """The pictures of a stream, None where there is no such stream."""
        with self._lock:
            if stream not in self._previews:
                if stream not in {each.name for each in self.snapshot().streams}:
                    return None
                self._previews[stream] = Preview(lambda: self._picture(stream), self._fps)
            return self._previews[stream]

    def reasons(self) -> list[str]:
        """Why the pipeline is not healthy; nothing when it is."""
        try:
            return self._health.reasons(self.snapshot())
        except Exception as error:  # noqa: BLE001 - whatever it is, the pipeline does not answer
            return [f"the pipeline does not answer: {error}"]

    def knows(self, host: str) -> bool:
        """Whether a request's Host is ours: a name that an attacker points at us (DNS rebinding) is not."""
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        name = name.strip("[]").rstrip(".").lower()
        try:
            ipaddress.ip_address(name)
        except ValueError:
            own = socket.gethostname().lower()
            return name in {"localhost", own, f"{own}.local", self.host.lower()}
        return True

    def _watch(self) -> None:
        while not self.over.wait(HEALTH_PERIOD_S):
            self.reasons()


def split(address: str) -> tuple[str, int]:
    """Return (host, port) of "HOST:PORT", "[::1]:PORT" or "PORT". Raises OptionError."""
    host, _, port = address.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise OptionError(f"{address!r} is not an address for the page", hint="such as --web 8080 or 0.0.0.0:8080")
    return host.strip("[]") or "127.0.0.1", int(port)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
