"""Results as variables of an OPC UA server: ``opcua:opc.tcp://0.0.0.0:4840/piaccel``."""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast
from urllib.parse import urlsplit

from piaccel import sinks
from piaccel.errors import NotFoundError, OptionError, PiaccelError, UnavailableError
from piaccel.sinks import Event
from piaccel.sinks._eventloop import EventLoop

if TYPE_CHECKING:
    from piaccel.sinks._opcua_server import ResultServer

_log = logging.getLogger("piaccel")
_TIMEOUT_S = 60.0
"""Building the standard address space takes a second on a PC and several on a small board."""
_HEARTBEAT_NS = 400_000_000


@dataclass(frozen=True, kw_only=True)
class Options(sinks.Options):
    security: Literal["", "Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss"] = ""
    """Sign and encrypt with this policy; "" neither, for loopback only."""
    certificate: str = ""
    """The server's, PEM or DER, with its application URI among the alternative names."""
    private_key: str = ""
    trusted: str = ""
    """A folder of certificates (of clients, or of who signed them) that may connect."""
    insecure: bool = False
    """Serve other machines although anybody may connect."""
    streams: str = ""
    """"left|right": have their variables from the start; others get theirs with their first event."""
    stale_s: float = 2.0
    """Without an event for this long the values get the status BadNoCommunication."""


class OpcUa(sinks.Sink):
    """Variables hold the newest event: what could not be written is given up."""

    options = Options
    schemes = ("opc.tcp",)
    delivery = "at most once"
    queue = 16
    tick_s = 0.5

    def __init__(self, target: str, options: sinks.Options, clock: Callable[[], int] = time.monotonic_ns) -> None:
        super().__init__(target, options)
        self._chosen = chosen = cast(Options, options)
        self._url = _url(target)
        _check(self._url, chosen)
        self._clock = clock
        self._loop: EventLoop | None = None
        self._server: ResultServer | None = None
        self._sequence: dict[str, int] = {}
        self._heartbeat = 0
        self._beat_ns = 0
        self._heard_ns: dict[str, int] = {}
        self._stale: set[str] = set()

    def open(self) -> None:
        """Start the server. Raises OptionError, NotFoundError, or UnavailableError while the port is taken."""
        self.close()
        try:
            from piaccel.sinks._opcua_server import ResultServer
        except ImportError as error:
            raise OptionError(f"opcua needs asyncua: {error}", hint="pip install 'piaccel[opcua]'") from error
        streams = [name.strip() for name in self._chosen.streams.split("|") if name.strip()]
        self._loop = EventLoop("piaccel-opcua")
        self._server = ResultServer()
        try:
            self._call(self._server.start(self._url, _security(self._chosen), streams))
        except PiaccelError:
            self._loop.close()
            self._loop = self._server = None
            raise
        self._heard_ns = dict.fromkeys(streams, self._clock())
        self._stale.clear()

    def deliver(self, event: Event) -> None:
        """Show the event. Raises UnavailableError when the server is lost."""
        if self._server is None:
            raise UnavailableError(f"{self} is closed")
        self._sequence[event.stream] = (self._sequence.get(event.stream, 0) + 1) & 0xFFFFFFFF
        self._beat()
        self._call(self._server.show(event, self._sequence[event.stream], self._heartbeat))
        self._heard_ns[event.stream] = self._clock()
        self._stale.discard(event.stream)

    def tick(self) -> None:
        """Advance the heartbeats, and mark as bad what is old."""
        if self._server is None:
            raise UnavailableError(f"{self} is closed")
        now_ns = self._clock()
        for stream, heard_ns in self._heard_ns.items():
            if stream not in self._stale and now_ns - heard_ns >= self._chosen.stale_s * 1e9:
                self._stale.add(stream)
                self._call(self._server.spoil(stream))
        if now_ns - self._beat_ns >= _HEARTBEAT_NS:
            self._beat()
            for stream in self._heard_ns:
                self._call(self._server.beat(stream, self._heartbeat))

    def close(self) -> None:
        loop, server = self._loop, self._server
        self._loop = self._server = None
        if loop is None or server is None:
            return
        try:
            loop.call(server.stop())
        except Exception as error:  # noqa: BLE001 - asyncua raises anything, and the loop's end closes all the same
            _log.warning("%s does not stop: %s", self, error)
        finally:
            loop.close()

    def facts(self) -> Mapping[str, float]:
        server = self._server
        return {"clients": 0 if server is None else server.sessions, "stale_streams": len(self._stale)}

    def _beat(self) -> None:
        self._heartbeat = (self._heartbeat + 1) & 0xFFFFFFFF
        self._beat_ns = self._clock()

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        if self._loop is None:
            work.close()
            raise UnavailableError(f"{self} is closed")
        try:
            self._loop.call(work, _TIMEOUT_S)
        except PiaccelError:
            raise
        except OSError as error:
            raise UnavailableError(
                f"opcua: cannot serve {self._url}: {error}", hint="does another program listen there? See `ss -ltnp`"
            ) from error
        except Exception as error:
            raise UnavailableError(f"opcua: {type(error).__name__}: {error}") from error


def _url(target: str) -> str:
    """Return the endpoint's full address; loopback where the target names no host."""
    try:
        url = urlsplit(target if "://" in target else f"opc.tcp://{target}")
        host, port = url.hostname or "127.0.0.1", url.port or 4840
    except ValueError as error:
        raise OptionError(f"opcua: {target!r} is no address: {error}", hint="write opc.tcp://HOST:PORT/NAME") from error
    if url.scheme != "opc.tcp":
        raise OptionError(f"opcua: {target!r} is no opc.tcp address", hint="write opcua:opc.tcp://HOST:PORT/NAME")
    return f"opc.tcp://{f'[{host}]' if ':' in host else host}:{port}{url.path or '/piaccel'}"


def _check(url: str, chosen: Options) -> None:
    if chosen.security and not (chosen.certificate and chosen.private_key):
        raise OptionError(
            f"opcua: security={chosen.security} needs certificate= and private_key=",
            hint="docs/sinks.md shows how to make them",
        )
    host = urlsplit(url).hostname or ""
    if not _loopback(host) and not (chosen.security and chosen.trusted) and not chosen.insecure:
        raise OptionError(
            f"opcua: at {host} anybody on the network could connect",
            hint="say security=Basic256Sha256 with certificate=, private_key= and trusted=, or insecure=true",
        )
    if chosen.stale_s <= 0:
        raise OptionError("opcua: stale must be longer than 0")


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _security(chosen: Options) -> dict[str, str]:
    if not chosen.security:
        return {}
    for path in filter(None, (chosen.certificate, chosen.private_key, chosen.trusted)):
        if not Path(path).exists():
            raise NotFoundError(f"opcua: {path}: no such file or folder")
    return {
        "policy": chosen.security,
        "certificate": chosen.certificate,
        "private_key": chosen.private_key,
        "trusted": chosen.trusted,
    }
