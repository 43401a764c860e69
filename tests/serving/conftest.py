"""Repositories and services on the demo model."""

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from piaccel.serving.service import Service
from piaccel.serving.settings import ModelSettings, ServerSettings, Settings


@pytest.fixture
def repository(tmp_path: Path, demo: Path) -> Path:
    """A repository with the demo model "parts" as version 1."""
    folder = tmp_path / "models"
    shutil.copytree(demo / "bundle", folder / "parts" / "1")
    return folder


@pytest.fixture
def settings(repository: Path) -> Callable[..., Settings]:
    """Settings of that repository: litert in a thread; keywords are those of ServerSettings."""

    def make(model: dict[str, Any] | None = None, **server: Any) -> Settings:
        own: dict[str, Any] = {"backend": "litert", "variant": "fp32-tflite", "threads": 1, "isolation": "thread"}
        own |= model or {}
        server = {"settle_s": 0.05, **server}
        return Settings(repository=repository, server=ServerSettings(**server), defaults=ModelSettings(**own))

    return make


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Service]:
    """A service that has started, without anything that listens."""
    service = Service(settings)
    await service.start()
    try:
        yield service
    finally:
        await service.stop()
