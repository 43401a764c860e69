"""``ModelInfer``'s messages, read and written.

Sources: kserve/open-inference-protocol, specification/protocol/inference_grpc.md; triton-inference-server/server,
docs/protocol/extension_classification.md, extension_schedule_policy.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from piaccel.errors import ServiceError
from piaccel.serving import datatypes
from piaccel.serving.grpc_messages import message
from piaccel.serving.messages import Bytes, Request, Response, Tensor, Wish
from piaccel.serving.rest_tensors import MAX_RANK, MAX_TENSORS

_FIELDS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def decode(given: Any) -> tuple[Request, int]:
    """The request in a ModelInferRequest, and its ``timeout`` in us (0 without). Raises ServiceError."""
    if len(given.inputs) > MAX_TENSORS or len(given.outputs) > MAX_TENSORS:
        raise _bad(f"more than {MAX_TENSORS} tensors")
    raw = given.raw_input_contents
    if raw and len(raw) != len(given.inputs):
        raise _bad(f"raw_input_contents has {len(raw)} entries for {len(given.inputs)} inputs")
    inputs = [_tensor(each, raw[index] if raw else None) for index, each in enumerate(given.inputs)]
    asked = given.parameters
    if value(asked, "sequence_id"):
        raise ServiceError("unsupported", "sequences are not offered: every request stands alone")
    wishes = []
    for wanted in given.outputs:
        _no_shared_memory(wanted.parameters)
        wishes.append(Wish(wanted.name, _count(wanted.parameters, "classification")))
    request = Request(
        model=given.model_name,
        version=given.model_version,
        id=given.id,
        inputs=inputs,
        outputs=wishes,
        priority=_count(asked, "priority"),
    )
    return request, _count(asked, "timeout")


def encode(response: Response, *, raw: bool = True) -> Any:
    """The ModelInferResponse: raw where the client sent raw, or where a datatype has no typed field."""
    answer = message("ModelInferResponse")(model_name=response.model, model_version=response.version, id=response.id)
    for name, said in response.parameters.items():
        answer.parameters[name].string_param = str(said)
    raw = raw or any(tensor.datatype not in _FIELDS for tensor in response.outputs)
    for tensor in response.outputs:
        out = answer.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        if raw:
            answer.raw_output_contents.append(bytes(tensor.data))
        else:
            elements = _strings(tensor.data) if tensor.datatype == "BYTES" else tensor.array().reshape(-1).tolist()
            getattr(out.contents, _FIELDS[tensor.datatype]).extend(elements)
    return answer


def value(parameters: Mapping[str, Any], name: str) -> Any:
    """A parameter's value, None without one."""
    if name not in parameters:
        return None
    which = parameters[name].WhichOneof("parameter_choice")
    return None if which is None else getattr(parameters[name], which)


def _count(parameters: Mapping[str, Any], name: str) -> int:
    found = value(parameters, name)
    if found is None:
        return 0
    if isinstance(found, bool) or not isinstance(found, int) or found < 0:
        raise _bad(f"parameter {name!r} must be a whole number of at least 0")
    return found


def _bad(words: str) -> ServiceError:
    return ServiceError("invalid_argument", words)


def _no_shared_memory(parameters: Mapping[str, Any]) -> None:
    if "shared_memory_region" in parameters:
        raise ServiceError("unsupported", "shared memory is not offered: send the tensor in the message")


def _tensor(given: Any, raw: bytes | None) -> Tensor:
    _no_shared_memory(given.parameters)
    where, datatype, shape = f"input {given.name[:256]!r}", given.datatype, tuple(given.shape)
    if datatype not in datatypes.NAMES:
        raise _bad(f"{where}: unknown datatype {datatype[:64]!r}")
    if len(shape) > MAX_RANK or any(size < 0 for size in shape):
        raise _bad(f"{where}: a shape has at most {MAX_RANK} sizes of at least 0")
    filled = {field.name for field, _ in given.contents.ListFields()}
    if raw is not None:
        if filled:
            raise _bad(f"{where} has contents beside raw_input_contents: send one of them")
        data: Bytes = raw
    else:
        data = _packed(given, where, shape, filled)
    wanted = datatypes.size_bytes(datatype, shape)
    if wanted is not None and wanted != len(data):
        raise _bad(f"{where}: {datatype} of shape {list(shape)} is {wanted} bytes, the data are {len(data)}")
    if wanted is None:
        found = len(_strings(data, where))
        if found != prod(shape):
            raise _bad(f"{where}: shape {list(shape)} is {prod(shape)} elements, the data are {found}")
    return Tensor(given.name, datatype, shape, data)


def _packed(given: Any, where: str, shape: tuple[int, ...], filled: set[str]) -> bytes:
    field = _FIELDS.get(given.datatype)
    if field is None:
        raise _bad(f"{where}: {given.datatype} has no typed contents, send it in raw_input_contents")
    if filled - {field}:
        raise _bad(f"{where}: {given.datatype} belongs in {field}, not in {', '.join(sorted(filled - {field}))}")
    elements = getattr(given.contents, field)
    if len(elements) != prod(shape):
        raise _bad(f"{where}: shape {list(shape)} is {prod(shape)} elements, the data are {len(elements)}")
    dtype = datatypes.numpy_dtype(given.datatype)
    if dtype is None:
        return b"".join(len(each).to_bytes(4, "little") + each for each in elements)
    try:
        wide = np.array(elements, {"i": np.int64, "u": np.uint64}.get(dtype.kind, dtype))
    except OverflowError:
        raise _bad(f"{where}: a value does not fit {given.datatype}") from None
    packed = wide.astype(dtype)
    if dtype.kind in "iu" and not np.array_equal(packed, wide):
        raise _bad(f"{where}: a value does not fit {given.datatype}")
    return packed.tobytes()


def _strings(data: Bytes, where: str = "output") -> list[bytes]:
    view, at, found = memoryview(data), 0, []
    while at < len(view):
        end = at + 4 + int.from_bytes(view[at : at + 4], "little")
        if at + 4 > len(view) or end > len(view):
            raise _bad(f"{where}: the lengths in the data lead past its end")
        found.append(bytes(view[at + 4 : end]))
        at = end
    return found
