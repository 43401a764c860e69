"""The fake's pipeline: one thread that takes runs in order and calls back, as HailoRT does."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from . import _errors
from ._network import Network
from ._pyhailort import SETTINGS

ABORTED = 63


class AsyncInferCompletionInfo:
    def __init__(self, exception: Exception | None) -> None:
        self.exception = exception


class AsyncInferJob:
    def __init__(self) -> None:
        self._ended = threading.Event()
        self._status = 0

    def wait(self, timeout_ms: int) -> None:
        if not self._ended.wait(timeout_ms / 1000):
            raise _errors.of(4)
        if self._status:
            raise _errors.of(self._status)


class Engine:
    """What a configured model runs on. After a failed run it is shut down: later ones are aborted."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._waiting: deque[tuple[list[Any], Callable[..., None] | None, AsyncInferJob]] = deque()
        self._flying = 0
        self._runs = 0
        self._status = 0
        self._stopped = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="hailort", daemon=True)
        self._thread.start()

    def wait_for_room(self, timeout_ms: int) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: self._flying < SETTINGS.queue, timeout_ms / 1000):
                raise _errors.of(4)

    def start(self, bindings: list[Any], callback: Callable[..., None] | None) -> AsyncInferJob:
        job = AsyncInferJob()
        with self._changed:
            if self._status or self._stopped:
                raise _errors.of(self._status or ABORTED)
            if self._flying >= SETTINGS.queue:
                raise _errors.of(82)
            self._flying += 1
            self._waiting.append((bindings, callback, job))
            self._changed.notify_all()
        return job

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopped or (len(self._waiting) > 0 and not self._stuck()))
                if self._stopped:
                    left = list(self._waiting)
                    self._waiting.clear()
                    break
                bindings, callback, job = self._waiting.popleft()
            self._end(self._one(bindings), callback, job)
        for _, callback, job in left:
            self._end(ABORTED, callback, job)

    def _stuck(self) -> bool:
        return SETTINGS.hangs and self._runs >= SETTINGS.good_runs

    def _one(self, bindings: list[Any]) -> int:
        time.sleep(SETTINGS.delay_ms / 1000)
        if self._status or (SETTINGS.run_status and self._runs >= SETTINGS.good_runs):
            self._status = self._status or SETTINGS.run_status
            return self._status
        self._runs += 1
        for each in bindings:
            picture = each.input()._buffer
            for place in each._outputs.values():
                raw = self._network.answer(picture, place._stream._stream, place._stream.format.type)
                place._buffer.reshape(-1)[: raw.size] = raw.ravel()
        return 0

    def _end(self, status: int, callback: Callable[..., None] | None, job: AsyncInferJob) -> None:
        job._status = status
        if callback:
            callback(completion_info=AsyncInferCompletionInfo(_errors.of(status) if status else None))
        with self._changed:
            self._flying -= 1
            self._changed.notify_all()
        job._ended.set()
