"""Results to an MQTT broker, and to Home Assistant through it: ``mqtt://broker/line1``, ``mqtts://user@broker/line1``."""

from __future__ import annotations

import logging
import re
import secrets
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

import msgspec

from piaccel.errors import OptionError, UnavailableError
from piaccel.sinks import Event, Options, Sink, _discovery, _network
from piaccel.sinks._mqtt_link import Link, UnsupportedVersion

_REASSERT_S = 30.0
"""A broker may publish the last will of a dead earlier connection after the new one said "online"."""
_log = logging.getLogger("piaccel")


@dataclass(frozen=True, kw_only=True)
class MqttOptions(Options):
    qos: int = 1
    """0: at most once; 1 and 2: at least once, an event counts as sent when the broker acknowledged it."""
    retain: bool = False
    """Whether the broker keeps the last event for who subscribes later."""
    client_id: str = ""
    """"" is a name of its own for each start."""
    keepalive_s: float = 30.0
    """How long the broker waits for a sign of life before it publishes "offline"."""
    timeout_s: float = 5.0
    """How long an answer of the broker may take."""
    ca_file: str = ""
    """The authority that signed the broker's certificate (PEM); "" is the system's."""
    cert_file: str = ""
    key_file: str = ""
    insecure: bool = False
    """Take any certificate: only for trying."""
    password_file: str = ""
    """Its first line is the password; else it is PIACCEL_MQTT_PASSWORD."""
    discovery: bool = True
    """Describe the streams to Home Assistant."""
    discovery_prefix: str = "homeassistant"
    device_id: str = ""
    """"" is made of the topic."""
    device_name: str = ""


class _Socket(ssl.SSLSocket):
    """Closes itself when the handshake fails: paho leaves such a socket open."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


class Mqtt(Sink):
    """``PREFIX/STREAM/result`` gets the events, ``PREFIX/availability`` "online" or "offline" (retained, last will)."""

    options = MqttOptions
    schemes: ClassVar[tuple[str, ...]] = ("mqtts",)
    tick_s: ClassVar[float] = 0.2

    def __init__(self, target: str, options: Options) -> None:
        super().__init__(target, options)
        assert isinstance(options, MqttOptions)
        self._options = options
        if options.qos not in (0, 1, 2):
            raise OptionError(f"mqtt: qos={options.qos} does not exist", hint="0, 1 or 2")
        if options.keepalive_s < 1 or options.timeout_s <= 0:
            raise OptionError("mqtt: keepalive must be at least 1s and timeout more than 0s")
        if not target.startswith("mqtts:") and (options.ca_file or options.cert_file or options.insecure):
            raise OptionError("mqtt: ca_file, cert_file and insecure are for TLS", hint="write mqtts://HOST/TOPIC")
        self.delivery = "at least once" if options.qos else "at most once"
        self._read_target(target)
        self._availability = f"{self._prefix}/availability"
        self._client_id = options.client_id or f"piaccel-{secrets.token_hex(6)}"
        self._old_protocol = False
        self._link: Link | None = None
        self._announced: set[str] = set()
        self._asserted_s = 0.0

    def open(self) -> None:
        try:
            from paho.mqtt import client as paho
        except ImportError as error:
            raise OptionError("mqtt needs paho-mqtt", hint="pip install 'piaccel[mqtt]'") from error
        self._end()
        password = _network.secret("mqtt", self._options.password_file, "")
        password = password or self._password or _network.secret("mqtt", "", "PIACCEL_MQTT_PASSWORD")
        try:
            self._connect(paho, password)
        except UnsupportedVersion:
            self._old_protocol = True
            try:
                self._connect(paho, password)
            except UnsupportedVersion as error:
                raise OptionError(f"{self}: the broker speaks neither MQTT 5 nor 3.1.1") from error
        self._announced.clear()
        self._assert_online()

    def deliver(self, event: Event) -> None:
        link = self._open_link()
        if self._options.discovery and event.stream not in self._announced:
            self._announce(link, event)
        link.publish(self._topic(event.stream), _payload(event), self._options.qos, self._options.retain)

    def tick(self) -> None:
        self._open_link().check()
        if time.monotonic() - self._asserted_s > _REASSERT_S:
            self._assert_online()

    def flush(self, timeout_s: float) -> int:
        return self._link.flush(timeout_s) if self._link else 0

    def facts(self) -> Mapping[str, float]:
        link = self._link
        return {"unconfirmed": link.unconfirmed if link else 0}

    def close(self) -> None:
        if self._link is not None:
            try:
                self._link.check()
                self._link.announce(self._availability, b"offline")
            except UnavailableError as error:
                _log.debug("%s: the broker publishes the last will instead: %s", self, error)
        self._end()

    def __str__(self) -> str:
        return f"{self._where}/{self._prefix}"

    def _read_target(self, target: str) -> None:
        """Take the address apart. No message may show it whole: it can hold a password."""
        form = "write mqtt://HOST/TOPIC or mqtts://USER@HOST:PORT/TOPIC"
        try:
            url = urlsplit(target)
            port = url.port
        except ValueError as error:
            raise OptionError("mqtt: the address is not one", hint=form) from error
        if url.scheme not in ("mqtt", "mqtts") or not url.hostname or url.query or port == 0:
            raise OptionError("mqtt: the address is not one", hint=form)
        self._encrypted = url.scheme == "mqtts"
        self._host, self._port = url.hostname, port or (8883 if self._encrypted else 1883)
        host = f"[{self._host}]" if ":" in self._host else self._host
        self._where = f"{url.scheme}://{host}{f':{port}' if port else ''}"
        self._user, self._password = unquote(url.username or ""), unquote(url.password or "")
        self._prefix = unquote(url.path).strip("/") or f"piaccel/{_discovery.slug(socket.gethostname())}"
        if "#" in target or re.search(r"[+#\0]|//", self._prefix):
            raise OptionError("mqtt: the topic may hold no +, # or //", hint=form)

    def _connect(self, paho: Any, password: str) -> None:
        client = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            protocol=paho.MQTTv311 if self._old_protocol else paho.MQTTv5,
            reconnect_on_failure=False,
        )
        if self._user or password:
            client.username_pw_set(self._user, password or None)
        if self._encrypted:
            client.tls_set_context(self._tls())
        client.will_set(self._availability, b"offline", qos=1, retain=True)
        link = Link(client, self._where, self._options.timeout_s)
        try:
            link.connect(self._host, self._port, round(self._options.keepalive_s), self._options.qos)
        except BaseException:
            link.close()
            raise
        self._link = link

    def _tls(self) -> ssl.SSLContext:
        chosen = self._options
        context = _network.tls("mqtt", chosen.ca_file, chosen.cert_file, chosen.key_file, insecure=chosen.insecure)
        context.sslsocket_class = _Socket
        return context

    def _open_link(self) -> Link:
        if self._link is None:
            raise UnavailableError(f"{self._where}: not connected")
        return self._link

    def _end(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def _assert_online(self) -> None:
        refusal = self._open_link().announce(self._availability, b"online")
        if refusal:
            raise UnavailableError(
                f"{self._where}: the broker refuses {self._availability}: {refusal}",
                hint="may this user write to the topic? see the broker's access list",
            )
        self._asserted_s = time.monotonic()

    def _announce(self, link: Link, event: Event) -> None:
        chosen = self._options
        name = chosen.device_name or f"piaccel {self._prefix.removeprefix('piaccel/')}"
        for topic, description in _discovery.entities(
            chosen.discovery_prefix.strip("/"),
            chosen.device_id or f"piaccel_{self._prefix.removeprefix('piaccel/')}",
            name,
            event.stream,
            event.model,
            self._topic(event.stream),
            self._availability,
        ):
            refusal = link.announce(topic, msgspec.json.encode(description))
            if refusal:
                _log.warning("%s: Home Assistant is not told: %s: %s (discovery=false)", self, topic, refusal)
                break
        self._announced.add(event.stream)

    def _topic(self, stream: str) -> str:
        return f"{self._prefix}/{re.sub(r'[/+#]', '_', stream)}/result"


def _payload(event: Event) -> bytes:
    """The event as JSON, with its best finding where a template finds it easily; what is not a number is null."""
    found = event.result.findings() if event.result is not None else ()
    label, score = found[0] if found else (None, None)
    return msgspec.json.encode({**event.to_dict(), "finding": label, "score": score, "findings": len(found)})
