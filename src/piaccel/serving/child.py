"""The process that holds a version: it answers one call after the other until the service lets go of it.

The imports up here are few on purpose: this process shall be small.
"""

from __future__ import annotations

import gc
import os
import pickle
import resource
import signal
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from piaccel import isolation
from piaccel.errors import InferenceError, PiaccelError
from piaccel.serving import memory, wire
from piaccel.serving.messages import Tensor
from piaccel.serving.runner import Facts, Opening
from piaccel.serving.slots import Slots, end_of
from piaccel.serving.wire import Answer, Ask

if TYPE_CHECKING:
    from piaccel.serving.host import Host

OUT_OF_MEMORY = 86
"""Exit status of a process that ran into its limit."""

_OOM_SCORE = 500
NO_ROOM = (
    "cannot allocate memory",  # ENOMEM, and the dynamic linker's words (glibc, dl-load.c) up to the protection
    "failed to map segment",
    "cannot map zero-fill pages",
    "cannot create shared object descriptor",
    "cannot apply additional memory protection",
    "bad_alloc",  # what C++ runtimes write before they abort
    "memoryerror",
)
"""How those say it that have no room left, in lower case."""
_LAST_BYTES = 2 << 20
"""A process with less than this left is out of memory: Python takes one MiB at a time (its arenas)."""


def serve(connection_fd: int, slots_fd: int) -> None:
    """The child's whole life (``isolation.Child``)."""
    isolation.settle()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # systemd sends it to all; the service ends us when it has drained
    for fd in (connection_fd, slots_fd):
        os.set_inheritable(fd, False)  # the service learns of our end from the socket: nobody else may hold it
    Path("/proc/self/comm").write_text("piaccel-model", encoding="ascii")
    _give_way()
    connection, slots, buffer = socket.socket(fileno=connection_fd), Slots(slots_fd), bytearray(wire.MAX_BYTES)
    desk = _Desk()
    while size := connection.recv_into(buffer):
        ask = wire.decode_ask(memoryview(buffer)[:size])
        begun = time.perf_counter_ns()
        try:
            what, tensors = desk.answer(ask, slots.view(ask.places))
            worked_ns = time.perf_counter_ns() - begun
            told = wire.encode(Answer(ask.number, what, slots.put(tensors, end_of(ask.places)), worked_ns))
        except MemoryError:
            os._exit(OUT_OF_MEMORY)
        except Exception as error:  # noqa: BLE001 - whatever it is, the service has to hear of it
            if _starved(error):
                os._exit(OUT_OF_MEMORY)
            worked_ns = time.perf_counter_ns() - begun
            told = wire.encode(Answer(ask.number, "error", slots.put([pickled(_sendable(error))]), worked_ns))
        connection.send(told)


def _give_way() -> None:
    """When memory runs out, the kernel shall rather end this process than the service (proc(5), oom_score_adj)."""
    score = Path("/proc/self/oom_score_adj")
    if int(score.read_text(encoding="ascii")) < _OOM_SCORE:  # less than it is may not be asked for
        score.write_text(str(_OOM_SCORE), encoding="ascii")


def _starved(error: BaseException | None) -> bool:
    """Whether it is the limit that speaks: where memory ends, Python and the runtimes raise all sorts of errors."""
    while error is not None:
        if isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in NO_ROOM):
            return True
        cause = error.__cause__ or error.__context__
        if cause is None and not isinstance(error, PiaccelError):
            limit_bytes, _ = resource.getrlimit(resource.RLIMIT_DATA)
            return limit_bytes != resource.RLIM_INFINITY and memory.allocated_bytes() > limit_bytes - _LAST_BYTES
        error = cause
    return False


class _Desk:
    """Where calls are answered."""

    def __init__(self) -> None:
        self._host: Host | None = None

    def answer(self, ask: Ask, given: Sequence[Tensor]) -> tuple[Any, list[Tensor]]:
        if ask.what == "open":
            return "value", [pickled(self._open(*unpickled(given[0])))]
        assert self._host is not None
        if ask.what == "infer":
            outputs = self._host.infer({tensor.name: tensor.array() for tensor in given})
            wanted = ask.wanted
            return "tensors", [
                Tensor.of(name, array) for name, array in outputs.items() if not wanted or name in wanted
            ]
        if ask.what == "predict":
            picture = self._host.predict(given[0].data, ask.annotate)
            told = msgspec.msgpack.encode((picture.result, picture.times_ms))
            drawn = [] if picture.drawn is None else [_blob("drawn", picture.drawn)]
            return "picture", [_blob("result", told), *drawn]
        if ask.what == "weigh":
            return "value", [pickled(self._host.weigh(unpickled(given[0])))]
        return "value", [pickled(self._host.check(unpickled(given[0])))]

    def _open(self, opening: Opening, limit_bytes: int | None) -> Facts:
        if limit_bytes is not None:
            resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes))
        from piaccel.serving.host import Host

        self._host = Host(opening, alone=True)
        self._host.warm_up()
        gc.collect()
        gc.freeze()  # what stays for good need not be looked at again
        memory.trim()
        return replace(self._host.facts, memory_bytes=memory.own_bytes())


def pickled(value: object) -> Tensor:
    """For what is rare: only this process and the service have the socket and the memory."""
    return _blob("", pickle.dumps(value))


def unpickled(tensor: Tensor) -> Any:
    return pickle.loads(tensor.data)


def _blob(name: str, data: bytes) -> Tensor:
    return Tensor(name, "UINT8", (len(data),), data)


def _sendable(error: Exception) -> PiaccelError:
    if isinstance(error, PiaccelError):
        return error
    sys.stderr.write(f"{error!r}\n")
    return InferenceError(f"{type(error).__name__}: {' '.join(str(error).split())}")
