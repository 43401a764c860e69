"""A service behind the smallest HTTP server that the dashboard can work with, and numbers to show."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, unquote

import msgspec
import uvicorn

from piaccel.errors import ServiceError
from piaccel.serving.dashboard import Dashboard
from piaccel.serving.messages import PictureRequest
from piaccel.serving.service import Service
from piaccel.serving.settings import Settings
from piaccel.serving.snapshot import Happening, ModelNumbers, ServiceNumbers, VersionNumbers

_STATUS = {"not_found": 404, "invalid_argument": 400, "unavailable": 503, "permission_denied": 403}


class Desk:
    """The real data plane; what operators ask is written down in ``asked`` as (path, body).

    ``shown`` may replace the numbers, ``refusals`` an operator's answer by the path's last word.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.refusals: dict[str, ServiceError] = {}
        self.key = ""
        self.shown: Callable[[ServiceNumbers], ServiceNumbers] = lambda seen: seen
        self.port = 0
        self.foreign: list[str] = []
        """Paths that are neither the page's nor the protocol's."""
        self._thread: threading.Thread | None = None
        self._server: uvicorn.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen, on the port of the last time if there was one."""
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", self.port))
        self.port = listening.getsockname()[1]
        ready = threading.Event()

        async def body() -> None:
            self._service = Service(self.settings)
            self._dashboard = Dashboard(self._service)
            await self._service.start()
            config = uvicorn.Config(
                self._app, lifespan="off", interface="asgi3", log_level="error", ws="none", timeout_keep_alive=1
            )
            self._server = uvicorn.Server(config)
            serving = asyncio.create_task(self._server.serve(sockets=[listening]))
            while not self._server.started:
                await asyncio.sleep(0.01)
            ready.set()
            await serving
            await self._service.stop()

        self._thread = threading.Thread(target=lambda: asyncio.run(body()), daemon=True)
        self._thread.start()
        assert ready.wait(60)

    def stop(self) -> None:
        """Idempotent."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = self._server.force_exit = True
            self._thread.join(30)
            self._server = None

    async def _app(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        if await self._dashboard.handle(scope, receive, send):
            return
        status, kind, data = 200, "application/json", b"{}"
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        if self.key and headers.get("authorization") != f"Bearer {self.key}":
            status, data = 401, b'{"error":"a key is needed"}'
        else:
            try:
                kind, data = await self._answer(scope["path"], parse_qs(scope["query_string"].decode()), body)
            except ServiceError as error:
                status, data = _STATUS.get(error.kind, 500), msgspec.json.encode({"error": str(error)})
        pairs = [(b"content-type", kind.encode()), (b"content-length", str(len(data)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": pairs})
        await send({"type": "http.response.body", "body": data})

    async def _answer(self, path: str, query: dict[str, list[str]], body: bytes) -> tuple[str, bytes]:
        words = [unquote(word) for word in path.strip("/").split("/")]
        if path == "/v2/service":
            return "application/json", msgspec.json.encode(self.shown(self._service.snapshot()))
        if words[:3] == ["v2", "repository", "models"]:
            self.asked.append((path, json.loads(body or b"{}")))
            if words[-1] in self.refusals:
                raise self.refusals[words[-1]]
            return "application/json", b""
        if words[:2] == ["v2", "models"] and words[-1] == "predict":
            version = words[4] if "versions" in words else ""
            annotate = query.get("annotate") == ["1"]
            request = PictureRequest(model=words[2], version=version, image=body, annotate=annotate)
            answer = await self._service.predict(request)
            if annotate:
                assert answer.picture is not None
                return "image/jpeg", answer.picture
            return "application/json", msgspec.json.encode(
                {
                    "model_name": answer.model,
                    "model_version": answer.version,
                    "parameters": answer.parameters,
                    "result": answer.result,
                    "times_ms": answer.times_ms,
                }
            )
        self.foreign.append(path)
        raise ServiceError("not_found", "there is nothing here")


def version(name: str, stage: str = "committed", **more: Any) -> VersionNumbers:
    """A version that answered for a while."""
    loaded = stage not in ("unloaded", "quarantined", "staged", "verifying")
    usual: dict[str, Any] = {"state": "READY" if loaded else "UNAVAILABLE"}
    if loaded:
        usual |= {
            "backend": "litert", "variant": "int8", "threads": 4, "loaded_at": time.time() - 3600, "pid": 4242,
            "memory_bytes": 61_300_000, "succeeded": 182_734, "rate": 31.4, "p50_ms": 22.1, "p95_ms": 26.8,
            "p99_ms": 34.9, "why": "the fastest that agrees",
        }  # fmt: skip
    return VersionNumbers(version=name, stage=stage, **{**usual, **more})  # type: ignore[arg-type]


def busy(seen: ServiceNumbers) -> ServiceNumbers:
    """A board with a swap under way, a candidate beside, and something in quarantine."""
    now = time.time()
    wave = now % 30 / 30
    models = (
        ModelNumbers(
            name="parts", ready=True, required=True, serving="3", previous="2", swapping="3",
            versions=(
                version("4", "quarantined", reason="golden check: 3 of 8 samples have another answer than expected"),
                version("3", "probation", labels=("stable",), share=0.8, rate=24.2 + 4 * wave, p95_ms=26 + 6 * wave,
                        probation_left=37, agreement=0.987, compared=152, succeeded=163),
                version("2", "standby", labels=("canary",), share=0.2, rate=6.1, failed={"deadline_exceeded": 3},
                        p99_ms=41.2),
                version("1", "unloaded", reason="unloaded"),
            ),
        ),
        ModelNumbers(
            name="surface-segmentation", ready=True, required=False, serving="12", previous="11", rung=1, rungs=3,
            versions=(version("12", labels=("stable",), share=1.0, variant="int8-small", rate=8.0, p50_ms=88.4,
                              p95_ms=102.0 + 9 * wave, p99_ms=140.3, memory_bytes=142_000_000),
                      version("11", "shadow", rate=0.8, agreement=0.94, compared=811, p50_ms=121.0, p95_ms=139.0,
                              p99_ms=151.0)),
        ),
    )  # fmt: skip
    happenings = (
        Happening(at=now // 1 - 40, what="promoted", model="parts", version="3"),
        Happening(at=now // 1 - 95, what="quarantined", model="parts", version="4",
                  reason="golden check: 3 of 8 samples have another answer than expected"),
        Happening(at=now // 1 - 300, what="step", model="surface-segmentation", version="12",
                  reason="rung 0 to 1: 80.5 °C"),
        Happening(at=now // 1 - 7200, what="loaded", model="parts", version="2"),
    )  # fmt: skip
    return ServiceNumbers(
        name="line-3-camera", software=seen.software, started_at=now - 93784, uptime_s=93784, live=True, ready=True,
        repository_api=True, models=models, memory_bytes=58_200_000, connections=9, disk_free_bytes=21_400_000_000,
        board={"temperature_c": 71.5 + 6 * wave, "clock_hz": 2.4e9, "throttled": float(1 << 16), "under_voltage": 0.0,
               "memory_available_bytes": 2.9e9, "load": 2.31},
        happenings=happenings,
    )  # fmt: skip


def with_two(seen: ServiceNumbers) -> ServiceNumbers:
    """The real model, with a second version that stands by."""
    model = seen.models[0]
    return replace(seen, models=(replace(model, versions=(version("2", "standby"), *model.versions)),))
