"""The service on a real socket, for tests: uvicorn in a thread, and a client that sends what it is told."""

import asyncio
import http.client
import json
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn

from piaccel.serving import rest
from piaccel.serving.access import Access
from piaccel.serving.service import Service
from piaccel.serving.settings import ModelSettings, ServerSettings, Settings

GREY = np.full((1, 96, 96, 3), 0.5, np.float32)


def parts(demo: Path, folder: Path, model: dict[str, Any] | None = None, **server: Any) -> Settings:
    """Settings of a repository in ``folder`` with the demo model "parts" as version 1."""
    shutil.copytree(demo / "bundle", folder / "models" / "parts" / "1")
    own: dict[str, Any] = {"backend": "litert", "variant": "fp32-tflite", "threads": 1, "isolation": "thread"}
    defaults = ModelSettings(**{**own, **(model or {})})
    return Settings(repository=folder / "models", server=ServerSettings(**server), defaults=defaults)


class Site:
    """A running server: its address, its service, and how to ask it."""

    def __init__(self, port: int, service: Service, loop: asyncio.AbstractEventLoop, app: rest.App) -> None:
        self.port = port
        self.service = service
        self.loop = loop
        self.app = app

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """(status, headers in lower case, body) of a request on a connection of its own; dicts are sent as JSON."""
        data = json.dumps(body).encode() if isinstance(body, dict | list) else body
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, data, headers or {})
            answer = connection.getresponse()
            return answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def json(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        status, _, data = self.ask(method, path, body, headers)
        return status, json.loads(data) if data else None

    def raw(self, data: bytes, timeout_s: float = 10) -> bytes:
        """Everything that comes back for ``data`` as it is, until the server closes or is silent for a second."""
        with socket.create_connection(("127.0.0.1", self.port), timeout_s) as connection:
            connection.sendall(data)
            return heard(connection)


def heard(connection: socket.socket, silence_s: float = 1.0) -> bytes:
    """What comes until the peer closes, or says nothing for ``silence_s``."""
    whole = b""
    connection.settimeout(silence_s)
    try:
        while part := connection.recv(65536):
            whole += part
    except (TimeoutError, ConnectionResetError):
        return whole
    return whole


@contextmanager
def site(settings: Settings, access: Access | None = None, **app: Any) -> Iterator[Site]:
    """Serve ``settings`` on a free port of this machine in a thread."""
    started: list[Site] = []
    ready, over = threading.Event(), threading.Event()

    async def body() -> None:
        service = Service(settings)
        await service.start()
        application = rest.App(service, access or Access.of(settings), **app)
        listener = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(application, **rest.server_config(settings)))
        task = asyncio.create_task(server._serve([listener]))
        while not server.started:
            await asyncio.sleep(0.01)
        started.append(Site(listener.getsockname()[1], service, asyncio.get_running_loop(), application))
        ready.set()
        while not over.is_set():
            await asyncio.sleep(0.02)
        server.should_exit = server.force_exit = True
        await task
        await service.stop()

    def run() -> None:
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(body())
        ready.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    ready.wait(30)
    assert started, "the server did not start"
    try:
        yield started[0]
    finally:
        over.set()
        thread.join(30)
