"""Reads Hailo executables (.hef): what they were compiled for, and what goes in and out, without HailoRT.

A HEF is a header in network byte order (hef_internal.hpp, hef__header_t), a protobuf (hef.proto) and, from version 1
on, the configuration of the chip behind it. The protobuf is read field by field: no more than what is named here.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np

from piaccel.errors import ModelError
from piaccel.formats.network import Network
from piaccel.tensors import Quantization, TensorSpec, guess_layout

MAGIC = 0x01484546
TAILS = {0: 20, 1: 16, 2: 32, 3: 44}
"""Bytes of the header behind magic, version and length of the protobuf, by version."""
MAX_DIMENSION = 1 << 24
MAX_FIELDS = 200_000
"""No message that is read here has more fields; a damaged one could fill the memory."""

RUNS_ON: Mapping[int, tuple[str, ...]] = {
    **dict.fromkeys((0, 1, 2, 101, 102), ("HAILO8",)),
    3: ("HAILO8L", "HAILO8"),
    4: ("HAILO15M", "HAILO15H", "HAILO10H"),
    5: ("HAILO10H",),
    **dict.fromkeys((103, 104, 105), ("HAILO15H", "HAILO10H")),
    **dict.fromkeys((6, 106), ("HAILO15L",)),
    108: ("HAILO12L",),
}
"""The chips that run a HEF, the one it was compiled for first, by ProtoHEFHwArch.

Source: device.cpp, hef_arch_to_device_compatible_archs and is_hef_compatible.
"""

Message: TypeAlias = "dict[int, list[int | memoryview]]"


class _Damaged(ValueError):
    pass


class _Pad(NamedTuple):
    number: int
    spec: TensorSpec


def read(path: Path, size: tuple[int, int] | None = None) -> Network:
    """Read a .hef file; names, shapes and quantization where it states them. ``size`` is fixed by the compiler."""
    version, hef = _open(path)
    try:
        header = _message(_last(hef, 1))
        groups = [_message(group) for group in hef.get(2, [])]
        inputs, outputs = _tensors(groups[0]) if groups else ((), ())
        chips = RUNS_ON.get(_number(header, 1), ()) if 1 in hef else ()
        facts = {
            "runs on": ", ".join(chips) or "unknown",
            "compiler": _text(header, 3) or "unknown",
            "network groups": ", ".join(name for group in groups if (name := _group_name(group))) or "unknown",
            "contexts": str(sum(map(_contexts, groups)) or "unknown"),
            "HEF version": str(version),
        }
    except _Damaged as error:
        raise _damaged(path, str(error)) from error
    return Network(
        path=path,
        format="hef",
        inputs=inputs,
        outputs=outputs,
        operators={},
        custom_operators=(),
        parameters=None,
        macs=None,
        size_bytes=path.stat().st_size,
        precision="",
        facts=facts,
    )


def runs_on(network: Network) -> tuple[str, ...]:
    """The chips that run it, such as ("HAILO8L", "HAILO8"), the one it was compiled for first; () when unknown."""
    told = network.facts.get("runs on", "unknown")
    return () if told == "unknown" else tuple(told.split(", "))


def _open(path: Path) -> tuple[int, Message]:
    """Return the header's version and the protobuf's outermost message."""
    with open(path, "rb") as file:
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    if len(data) < 12:
        raise _damaged(path, f"it has {len(data)} bytes, less than its header")
    magic, version, length = struct.unpack_from(">III", data)
    if magic != MAGIC:
        raise ModelError(f"{path} is not a Hailo executable: it does not begin with 01 'HEF'")
    if version not in TAILS:
        raise ModelError(
            f"{path} is a Hailo executable of version {version}, versions 0 to {max(TAILS)} are known",
            hint="compile it with a compiler that fits the installed HailoRT",
        )
    start = 12 + TAILS[version]
    if len(data) < start + length:
        raise _damaged(path, f"its network takes {start + length} bytes and the file ends after {len(data)}")
    try:
        return version, _message(data[start : start + length])
    except _Damaged as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, why: str) -> ModelError:
    return ModelError(
        f"{path} is truncated or damaged: {why}", hint="copy or download the file again and compare its size"
    )


def _tensors(group: Message) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """The inputs and outputs of a network group: the pads of its operations that no other pad is joined to."""
    sources, targets = set(), set()
    for edge in map(_message, group.get(9, [])):
        sources.add(_number(edge, 1))
        targets.add(_number(edge, 2))
    inputs: list[TensorSpec] = []
    outputs: list[TensorSpec] = []
    for op in map(_message, group.get(8, [])):
        inputs += [pad.spec for pad in _pads(op, 2, True) if pad.number not in targets]
        outputs += [pad.spec for pad in _pads(op, 3, False) if pad.number not in sources]
    return tuple(inputs), tuple(outputs)


def _pads(op: Message, field: int, is_input: bool) -> Iterator[_Pad]:
    for pad in map(_message, op.get(field, [])):
        name = _text(pad, 2) or _text(op, 1)
        yield _Pad(_number(pad, 1), _nms(name, pad) if 7 in pad else _picture(name, pad, is_input))


def _nms(name: str, pad: Message) -> TensorSpec:
    """Boxes that HailoRT has suppressed: (batch, classes, 5, boxes) as the backend hailo gives them."""
    shape = _message(_last(pad, 7))
    return TensorSpec(name, (1, _size(shape, 1), 5, _size(shape, 2)), np.dtype(np.float32))


def _picture(name: str, pad: Message, is_input: bool) -> TensorSpec:
    shape = _message(_last(pad, 6)) if 6 in pad else {}
    sizes = (1, _size(shape, 1), _size(shape, 3), _size(shape, 5))
    wide = _number(pad, 8) == 2 or (_number(pad, 8) == 0 and _number(pad, 4) == 1)
    dtype = np.dtype(np.uint16 if wide else np.uint8)
    return TensorSpec(name, sizes, dtype, guess_layout(sizes) if is_input else "", _quantization(pad))


def _quantization(pad: Message) -> Quantization | None:
    numbers = _message(_last(pad, 5)) if 5 in pad else {}
    zero_point, scale = _real(numbers, 1), _real(numbers, 2)
    if not (math.isfinite(scale) and scale > 0 and math.isfinite(zero_point)):
        return None
    return Quantization((scale,), (round(zero_point),))


def _group_name(group: Message) -> str:
    return _text(group, 10) or _text(_message(_last(group, 1)), 1)


def _contexts(group: Message) -> int:
    cores = [_message(_last(op, 4)) for op in map(_message, group.get(8, [])) if 4 in op]
    return sum(len(core.get(3, [])) for core in cores) or len(group.get(3, []))


def _size(message: Message, field: int) -> int | None:
    found = _number(message, field)
    return found if 0 < found <= MAX_DIMENSION else None


def _last(message: Message, field: int) -> int | memoryview:
    """A field's value; of a repeated one the last counts (protobuf's rule), and an absent message is an empty one."""
    return message[field][-1] if field in message else memoryview(b"")


def _number(message: Message, field: int) -> int:
    found = message.get(field, [0])[-1]
    if not isinstance(found, int):
        raise _Damaged(f"field {field} is no number")
    return found


def _real(message: Message, field: int) -> float:
    found = _last(message, field)
    if isinstance(found, int) or len(found) not in (0, 4):
        raise _Damaged(f"field {field} is no float")
    return float(struct.unpack("<f", found)[0]) if len(found) else 0.0


def _text(message: Message, field: int) -> str:
    found = _last(message, field)
    if isinstance(found, int):
        raise _Damaged(f"field {field} is no text")
    return bytes(found[:4096]).decode(errors="replace")


def _message(data: int | memoryview) -> Message:
    """The fields of a message by number. Source: protobuf.dev, Encoding."""
    if isinstance(data, int):
        raise _Damaged("a number stands where a message is expected")
    fields: Message = {}
    at, budget = 0, MAX_FIELDS
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value: int | memoryview
            value, at = _varint(data, at)
        elif kind in (1, 2, 5):
            length = {1: 8, 5: 4}.get(kind)
            if length is None:
                length, at = _varint(data, at)
            if at + length > len(data):
                raise _Damaged("a part of its network lies outside the file")
            value, at = data[at : at + length], at + length
        else:
            raise _Damaged(f"its network has a field of the unknown kind {kind}")
        fields.setdefault(key >> 3, []).append(value)
        budget -= 1
        if budget < 0:
            raise _Damaged(f"a part of its network has more than {MAX_FIELDS} fields")
    return fields


def _varint(data: Sequence[int] | memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _Damaged("a number in its network does not end")
