"""A model whose network runs in a process of its own: a runtime that crashes or hangs costs a frame, not the program.

Tensors go through memory that both processes have mapped, calls over a pipe. The memory has no name: the kernel frees
it when both are gone, however they end, and the child ends with its parent.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from piaccel import models
from piaccel.backends import CameraSession, Placement, Session
from piaccel.bundles import Bundle, Variant
from piaccel.errors import CrashError, HangError, OptionError
from piaccel.isolation import Worker
from piaccel.tensors import Array, TensorSpec

LOAD_S = 300.0
"""Longest silence while the network is loaded: some runtimes compile for minutes on a small board."""
HANG_S = 30.0
"""A run that takes longer is taken for hung, and its process is ended."""
_ALIGNMENT = 64
_UNKNOWN = "unknown"
_UNKNOWN_BYTES = 8 << 20
"""Room for outputs whose shapes are not known before the first run; larger ones go over the pipe."""


@dataclass(frozen=True)
class _Facts:
    """What the parent has to know of the child's session."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    placement: Placement | None


class ApartSession(Session):
    """``models.open_session`` in a child process; raises what that does, and CrashError or HangError.

    After a crash or a hang the next ``run`` starts a new child; whoever calls decides how soon that is.
    """

    def __init__(
        self,
        bundle: Bundle,
        variant: Variant,
        backend: str,
        *,
        threads: int | None = None,
        options: Iterable[str] = (),
        size: tuple[int, int] | None = None,
        hang_s: float = HANG_S,
    ) -> None:
        self._asked = (bundle, variant, backend, threads, tuple(options), size)
        self._path = variant.path
        self._hang_s = hang_s
        self._worker = Worker()
        self._memory: _Memory | None = None
        self._start()

    @property
    def pid(self) -> int | None:
        """The child's process id, None while there is none."""
        return self._worker.pid

    def _start(self) -> None:
        try:
            facts: _Facts = self._worker.call("piaccel.apart:open_here", *self._asked, timeout=LOAD_S)
        except CrashError as error:
            raise CrashError(f"{self._path}: it ended its process while it loaded: {_cause(error)}") from error
        self.inputs, self.outputs, self.placement = facts.inputs, facts.outputs, facts.placement
        if self._memory is None:
            self._memory = _Memory.shared(facts)
        self._worker.call("piaccel.apart:share_here", os.getpid(), self._memory.fd, self._memory.split, timeout=LOAD_S)

    def _run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        if fate := self._worker.fate:  # between two runs
            self._worker.close()
            raise CrashError(f"{self._path}: the runtime ended its process: {fate}")
        if self._worker.pid is None:
            self._start()
        assert self._memory is not None
        for place, spec in zip(self._memory.inputs(self.inputs, feeds), self.inputs, strict=True):
            np.copyto(place, feeds[spec.name])
        shapes = {spec.name: feeds[spec.name].shape for spec in self.inputs}
        try:
            told = self._worker.call("piaccel.apart:run_here", shapes, timeout=self._hang_s)
        except CrashError as error:
            cause = (self._worker.ended if _cause(error) == _UNKNOWN else "") or _cause(error)
            raise CrashError(f"{self._path}: the runtime ended its process: {cause}", hint=error.hint) from error
        except HangError as error:
            raise HangError(f"{self._path}: no answer within {self._hang_s:g} s; its process was ended") from error
        return {
            name: found if isinstance(found, np.ndarray) else self._memory.at(*found).copy()
            for name, found in told.items()
        }

    def _close(self) -> None:
        self._worker.close()
        if self._memory is not None:
            self._memory.close()


class _Memory:
    """Memory of two processes: inputs first, from ``split`` on outputs."""

    def __init__(self, fd: int, split: int, size: int) -> None:
        self.fd, self.split = fd, split
        self._map = mmap.mmap(fd, size)
        self._bytes = np.frombuffer(self._map, np.uint8)
        self._size = size

    @classmethod
    def shared(cls, facts: _Facts) -> _Memory:
        split = sum(map(_room, facts.inputs))
        size = split + sum(map(_room, facts.outputs))
        fd = os.memfd_create("piaccel-tensors", os.MFD_CLOEXEC)
        os.ftruncate(fd, size)
        return cls(fd, split, size)

    def inputs(self, specs: Sequence[TensorSpec], feeds: Mapping[str, Any]) -> list[Array]:
        """The inputs' places, one after the other; ``feeds`` has arrays or shapes by name."""
        offset, places = 0, []
        for spec in specs:
            shape = getattr(feeds[spec.name], "shape", feeds[spec.name])
            places.append(self.at(offset, spec.dtype.str, shape))
            offset += _room(spec)
        return places

    def at(self, offset: int, dtype: str, shape: tuple[int, ...]) -> Array:
        kind = np.dtype(dtype)
        size = kind.itemsize * int(np.prod(shape, dtype=np.int64))
        return self._bytes[offset : offset + size].view(kind).reshape(shape)

    def put(self, outputs: Mapping[str, Array]) -> dict[str, Any]:
        """Write outputs one after the other; return where each lies, or the array itself where there is no room."""
        offset = self.split
        told: dict[str, Any] = {}
        for name, array in outputs.items():
            if offset + array.nbytes > self._size or not array.dtype.isnative or array.dtype.hasobject:
                told[name] = np.asarray(array)
                continue
            self.at(offset, array.dtype.str, array.shape)[...] = array
            told[name] = (offset, array.dtype.str, array.shape)
            offset += _aligned(array.nbytes)
        return told

    def close(self) -> None:
        self._bytes = np.empty(0, np.uint8)
        self._map.close()
        os.close(self.fd)


def open_model(
    bundle: Bundle,
    variant: Variant,
    backend: str,
    *,
    threads: int | None = None,
    options: Iterable[str] = (),
    why: str = "",
    hang_s: float = HANG_S,
    **overrides: Any,
) -> models.Model:
    """Do what ``models.open_model`` does, with the network in a process of its own."""
    given = models.Overrides(**overrides)
    session = ApartSession(bundle, variant, backend, threads=threads, options=options, size=given.size, hang_s=hang_s)
    try:
        return models.Model(bundle, variant, backend, session, given, threads=threads, why=why)
    except BaseException:
        session.close()
        raise


_session: Session | None = None
_memory: _Memory | None = None


def open_here(
    bundle: Bundle,
    variant: Variant,
    backend: str,
    threads: int | None,
    options: tuple[str, ...],
    size: tuple[int, int] | None,
) -> _Facts:
    """In the child: load the network."""
    global _session
    _session = models.open_session(bundle, variant, backend, threads=threads, options=options, size=size)
    if isinstance(_session, CameraSession):
        _session.close()
        raise OptionError(f"{backend} has a camera of its own: it cannot run in a process of its own")
    return _Facts(_session.inputs, _session.outputs, _session.placement)


def share_here(parent: int, fd: int, split: int) -> None:
    """In the child: map the parent's memory."""
    global _memory
    own = os.open(f"/proc/{parent}/fd/{fd}", os.O_RDWR | os.O_CLOEXEC)
    _memory = _Memory(own, split, os.fstat(own).st_size)


def run_here(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """In the child: run on what lies in the memory, and tell where the outputs lie."""
    if _session is None or _memory is None:  # a child that was started in place of one that had just ended
        raise CrashError(f"the process ended before it was asked: {_UNKNOWN}")
    places = _memory.inputs(_session.inputs, shapes)
    return _memory.put(_session.run({spec.name: place for spec, place in zip(_session.inputs, places, strict=True)}))


def _room(spec: TensorSpec) -> int:
    if None in spec.shape:
        return _UNKNOWN_BYTES
    return _aligned(spec.dtype.itemsize * int(np.prod([size or 1 for size in spec.shape], dtype=np.int64)))


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _cause(error: CrashError) -> str:
    """ "SIGSEGV" of "piaccel.apart:run_here ended its process: SIGSEGV"."""
    return str(error).rpartition(": ")[2]
