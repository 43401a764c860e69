"""The time a soak runs in: the machine's own, or that of a board which only work makes pass."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Clock(Protocol):
    """``piaccel.testing.thermal.ThermalBoard`` is one, too."""

    def now_ns(self) -> int: ...

    def sleep(self, seconds: float) -> None: ...

    def every(self, period_s: float, function: Callable[[], None]) -> AbstractContextManager[None]:
        """Call ``function`` at once and each period, until left."""
        ...


class WallClock:
    """CLOCK_MONOTONIC; what is repeated runs in a thread of its own."""

    def now_ns(self) -> int:
        return time.monotonic_ns()

    def sleep(self, seconds: float) -> None:
        time.sleep(max(seconds, 0.0))

    @contextmanager
    def every(self, period_s: float, function: Callable[[], None]) -> Iterator[None]:
        stopped = threading.Event()

        def repeat() -> None:
            due = time.monotonic()
            while True:
                function()
                due = max(due + period_s, time.monotonic())
                if stopped.wait(due - time.monotonic()):
                    return

        thread = threading.Thread(target=repeat, name="piaccel-soak-sensors", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()
