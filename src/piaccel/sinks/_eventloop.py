"""An asyncio loop in a thread of its own, for libraries that have no other way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError
from typing import Any, TypeVar

from piaccel.errors import UnavailableError

T = TypeVar("T")


class EventLoop:
    """Runs coroutines that other threads hand in; ``close`` cancels what is left and ends the thread."""

    def __init__(self, name: str) -> None:
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name=name, daemon=True)
        self._thread.start()
        self._started.wait()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def call(self, coroutine: Coroutine[Any, Any, T], timeout_s: float = 10.0) -> T:
        """Run a coroutine and return its result. Raises what it raises, UnavailableError when it never ends."""
        if not self.alive:
            coroutine.close()
            raise UnavailableError(f"{self._thread.name} has ended")
        try:
            return asyncio.run_coroutine_threadsafe(asyncio.wait_for(coroutine, timeout_s), self._loop).result()
        except (TimeoutError, CancelledError) as error:
            raise UnavailableError(f"{self._thread.name} did not answer for {timeout_s:g} s") from error

    def close(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._started.set()
        await self._stop.wait()
