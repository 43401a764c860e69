"""A version in a process of its own: its crash is a reported result, and its end gives all its memory back."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from piaccel.errors import CrashError, HangError, PiaccelError
from piaccel.isolation import Child
from piaccel.serving import wire
from piaccel.serving.child import NO_ROOM, OUT_OF_MEMORY, pickled, unpickled
from piaccel.serving.messages import Bytes, Tensor
from piaccel.serving.runner import GoldenCheck, Opening, Picture, Runner, Weighing
from piaccel.serving.slots import Slots
from piaccel.serving.wire import Answer, Ask

LOAD_S = 300.0
"""Longest silence while the network is loaded: some runtimes compile for minutes on a small board."""
_WHEN = {"": "between two calls", "open": "while it loaded"}


PATIENCE_S = 5.0
"""So long a process that is only looked at waits for time that nobody else wants."""
NICE = 10
"""What it gets then: about a tenth of what the others get (sched(7))."""


class ProcessRunner(Runner):
    """Made by ``open``. Calls wait for one another; a call that is given up is finished and its answer discarded."""

    def __init__(self, opening: Opening, hang_s: float, memory_limit_bytes: int | None) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._slots = Slots.create()
        env = {"OPENBLAS_NUM_THREADS": "1"}  # NumPy's own: nothing here multiplies matrices with it
        if opening.threads is not None:
            env["OPENCV_FOR_THREADS_NUM"] = str(opening.threads)
        try:
            self._child = Child("piaccel.serving.child:serve", [theirs.fileno(), self._slots.fd], env)
        except BaseException:
            ours.close()
            self._slots.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)
        self._connection = ours
        self._buffer = bytearray(wire.MAX_BYTES)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(ours.fileno(), self._hear)
        self._hang_s = hang_s
        self._limit_bytes = memory_limit_bytes
        self._idle = False
        self._patience = self._loop.call_later(0, lambda: None)
        self._number = 0
        self.worked_ns = 0
        """How long the process itself worked on the last call."""
        self._doing = ""
        self._answer: asyncio.Future[Any] = self._loop.create_future()
        self._alarm = self._loop.call_later(0, lambda: None)
        self._free = asyncio.Event()
        self._free.set()
        self._fault: PiaccelError | None = None
        self._gone = asyncio.Event()

    @classmethod
    async def open(
        cls, opening: Opening, *, hang_s: float, idle: bool = False, memory_limit_bytes: int | None = None
    ) -> ProcessRunner:
        """Start the process, load and warm up; raises what ``piaccel.load`` raises, CrashError, HangError.

        ``idle`` lets it run only when nobody else wants to, until ``prioritize``; after ``PATIENCE_S`` it gets a tenth
        of a core all the same: a board that is always busy would never load it. ``memory_limit_bytes`` is for what
        it allocates (RLIMIT_DATA): files that are only mapped do not count, and no allocation slips through as it
        would between two looks at its resident memory.
        """
        runner = cls(opening, hang_s, memory_limit_bytes)
        try:
            if idle:
                runner._yield_to_others()
            runner.facts = await runner._call("open", [pickled((opening, memory_limit_bytes))], timeout_s=LOAD_S)
        except BaseException:
            await runner.close()
            raise
        return runner

    @property
    def pid(self) -> int | None:
        return self._child.pid

    @property
    def alive(self) -> bool:
        return self._fault is None

    async def infer(self, inputs: Sequence[Tensor], wanted: Sequence[str] = ()) -> list[Tensor]:
        outputs: list[Tensor] = await self._call("infer", inputs, wanted=wanted)
        return outputs

    async def predict(self, image: Bytes, *, annotate: bool = False) -> Picture:
        file = Tensor("", "UINT8", (len(image),), image)
        picture: Picture = await self._call("predict", [file], annotate=annotate)
        return picture

    async def check(self, samples: Path | None = None) -> GoldenCheck:
        found: GoldenCheck = await self._call("check", [pickled(samples)], timeout_s=LOAD_S)
        return found

    async def weigh(self, most: int) -> Weighing | None:
        found: Weighing | None = await self._call("weigh", [pickled(most)], timeout_s=LOAD_S)
        return found

    async def prioritize(self) -> bool:
        """Lift a process that was opened ``idle``; False without CAP_SYS_NICE or a high RLIMIT_NICE (sched(7))."""
        if not self._idle:
            return True
        self._patience.cancel()
        self._idle = not self._lift(0)
        return not self._idle

    def _yield_to_others(self) -> None:
        self._idle = True
        if _may_lift():
            os.sched_setscheduler(self._pid(), os.SCHED_IDLE, os.sched_param(0))
            self._patience = self._loop.call_later(PATIENCE_S, self._lift, NICE)
        else:
            os.setpriority(os.PRIO_PROCESS, self._pid(), NICE)

    def _lift(self, nice: int) -> bool:
        try:
            for thread in map(int, os.listdir(f"/proc/{self._pid()}/task")):  # the policy is each thread's own
                os.setpriority(os.PRIO_PROCESS, thread, nice)
                os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))
        except (PermissionError, ProcessLookupError, FileNotFoundError, CrashError):
            return False  # not allowed, or it ended meanwhile: the next call says so
        return True

    async def close(self) -> None:
        self._patience.cancel()
        if self._fault is None:
            self._fault = CrashError("the version was closed")
            self.on_exit = None
            self._child.kill()
        await self._gone.wait()

    def _pid(self) -> int:
        pid = self.pid
        if pid is None:
            raise self._fault or CrashError("the version's process ended at once")
        return pid

    async def _call(
        self,
        what: str,
        tensors: Sequence[Tensor],
        *,
        wanted: Sequence[str] = (),
        annotate: bool = False,
        timeout_s: float | None = None,
    ) -> Any:
        while not self._free.is_set():  # somebody gave a call up: its answer is still to come
            await self._free.wait()
        if self._fault is not None:
            raise self._fault
        ask = Ask(self._number + 1, what, self._slots.put(tensors), list(wanted), annotate)  # type: ignore[arg-type]
        message = wire.encode(ask)
        self._number = ask.number
        self._doing = what
        self._answer = self._loop.create_future()
        self._alarm = self._loop.call_later(timeout_s or self._hang_s, self._hung, timeout_s or self._hang_s)
        self._free.clear()
        try:
            self._connection.send(message)
        except (BrokenPipeError, ConnectionResetError):
            self._ended()
        return await self._answer

    def _hear(self) -> None:
        """The socket has an answer, or its other end is gone."""
        try:
            size = self._connection.recv_into(self._buffer)
        except BlockingIOError:  # a loop may call once more than there is something to hear
            return
        except ConnectionResetError:
            size = 0
        if not size:
            self._ended()
            return
        answer = wire.decode_answer(memoryview(self._buffer)[:size])
        if answer.number != self._number or self._free.is_set():
            return
        self._alarm.cancel()
        self.worked_ns = answer.worked_ns
        self._doing = ""
        if not self._answer.done():  # else whoever asked has gone
            try:
                self._answer.set_result(self._taken(answer))
            except PiaccelError as error:
                self._answer.set_exception(error)
        self._free.set()

    def _taken(self, answer: Answer) -> Any:
        tensors = self._slots.take(answer.places)
        if answer.what == "error":
            raise unpickled(tensors[0])
        if answer.what == "tensors":
            return tensors
        if answer.what == "value":
            return unpickled(tensors[0])
        result, times_ms = msgspec.msgpack.decode(tensors[0].data)
        return Picture(result, bytes(tensors[1].data) if len(tensors) > 1 else None, times_ms)

    def _hung(self, timeout_s: float) -> None:
        self._fault = HangError(f"the version's process did not answer within {timeout_s:g} s and was ended")
        self._fail(self._fault)
        self._child.kill()

    def _ended(self) -> None:
        """The process is gone, or is just going."""
        if self._gone.is_set():
            return
        self._loop.remove_reader(self._connection.fileno())
        self._connection.close()
        self._alarm.cancel()
        fate, words = self._child.wait(), self._child.last_words()
        self._child.close()
        self._slots.close()
        if self._fault is None:
            when = _WHEN.get(self._doing, "while it answered")
            hint = words.splitlines()[-1] if words else ""
            self._fault = CrashError(f"the version's process ended {when}: {self._cause(fate, words)}", hint=hint)
        self._fail(self._fault)
        self._free.set()
        self._gone.set()
        if self.on_exit is not None:
            self.on_exit(self._fault)

    def _cause(self, fate: str, words: str) -> str:
        limit = "" if self._limit_bytes is None else f", its limit is {self._limit_bytes >> 20} MiB"
        if fate == f"exit status {OUT_OF_MEMORY}" or any(sign in words.lower() for sign in NO_ROOM):
            return f"out of memory{limit} ({fate})"
        return f"{fate} (the kernel does this when memory runs out)" if fate == "SIGKILL" else fate

    def _fail(self, error: PiaccelError) -> None:
        if not self._answer.done() and not self._free.is_set():
            self._answer.set_exception(error)


def _may_lift() -> bool:
    """Whether a process that was put behind all others may be taken back from there (getrlimit(2), RLIMIT_NICE)."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NICE)
    return os.geteuid() == 0 or limit >= 20 or limit == resource.RLIM_INFINITY
