"""Backends of another package that misbehave, a clock that only moves when told, and the smallest real model."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from piaccel import backends, plugins

STRANGE = Path(__file__).parent / "strange"


class VirtualClock:
    """Stands still but for what ``sleep`` and ``work`` say; each reading takes ``tick_ns``."""

    def __init__(self, tick_ns: int = 0) -> None:
        self.now_ns = 1_000_000_000
        self.tick_ns = tick_ns
        self.slept_s: list[float] = []

    def __call__(self) -> int:
        self.now_ns += self.tick_ns
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now_ns += round(seconds * 1e9)

    def work(self, ns: int) -> None:
        self.now_ns += ns


@pytest.fixture
def strange_backends(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make the backends ``crashes`` and ``lies`` findable, here and in child processes."""

    def forget() -> None:
        for cached in (plugins.names, plugins._others, backends.get):
            cached.cache_clear()

    monkeypatch.syspath_prepend(str(STRANGE))
    monkeypatch.setenv("PYTHONPATH", str(STRANGE), prepend=":")
    forget()
    yield
    monkeypatch.undo()
    forget()


@pytest.fixture
def tiny_model(demo: Path) -> Path:
    """A classifier that answers in a fraction of a millisecond, as a bare file."""
    return demo / "bundle/int8.tflite"


@pytest.fixture
def picture(demo: Path) -> Path:
    return demo / "images/washer_good.jpg"
