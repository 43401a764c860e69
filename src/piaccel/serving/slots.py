"""Memory that the service and a version's process have both mapped: tensors travel through it.

It has no name, so nobody else can open it, and the kernel frees it when both are gone, however they end.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Sequence

import msgspec

from piaccel.errors import InputError
from piaccel.serving.messages import Bytes, Tensor

LIMIT_BYTES = 512 << 20
"""A request and its answer together may not be larger."""
_STEP = 1 << 16
"""It grows by multiples of this: whole pages, whatever their size (16 KiB on a Pi 5)."""
_ALIGNMENT = 64


class Place(msgspec.Struct, array_like=True, frozen=True):
    """Where a tensor lies."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    offset: int
    size: int


class Slots:
    """One mapping; the other process holds another ``Slots`` on the same descriptor. The two take turns in writing."""

    def __init__(self, fd: int) -> None:
        """Takes the descriptor over."""
        self.fd = fd
        self._bytes = memoryview(b"")

    @classmethod
    def create(cls) -> Slots:
        fd = os.memfd_create("piaccel", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        # A process that has gone mad must not be able to shrink it: the service would die of SIGBUS.
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        return cls(fd)

    def put(self, tensors: Sequence[Tensor], after: int = 0) -> list[Place]:
        """Copy tensors in, from byte ``after`` on. Raises InputError for more than LIMIT_BYTES."""
        places = []
        for tensor in tensors:
            size = _length(tensor.data)
            places.append(Place(tensor.name, tensor.datatype, tuple(tensor.shape), after, size))
            after = aligned(after + size)
        self._reserve(after)
        for tensor, place in zip(tensors, places, strict=True):
            self._bytes[place.offset : place.offset + place.size] = tensor.data
        return places

    def view(self, places: Sequence[Place]) -> list[Tensor]:
        """The tensors at these places, without a copy: good until the other process writes again."""
        self._reserve(end_of(places))
        return [
            Tensor(place.name, place.datatype, place.shape, self._bytes[place.offset : place.offset + place.size])
            for place in places
        ]

    def take(self, places: Sequence[Place]) -> list[Tensor]:
        """Copies of the tensors at these places."""
        tensors = self.view(places)
        for tensor in tensors:
            tensor.data = bytes(tensor.data)
        return tensors

    def close(self) -> None:
        """Idempotent."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        self._bytes = memoryview(b"")

    def _reserve(self, size: int) -> None:
        """Map at least so much, growing it where the other process has not done so."""
        if size <= len(self._bytes):
            return
        if size > LIMIT_BYTES:
            raise InputError(f"{size} bytes at once are too many", hint=f"at most {LIMIT_BYTES} bytes")
        wanted = max(-(-size // _STEP) * _STEP, os.fstat(self.fd).st_size)
        os.posix_fallocate(self.fd, 0, wanted)  # now, so that a lack of memory is an error here and no SIGBUS later
        self._bytes = memoryview(mmap.mmap(self.fd, wanted))


def end_of(places: Sequence[Place]) -> int:
    """The first aligned byte after all of them."""
    return aligned(max((place.offset + place.size for place in places), default=0))


def aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _length(data: Bytes) -> int:
    return data.nbytes if isinstance(data, memoryview) else len(data)
