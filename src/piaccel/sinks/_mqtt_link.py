"""One connection to an MQTT broker, with what was published and is not acknowledged yet."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from piaccel.errors import InputError, OptionError, UnavailableError
from piaccel.sinks import _network

WINDOW = 20
"""Messages that may be on the way: what mosquitto and paho allow by default."""
_REFUSED = ("Bad user name or password", "Not authorized")


class UnsupportedVersion(Exception):
    """The broker does not speak MQTT 5."""


class Link:
    """Publishes through paho's own network thread; ends for good when the connection does.

    A client is used for one connection: what is lost with it is published again by who still has the events, which
    needs no session that a broker may have forgotten.
    """

    def __init__(self, client: Any, where: str, timeout_s: float) -> None:
        self._client = client
        self._where = where
        self._timeout_s = timeout_s
        self._change = threading.Condition()  # never held while paho is called: it holds its own locks in callbacks
        self._pending: deque[tuple[int, float]] = deque()
        self._acked: dict[int, str] = {}
        self._answer: Any = None
        self._properties: Any = None
        self._trouble: UnavailableError | None = None
        self._window = WINDOW
        self._most_bytes: int | None = None
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.connect_timeout = timeout_s

    def connect(self, host: str, port: int, keepalive_s: int, qos: int) -> None:
        """Connect and wait for the broker's answer.

        Raises UnavailableError for what may work later, OptionError for what will not, UnsupportedVersion.
        """
        try:
            self._client.connect(host, port, keepalive_s)
        except (OSError, ssl.CertificateError) as error:
            raise _network.unreachable(error, self._where) from error
        except ValueError as error:
            raise OptionError(f"{self._where}: {error}") from error
        self._client.loop_start()
        with self._change:
            self._change.wait_for(lambda: self._answer is not None or self._trouble is not None, self._timeout_s)
            answer, properties, trouble = self._answer, self._properties, self._trouble
        if answer is None:
            raise trouble or UnavailableError(f"{self._where}: no MQTT broker answers", hint="is the port right?")
        name = answer.getName()
        if answer.is_failure:
            if name == "Unsupported protocol version":
                raise UnsupportedVersion
            if name in _REFUSED:  # tried again: home-assistant/addons#2680, it refuses everybody until all of it is up
                raise UnavailableError(
                    f"{self._where}: the broker refuses the user name or the password",
                    hint="give them as mqtt://USER@HOST and password_file=FILE or PIACCEL_MQTT_PASSWORD",
                )
            if name == "Client identifier not valid":
                raise OptionError(f"{self._where}: the broker refuses the client's name", hint="set client_id=NAME")
            raise UnavailableError(f"{self._where}: the broker refuses: {name}")
        if qos > getattr(properties, "MaximumQoS", 2):
            raise OptionError(f"{self._where}: the broker does not take qos={qos}", hint="set qos=1 or qos=0")
        self._window = min(WINDOW, getattr(properties, "ReceiveMaximum", WINDOW))
        self._most_bytes = getattr(properties, "MaximumPacketSize", None)

    @property
    def unconfirmed(self) -> int:
        """Messages published since the oldest one that is not acknowledged."""
        with self._change:
            return len(self._pending)

    def check(self) -> None:
        """Raise UnavailableError when the connection is lost, or the broker refuses or does not acknowledge."""
        with self._change:
            self._check()

    def publish(self, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        """Publish once there is room in the window. Raises UnavailableError; InputError for what is too large."""
        if self._most_bytes is not None and len(payload) + len(topic.encode()) + 32 > self._most_bytes:
            raise InputError(f"{self._where}: {len(payload)} bytes are more than the broker takes ({self._most_bytes})")
        with self._change:
            self._wait(lambda: len(self._pending) < self._window)
            self._check()
        message = self._client.publish(topic, payload, qos, retain)
        if message.rc != 0:
            raise UnavailableError(f"{self._where}: the connection was lost")
        with self._change:
            self._pending.append((message.mid, time.monotonic()))
            self._settle()

    def announce(self, topic: str, payload: bytes) -> str:
        """Publish what is retained and wait until it is acknowledged; return why the broker refuses it, or ""."""
        message = self._client.publish(topic, payload, 1, True)
        with self._change:
            self._wait(lambda: message.mid in self._acked)
            if message.mid not in self._acked:
                raise self._trouble or self._silent()
            return self._acked.pop(message.mid)

    def flush(self, timeout_s: float) -> int:
        """Wait for acknowledgements; return how many messages have none."""
        with self._change:
            self._change.wait_for(lambda: not self._pending or self._trouble is not None, timeout_s)
            return len(self._pending)

    def close(self) -> None:
        """Say good-bye where somebody listens, so that the last will is not sent, and end paho's thread."""
        if self._client.disconnect() == 0:
            with self._change:
                self._change.wait_for(lambda: self._trouble is not None, 1.0)
        sock = self._client.socket()
        if sock is not None:
            with contextlib.suppress(OSError):  # closed meanwhile by paho's thread
                socket.socket.shutdown(sock, socket.SHUT_RDWR)  # loop_stop would wait for a broker that hangs
        self._client.loop_stop()
        self._client.on_connect = self._client.on_disconnect = self._client.on_publish = None

    def _wait(self, met: Callable[[], bool]) -> None:
        if not self._change.wait_for(lambda: met() or self._trouble is not None, self._timeout_s):
            raise self._silent()

    def _silent(self) -> UnavailableError:
        return UnavailableError(f"{self._where}: the broker does not acknowledge", hint="is it overloaded or stopped?")

    def _check(self) -> None:
        if self._trouble is not None:
            raise self._trouble
        if self._pending and time.monotonic() - self._pending[0][1] > self._timeout_s:
            raise self._silent()

    def _settle(self) -> None:
        """Take what is acknowledged off the front: acknowledgements may overtake one another."""
        while self._pending and self._pending[0][0] in self._acked:
            refusal = self._acked[self._pending[0][0]]
            if refusal:
                self._trouble = UnavailableError(
                    f"{self._where}: the broker refuses what is published: {refusal}",
                    hint="may this user write to the topic? see the broker's access list",
                )
                return
            del self._acked[self._pending.popleft()[0]]

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, reason: Any, properties: Any) -> None:
        with self._change:
            self._answer, self._properties = reason, properties
            self._change.notify_all()

    def _on_disconnect(self, _client: Any, _data: Any, flags: Any, reason: Any, _properties: Any) -> None:
        told = f": {reason.getName()}" if flags.is_disconnect_packet_from_server else ""
        with self._change:
            self._trouble = self._trouble or UnavailableError(f"{self._where}: the connection was lost{told}")
            self._change.notify_all()

    def _on_publish(self, _client: Any, _data: Any, mid: int, reason: Any, _properties: Any) -> None:
        with self._change:
            self._acked[mid] = reason.getName() if reason.is_failure else ""
            self._settle()
            self._change.notify_all()
