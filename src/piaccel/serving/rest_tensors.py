"""Requests and responses of ``/infer`` as bytes: JSON, and the binary tensor extension.

Sources: kserve/open-inference-protocol, specification/protocol/inference_rest.md; triton-inference-server/server,
docs/protocol/extension_binary_data.md, extension_classification.md, extension_schedule_policy.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain
from math import prod
from typing import Annotated, Any, TypeVar

import msgspec
import numpy as np

from piaccel.errors import ServiceError
from piaccel.serving import datatypes
from piaccel.serving.messages import Bytes, Request, Response, Tensor, Wish
from piaccel.tensors import Array

MAX_TENSORS = 256
MAX_RANK = 16
_Name = Annotated[str, msgspec.Meta(max_length=256)]
_Size = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_T = TypeVar("_T")
_OPENING = re.compile(rb"[\[ \t\r\n]*")
_NOTHING = msgspec.Raw(b"")


class _InputParameters(msgspec.Struct):
    binary_data_size: _Size | None = None
    shared_memory_region: str | None = None


class _Input(msgspec.Struct):
    name: _Name
    shape: Annotated[list[_Size], msgspec.Meta(max_length=MAX_RANK)]
    datatype: _Name
    parameters: _InputParameters | None = None
    data: msgspec.Raw = _NOTHING


class _OutputParameters(msgspec.Struct):
    binary_data: bool | None = None
    classification: _Size = 0
    shared_memory_region: str | None = None


class _Output(msgspec.Struct):
    name: _Name
    parameters: _OutputParameters | None = None


class _Parameters(msgspec.Struct):
    binary_data_output: bool = False
    timeout: _Size = 0
    priority: _Size = 0
    sequence_id: int | str = 0


class _Document(msgspec.Struct):
    inputs: Annotated[list[_Input], msgspec.Meta(max_length=MAX_TENSORS)]
    id: Annotated[str, msgspec.Meta(max_length=1024)] = ""
    parameters: _Parameters | None = None
    outputs: Annotated[list[_Output], msgspec.Meta(max_length=MAX_TENSORS)] = []


_DECODER = msgspec.json.Decoder(_Document)
_encode = msgspec.json.Encoder().encode


class Form:
    """How the answer to a request is to be written: which outputs binary."""

    __slots__ = ("binary", "each", "timeout_us")

    def __init__(self, binary: bool, each: Mapping[str, bool], timeout_us: int = 0) -> None:
        self.binary = binary
        self.each = each
        self.timeout_us = timeout_us


_BINARY = Form(True, {})


def decode(model: str, version: str, body: bytes, header_length: int | None) -> tuple[Request, Form]:
    """Read a request. ``header_length`` is what ``Inference-Header-Content-Length`` says, None without it (then the
    body is JSON, whatever its content type: tritonclient sends none). Raises ServiceError."""
    if header_length is None:
        text: Bytes = body
        blobs = memoryview(b"")
    elif 0 < header_length <= len(body):
        view = memoryview(body)
        text, blobs = view[:header_length], view[header_length:]
    else:
        raise _bad(f"Inference-Header-Content-Length is {header_length}, the body has {len(body)} bytes")
    document = parsed(_DECODER, text)
    asked = document.parameters or _Parameters()
    if asked.sequence_id:
        raise ServiceError("unsupported", "sequences are not offered: every request stands alone")
    inputs, begin = [], 0
    for each in document.inputs:
        tensor, begin = _tensor(each, blobs, begin)
        inputs.append(tensor)
    if begin != len(blobs):
        raise _bad(f"{len(blobs) - begin} bytes of the body belong to no input: see binary_data_size")
    wishes, forms = [], {}
    for wanted in document.outputs:
        wish = Wish(wanted.name)
        if wanted.parameters is not None:
            _no_shared_memory(wanted.parameters.shared_memory_region)
            wish.classification = wanted.parameters.classification
            if wanted.parameters.binary_data is not None:
                forms[wanted.name] = wanted.parameters.binary_data
        wishes.append(wish)
    request = Request(
        model=model, version=version, id=document.id, inputs=inputs, outputs=wishes, priority=asked.priority
    )
    return request, Form(asked.binary_data_output, forms, asked.timeout)


def decode_raw(model: str, version: str, body: bytes, inputs: Sequence[Mapping[str, Any]]) -> tuple[Request, Form]:
    """Read a raw binary request (header length 0): the whole body is the data of the model's only input, whose
    description is in ``inputs``; a batch of one. Raises ServiceError."""
    if len(inputs) != 1:
        raise _bad(f"{model} has {len(inputs)} inputs: a raw binary request can only name one")
    name, datatype, shape = inputs[0]["name"], inputs[0]["datatype"], list(inputs[0]["shape"])
    if datatype == "BYTES":
        raise _bad(f"input {name!r} is BYTES: send it with a JSON header")
    free = [axis for axis, size in enumerate(shape) if size < 0]
    if len(free) > 1 and free[0] == 0:
        shape[0] = 1
        free = free[1:]
    if len(free) > 1:
        raise _bad(f"input {name!r} has several free dimensions: send it with a JSON header")
    if free:
        unit = datatypes.size_bytes(datatype, tuple(size for size in shape if size >= 0)) or 1
        shape[free[0]] = len(body) // unit
    tensor = Tensor(name, datatype, tuple(shape), body)
    _length_fits(tensor, len(body))
    return Request(model=model, version=version, inputs=[tensor]), _BINARY


def encode(response: Response, form: Form) -> tuple[int | None, list[Bytes]]:
    """Write a response: (length of the JSON header where a tensor is binary, the body's parts). Raises ServiceError
    for what JSON cannot say."""
    outputs, blobs = [], []
    for tensor in response.outputs:
        one: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
        if form.each.get(tensor.name, form.binary):
            one["parameters"] = {"binary_data_size": len(tensor.data)}
            blobs.append(tensor.data)
        else:
            one["data"] = _listed(tensor)
        outputs.append(one)
    document: dict[str, Any] = {"model_name": response.model, "model_version": response.version}
    if response.id:
        document["id"] = response.id
    if response.parameters:
        document["parameters"] = response.parameters
    document["outputs"] = outputs
    header = _encode(document)
    return (len(header), [header, *blobs]) if blobs else (None, [header])


def parsed(decoder: msgspec.json.Decoder[_T], text: Bytes) -> _T:
    """Decode JSON strictly: typed, no NaN, no lone surrogates. A key that is given twice: the last holds. Raises
    ServiceError with the place, never with what was sent."""
    try:
        return decoder.decode(text)
    except RecursionError:
        raise _bad("the JSON is nested too deeply") from None
    except UnicodeDecodeError:
        raise _bad("the JSON is not UTF-8") from None
    except ValueError as error:
        raise _bad(f"the JSON does not fit: {error}") from None


def _bad(message: str) -> ServiceError:
    return ServiceError("invalid_argument", message)


def _no_shared_memory(region: str | None) -> None:
    if region is not None:
        raise ServiceError("unsupported", "shared memory is not offered: send the tensor in the body")


def _tensor(given: _Input, blobs: memoryview, begin: int) -> tuple[Tensor, int]:
    """The tensor of an input, and where in ``blobs`` the next one begins."""
    if given.datatype not in datatypes.NAMES:
        raise _bad(f"input {given.name!r}: unknown datatype {given.datatype!r}")
    parameters, shape = given.parameters, tuple(given.shape)
    if parameters is not None:
        _no_shared_memory(parameters.shared_memory_region)
        if parameters.binary_data_size is not None:
            if len(given.data):
                raise _bad(f"input {given.name!r} has both data and binary_data_size")
            end = begin + parameters.binary_data_size
            if end > len(blobs):
                raise _bad(
                    f"input {given.name!r}: binary_data_size is {parameters.binary_data_size}, "
                    f"the body has {len(blobs) - begin} bytes left"
                )
            tensor = Tensor(given.name, given.datatype, shape, blobs[begin:end])
            _length_fits(tensor, end - begin)
            return tensor, end
    if not len(given.data):
        raise _bad(f"input {given.name!r} has no data")
    return Tensor(given.name, given.datatype, shape, _packed(given, shape)), begin


def _length_fits(tensor: Tensor, length: int) -> None:
    expected = datatypes.size_bytes(tensor.datatype, tensor.shape)
    if expected is None:
        _count_bytes(tensor, length)
    elif expected != length:
        raise _bad(
            f"input {tensor.name!r}: {tensor.datatype} {list(tensor.shape)} takes {expected} bytes, not {length}"
        )


def _count_bytes(tensor: Tensor, length: int) -> None:
    """Refuse BYTES whose elements do not add up to the blob."""
    count, at = prod(tensor.shape), 0
    if count * 4 <= length:
        for _ in range(count):
            at += 4 + int.from_bytes(tensor.data[at : at + 4], "little")
            if at > length:
                break
    if count * 4 > length or at != length:
        raise _bad(f"input {tensor.name!r}: the data are not {count} elements of BYTES (4-byte length, then bytes)")


def _packed(given: _Input, shape: tuple[int, ...]) -> Bytes:
    """The raw data of what JSON lists, flat or nested."""
    datatype = given.datatype
    if datatype in ("FP16", "BF16"):
        raise _bad(f"input {given.name!r}: {datatype} cannot be written as JSON: send it binary")
    if datatype == "BYTES":
        blob = bytearray()
        for text in _flat(given, shape, str):
            data = text.encode()
            blob += len(data).to_bytes(4, "little") + data
        return bytes(blob)
    if datatype == "BOOL":
        return bytes(_flat(given, shape, bool))
    dtype = datatypes.numpy_dtype(datatype)
    assert dtype is not None
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            array: Array = np.array(_flat(given, shape, float), np.float64).astype(dtype)
        if not np.isfinite(array).all():
            raise _bad(f"input {given.name!r} has a number beyond {datatype}")
        return array.tobytes()
    numbers = _flat(given, shape, int)
    try:
        if datatype == "UINT8":
            return bytes(numbers)
        limits = np.iinfo(dtype)  # type: ignore[type-var]
        if numbers and not (limits.min <= min(numbers) and max(numbers) <= limits.max):
            raise ValueError
        return np.array(numbers, dtype).tobytes()
    except ValueError:
        raise _bad(f"input {given.name!r} has a number beyond {datatype}") from None


def _flat(given: _Input, shape: tuple[int, ...], kind: type) -> list[Any]:
    """The elements of ``data`` in row-major order. What the text's commas and brackets say is compared with the shape
    before a list is made of it: 16 MB of empty lists would be 400 MB of Python's."""
    raw = bytes(memoryview(given.data))
    opening = _OPENING.match(raw)
    depth = opening[0].count(b"[") if opening else 0
    count = prod(shape)
    if depth not in (1, len(shape)) or not depth:
        raise _bad(f"input {given.name!r}: data is nested {depth} deep, the shape is {list(shape)}")
    if kind is not str:
        found = raw.count(b",") + 1 if raw.strip(b"[] \t\r\n") else 0
        lists = 1 if depth == 1 else 1 + sum(prod(shape[:axis]) for axis in range(1, depth))
        if count and (found != count or raw.count(b"[") != lists):
            raise _mismatch(given, shape, found)
    rows: list[Any] = parsed(_decoder(kind, depth), raw)
    if depth > 1:
        for size in shape[1:]:
            if any(len(row) != size for row in rows):
                raise _bad(f"input {given.name!r}: a row of the data does not fit shape {list(shape)}")
            rows = list(chain.from_iterable(rows))
    if len(rows) != count:
        raise _mismatch(given, shape, len(rows))
    return rows


def _mismatch(given: _Input, shape: tuple[int, ...], found: int) -> ServiceError:
    return _bad(f"input {given.name!r}: shape {list(shape)} is {prod(shape)} elements, the data are {found}")


@lru_cache(maxsize=64)
def _decoder(kind: type, depth: int) -> msgspec.json.Decoder[Any]:
    nested: Any = kind
    for _ in range(depth):
        nested = list[nested]
    return msgspec.json.Decoder(nested)


def _listed(tensor: Tensor) -> list[Any]:
    if tensor.datatype in ("FP16", "BF16"):
        raise _bad(f"output {tensor.name!r} is {tensor.datatype}, which JSON cannot say: ask for binary_data")
    if tensor.datatype == "BYTES":
        return _texts(tensor)
    array = tensor.array().reshape(-1)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ServiceError(
            "internal", f"output {tensor.name!r} has NaN or infinity, which JSON cannot say: ask for binary_data"
        )
    numbers: list[Any] = array.tolist()
    return numbers


def _texts(tensor: Tensor) -> list[str]:
    data, at, texts = bytes(tensor.data), 0, []
    while at < len(data):
        end = at + 4 + int.from_bytes(data[at : at + 4], "little")
        try:
            texts.append(data[at + 4 : end].decode())
        except UnicodeDecodeError:
            raise _bad(f"output {tensor.name!r} has bytes that are no UTF-8: ask for binary_data") from None
        at = end
    return texts
