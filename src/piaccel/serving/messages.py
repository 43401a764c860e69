"""What a transport hands to the service and gets back, the same for REST and gRPC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from piaccel.serving import datatypes
from piaccel.tensors import Array

Bytes = bytes | bytearray | memoryview


@dataclass(slots=True)
class Tensor:
    """A tensor of a request or a response; ``data`` is raw, little-endian, row-major (BYTES: 4-byte length + bytes)."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: Bytes

    @classmethod
    def of(cls, name: str, array: Array) -> Tensor:
        """The tensor that holds ``array``; no copy where it is contiguous and little-endian."""
        array = np.ascontiguousarray(array)
        if array.dtype.byteorder == ">":
            array = array.astype(array.dtype.newbyteorder("<"))
        data = array.reshape(-1).view(np.uint8).data if array.size else b""
        return cls(name, datatypes.name_of(array.dtype), array.shape, data)

    def array(self) -> Array:
        """A read-only view as NumPy; the datatype must have a dtype and the length must fit."""
        dtype = datatypes.numpy_dtype(self.datatype)
        assert dtype is not None
        return np.frombuffer(self.data, dtype).reshape(self.shape)


@dataclass(slots=True)
class Wish:
    """An output that the request names; ``classification`` asks for that many classes instead of the numbers."""

    name: str
    classification: int = 0


@dataclass(slots=True, kw_only=True)
class Request:
    """One inference; the tensors' lengths were compared with their shapes by the transport."""

    model: str
    version: str = ""
    """A version, a label such as "canary", or "" for whoever serves."""
    id: str = ""
    inputs: list[Tensor] = field(default_factory=list)
    outputs: list[Wish] = field(default_factory=list)
    """Empty: all."""
    deadline_ns: int | None = None
    """CLOCK_MONOTONIC; None for the model's own."""
    priority: int = 0
    """1 is the highest, 0 the model's default (schedule policy extension)."""
    trace: Mapping[str, str] = field(default_factory=dict)
    """The caller's trace headers (traceparent), for OpenTelemetry."""


@dataclass(slots=True)
class Response:
    """The answer to a Request."""

    model: str
    version: str
    id: str
    outputs: list[Tensor]
    parameters: dict[str, Any] = field(default_factory=dict)
    """Who answered: variant, backend."""
    times_ms: dict[str, float] = field(default_factory=dict)
    """queue, infer; for traces."""


@dataclass(slots=True, kw_only=True)
class PictureRequest:
    """A picture's file as it is, for the task's result."""

    model: str
    version: str = ""
    id: str = ""
    image: Bytes = b""
    annotate: bool = False
    """Return the picture with the result drawn on it, as JPEG."""
    deadline_ns: int | None = None
    priority: int = 0
    trace: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class PictureResponse:
    """The answer to a PictureRequest; ``result`` is ``piaccel.tasks.Result.to_dict()``."""

    model: str
    version: str
    id: str
    result: dict[str, Any]
    picture: bytes | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    times_ms: dict[str, float] = field(default_factory=dict)
    """decode, pre, infer, post, queue."""
