"""A version in a thread of the service: the smallest way, for boards with 512 MB. A native crash ends the service."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from piaccel.errors import CrashError
from piaccel.serving import memory
from piaccel.serving.host import Host, feeds_of
from piaccel.serving.messages import Bytes, Tensor
from piaccel.serving.runner import GoldenCheck, Opening, Picture, Runner, Weighing


class InlineRunner(Runner):
    """Made by ``open``. One thread: runtimes let go of the interpreter's lock while they compute."""

    def __init__(self, host: Host, thread: ThreadPoolExecutor) -> None:
        self._host: Host | None = host
        self._thread = thread
        self.facts = host.facts

    @classmethod
    async def open(cls, opening: Opening) -> InlineRunner:
        """Load and warm up; raises what ``piaccel.load`` raises."""
        thread = ThreadPoolExecutor(1, thread_name_prefix="piaccel-model")
        loop = asyncio.get_running_loop()
        try:
            host = await loop.run_in_executor(thread, Host, opening)
            await loop.run_in_executor(thread, host.warm_up)
        except BaseException:
            thread.shutdown(wait=False)
            raise
        return cls(host, thread)

    @property
    def pid(self) -> int | None:
        return None

    @property
    def alive(self) -> bool:
        return self._host is not None

    async def infer(self, inputs: Sequence[Tensor], wanted: Sequence[str] = ()) -> list[Tensor]:
        host = self._open()

        def run() -> list[Tensor]:
            outputs = host.infer(feeds_of(host.facts, [tensor.array() for tensor in inputs]))
            return [Tensor.of(name, array) for name, array in outputs.items() if not wanted or name in wanted]

        return await asyncio.get_running_loop().run_in_executor(self._thread, run)

    async def predict(self, image: Bytes, *, annotate: bool = False) -> Picture:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._open().predict, image, annotate)

    async def check(self, samples: Path | None = None) -> GoldenCheck:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._open().check, samples)

    async def weigh(self, most: int) -> Weighing | None:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._open().weigh, most)

    async def close(self) -> None:
        host, self._host = self._host, None
        if host is None:
            return
        await asyncio.get_running_loop().run_in_executor(self._thread, host.close)
        del host
        self._thread.shutdown(wait=False)
        memory.trim()

    def _open(self) -> Host:
        if self._host is None:
            raise CrashError("the version was closed")
        return self._host
