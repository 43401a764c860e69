"""The whole service, with everything that it listens on, in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from piaccel.serving import server
from piaccel.serving.settings import ModelSettings, ServerSettings, Settings

MODEL: dict[str, Any] = {
    "backend": "litert", "variant": "fp32-tflite", "threads": 1, "isolation": "thread", "probation_s": 0.3,
    "policy": "specific", "versions": ("1",),
}  # fmt: skip


@contextlib.contextmanager
def served(repository: Path, model: dict[str, Any] | None = None, **options: Any) -> Iterator[str]:
    """A whole service, in a thread; ``options`` are those of ServerSettings."""
    options = {"repository_api": True, "port": 0, "grpc_port": None, "metrics_port": None, **options}
    settings = Settings(
        repository=repository, server=ServerSettings(**options), defaults=ModelSettings(**MODEL | (model or {}))
    )
    ready = threading.Event()
    told: dict[str, Any] = {}

    async def body() -> None:
        told["loop"], told["stop"] = asyncio.get_running_loop(), asyncio.Event()

        def started(addresses: server.Addresses, service: object) -> None:
            told["url"] = addresses.url
            ready.set()

        await server.serve(settings, started, told["stop"])

    thread = threading.Thread(target=lambda: asyncio.run(body()), daemon=True)
    thread.start()
    assert ready.wait(120)
    try:
        yield told["url"]
    finally:
        told["loop"].call_soon_threadsafe(told["stop"].set)
        thread.join(60)
