"""The runners of one version, with the queue in front of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from piaccel.errors import ServiceError
from piaccel.serving.runner import Facts, Runner

T = TypeVar("T")
Open = Callable[[], Awaitable[Runner]]


@dataclass(frozen=True)
class Done(Generic[T]):
    """A result with how long it waited and ran."""

    value: T
    queue_ns: int
    run_ns: int


class Crew:
    """Opens runners, keeps them alive and hands them work."""

    def __init__(self, open_runner: Open, *, instances: int = 1) -> None:
        self._open = open_runner
        self._instances = instances
        self._runner: Runner | None = None
        self._lock = asyncio.Lock()
        self.queued = self.running = self.crashes = self.hangs = self.cancelled = 0
        self.on_broken: Callable[[str], None] = lambda reason: None
        """Called when the version's runners crashed or hung twice: it cannot be relied on."""

    @property
    def facts(self) -> Facts:
        assert self._runner is not None
        return self._runner.facts

    @property
    def pids(self) -> list[int]:
        return [self._runner.pid] if self._runner and self._runner.pid else []

    @property
    def runner(self) -> Runner:
        """One that works, for what goes around the queue (golden checks)."""
        if self._runner is None:
            raise ServiceError("unavailable", "the version is not loaded")
        return self._runner

    async def start(self) -> None:
        self._runner = await self._open()

    async def do(self, work: Callable[[Runner], Awaitable[T]], *, deadline_ns: int, priority: int = 2) -> Done[T]:
        """Run ``work`` on the next free runner. Raises ServiceError when it cannot be done in time."""
        begun = time.monotonic_ns()
        self.queued += 1
        try:
            async with self._lock:
                self.queued -= 1
                started = time.monotonic_ns()
                if started > deadline_ns:
                    raise ServiceError("deadline_exceeded", "the deadline passed before the model was free")
                self.running += 1
                try:
                    value = await work(self.runner)
                finally:
                    self.running -= 1
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return Done(value, started - begun, time.monotonic_ns() - started)

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.close()
