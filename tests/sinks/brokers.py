"""A real mosquitto, certificates of our own, and a subscriber."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from piaccel.sinks import Event
from piaccel.tasks import Classification
from tests.sinks.waiting import free_port, until

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")


def event(number: int, label: str = "crack", stream: str = "line", score: float = 0.75) -> Event:
    now = time.monotonic_ns()
    answer = Classification(np.asarray([score], np.float32), (label,))
    return Event(f"pi/boot/{number}", stream, number, now - 40_000_000, now, 1.7e9, answer, model="cracks")


class Broker:
    """A mosquitto on a free port, which keeps it through restarts."""

    def __init__(self, folder: Path, *lines: str) -> None:
        if MOSQUITTO is None:
            pytest.skip("mosquitto is not installed")
        self.port = free_port()
        self.folder = folder
        self.lines = lines or ("allow_anonymous true",)
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        assert MOSQUITTO is not None
        settings = self.folder / "mosquitto.conf"
        head = ["user root"] if os.geteuid() == 0 else []
        head += [f"listener {self.port} 127.0.0.1", "max_inflight_messages 0", "persistence false"]
        settings.write_text("\n".join([*head, *self.lines]) + "\n", encoding="utf-8")
        with (self.folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen([MOSQUITTO, "-c", str(settings)], stdout=log, stderr=log)
        until(self._listens, f"mosquitto listens, see {log.name}")

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "mosquitto.log").read_text(encoding="utf-8")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class Subscriber:
    """Sees everything that is published; what is retained too."""

    def __init__(self, port: int, user: str = "", password: str = "") -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self.messages: list[tuple[str, bytes, bool]] = []
        self._there = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, reconnect_on_failure=False)
        if user:
            self._client.username_pw_set(user, password)
        self._client.on_message = self._seen
        self._client.on_connect = lambda client, *_: client.subscribe("#", 0)
        self._client.on_subscribe = lambda *_: self._there.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._there.wait(20)

    def _seen(self, _client: Any, _data: Any, message: Any) -> None:
        self.messages.append((message.topic, message.payload, message.retain))

    def payloads(self, topic: str) -> list[bytes]:
        return [payload for name, payload, _ in list(self.messages) if name == topic]

    def results(self, topic: str) -> list[dict[str, Any]]:
        return [json.loads(payload) for payload in self.payloads(topic)]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def certificates(folder: Path, *, name: str = "localhost", days: int = 30) -> tuple[Path, Path, Path]:
    """Return (authority, certificate, key), made for ``name`` and 127.0.0.1 and valid from yesterday for ``days``."""
    x509 = pytest.importorskip("cryptography.x509", reason="cryptography, which makes certificates, is not installed")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=10)

    def signed(subject: str, issuer: str, public: Any, by: Any, extension: Any, last: datetime.datetime) -> Any:
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(last)
            .add_extension(extension, critical=False)
            .sign(by, hashes.SHA256())
        )

    authority, server = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    later = start + datetime.timedelta(days=100)
    root = signed("test CA", "test CA", authority.public_key(), authority, x509.BasicConstraints(True, None), later)
    names = [x509.DNSName(name)] + ([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))] if name == "localhost" else [])
    last = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
    leaf = signed(name, "test CA", server.public_key(), authority, x509.SubjectAlternativeName(names), last)
    paths = folder / "ca.pem", folder / "server.pem", folder / "server.key"
    pem = serialization.Encoding.PEM
    paths[0].write_bytes(root.public_bytes(pem))
    paths[1].write_bytes(leaf.public_bytes(pem))
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    paths[2].write_bytes(server.private_bytes(pem, *plain))
    return paths


class OldBroker:
    """Stands before a broker and answers as one that knows MQTT 3.1.1 only: return code 1, and the line is cut."""

    def __init__(self, port: int) -> None:
        self._behind = port
        self.versions: list[int] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # it was closed
            while True:
                near, _ = self._server.accept()
                threading.Thread(target=self._talk, args=(near,), daemon=True).start()

    def _talk(self, near: socket.socket) -> None:
        first = near.recv(65536)
        self.versions.append(first[first.index(b"MQTT") + 4])
        if self.versions[-1] == 5:
            near.sendall(b"\x20\x02\x00\x01")
            near.close()
            return
        far = socket.create_connection(("127.0.0.1", self._behind))
        far.sendall(first)
        threading.Thread(target=self._relay, args=(far, near), daemon=True).start()
        self._relay(near, far)

    def _relay(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):  # one side hung up
            while data := source.recv(65536):
                target.sendall(data)
        for each in (source, target):
            each.close()
