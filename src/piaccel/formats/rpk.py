"""Reads .rpk files, networks packed for the Sony IMX500: blocks of firmware, then a cpio archive that describes them.

Blocks, archive and ``network_intrinsics``: picamera2 0.3.38, devices/imx500/imx500.py. The file tells how many elements
each output has; shapes are inferred from that where only one can be meant. Licences are in no part of the file.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from math import ceil
from pathlib import Path
from typing import IO, Annotated, Any, Literal

import msgspec
import numpy as np

from piaccel.errors import ModelError
from piaccel.formats.network import Network
from piaccel.frames import Preprocess
from piaccel.tensors import TensorSpec

_HEADER, _FOOTER = b"9464", b"3695"
_HEADER_BYTES, _LOCK_BYTES = 60, 32
_CPIO = re.compile(rb"070701([0-9A-Fa-f]{104})")
_CPIO_BYTES = 110
_LAST = "TRAILER!!!"
_LONGEST_NAME = 1024
_LONGEST_TEXT = 1 << 22
_MOST_OUTPUTS = 64
_MOST_ELEMENTS = 1 << 26
_AGAIN = "copy or download the file again, or make it anew with imx500-package"

Task = Literal["classification", "object detection", "pose estimation", "segmentation"]


class _Cpu(msgspec.Struct):
    """What is left to the CPU."""

    bbox_normalization: bool = False
    bbox_order: Literal["xy", "yx"] = "yx"
    softmax: bool | None = None
    post_processing: str = ""


class _Ratio(msgspec.Struct):
    width: Annotated[int, msgspec.Meta(gt=0)]
    height: Annotated[int, msgspec.Meta(gt=0)]


class _Classes(msgspec.Struct):
    labels: list[str] = []
    ignore_undefined: bool = False


class Intrinsics(msgspec.Struct):
    """``network_intrinsics``: what the maker says of the network beside what the sensor needs."""

    task: Task | None = None
    inference_rate: Annotated[float, msgspec.Meta(ge=0)] | None = None
    cpu: _Cpu = msgspec.field(default_factory=_Cpu)
    input_aspect_ratio: _Ratio | None = None
    classes: _Classes = msgspec.field(default_factory=_Classes)

    @property
    def keeps_ratio(self) -> bool:
        """Whether the network is to see the middle of the sensor in its own ratio, not all of it stretched."""
        ratio = self.input_aspect_ratio
        return ratio is not None and ratio.width == ratio.height

    @property
    def labels(self) -> tuple[str, ...]:
        labels = self.classes.labels
        return (
            tuple(label for label in labels if label not in ("", "-")) if self.classes.ignore_undefined else (*labels,)
        )


def read(path: Path, size: tuple[int, int] | None = None) -> Network:
    """Read a .rpk file; its input's size is always stated. Raises ModelError."""
    info, intrinsics = describe(path)
    height, width = (_number(path, info, f"inputTensor{side}", 1, 1 << 16) for side in ("Height", "Width"))
    counts = [
        _number(path, info, f"outputTensorDimSize{place}", 1, _MOST_ELEMENTS)
        for place in range(1, 1 + _number(path, info, "outputTensorNum", 1, _MOST_OUTPUTS))
    ]
    outputs = _outputs(counts, (height, width), intrinsics)
    facts = {
        "network ID": info.get("networkID", ""),
        "task": intrinsics.task or "",
        "frame rate": f"{intrinsics.inference_rate:g}" if intrinsics.inference_rate else "",
        "post-processing on the CPU": intrinsics.cpu.post_processing,
    }
    return Network(
        path=path,
        format="rpk",
        inputs=(TensorSpec("input", (1, height, width, 3), np.dtype(np.uint8), "NHWC"),),
        outputs=outputs,
        operators={},
        custom_operators=(),
        parameters=None,
        macs=None,
        size_bytes=path.stat().st_size,
        precision="",
        facts={name: fact for name, fact in facts.items() if fact},
        labels=intrinsics.labels,
        task=_task(intrinsics, outputs),
        preprocess=Preprocess(
            (height, width), resize="crop" if intrinsics.keeps_ratio else "stretch", dtype=np.dtype(np.uint8)
        ),
    )


def describe(path: Path) -> tuple[dict[str, str], Intrinsics]:
    """Return what ``network_info.txt`` says of the first network, and the intrinsics. Raises ModelError."""
    with open(path, "rb") as file:
        entries = dict(_archive(path, file, _after_blocks(path, file)))
    if "network_info.txt" not in entries:
        raise ModelError(f"{path} is IMX500 firmware without a description of a network", hint=_AGAIN)
    text = entries["network_info.txt"].decode("ascii", errors="replace")
    head, *networks = text.split("networkOrdinal=")
    if not networks:
        raise ModelError(f"{path}: its network_info.txt describes no network", hint=_AGAIN)
    info = _pairs(head) | _pairs(networks[0])
    try:
        return info, msgspec.json.decode(entries.get("network_intrinsics", b"{}"), type=Intrinsics)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ModelError(f"{path}: its network_intrinsics are wrong: {error}", hint=_AGAIN) from error


def _after_blocks(path: Path, file: IO[bytes]) -> int:
    """Return where the archive begins: behind the blocks, each with a header, a footer and perhaps a lock."""
    start = 0
    while True:
        file.seek(start)
        head = file.read(16)
        if head[:4] != _HEADER or len(head) < 16:
            break
        footer = start + _HEADER_BYTES + struct.unpack(">I", head[4:8])[0]
        file.seek(footer)
        if file.read(4) != _FOOTER:
            raise ModelError(f"{path} is damaged: a block has no footer at byte {footer}", hint=_AGAIN)
        locked = head[14] & 1
        start = footer + 4 + (_LOCK_BYTES if locked else 0)
    if not start:
        raise ModelError(f"{path} is not a network for the IMX500 camera: it does not begin with 9464", hint=_AGAIN)
    return start


def _archive(path: Path, file: IO[bytes], start: int) -> Iterator[tuple[str, bytes]]:
    """Yield the texts of a cpio archive in the "newc" format (cpio(5)); what is large is passed over."""
    while True:
        file.seek(start)
        head = _CPIO.fullmatch(file.read(_CPIO_BYTES))
        if head is None:
            raise ModelError(f"{path} is cut off or damaged: no archive entry at byte {start}", hint=_AGAIN)
        fields = [int(head[1][place : place + 8], 16) for place in range(0, 104, 8)]
        data_bytes, name_bytes = fields[6], fields[11]
        if name_bytes > _LONGEST_NAME:
            raise ModelError(f"{path} is damaged: the archive entry at byte {start} has no name", hint=_AGAIN)
        name = file.read(name_bytes).rstrip(b"\0").decode(errors="replace").removeprefix("./")
        if name == _LAST:
            return
        data = start + _aligned(_CPIO_BYTES + name_bytes)
        start = data + _aligned(data_bytes)
        if data_bytes <= _LONGEST_TEXT:
            file.seek(data)
            content = file.read(data_bytes)
            if len(content) < data_bytes:
                raise ModelError(f"{path} is cut off within {name!r}", hint=_AGAIN)
            yield name, content


def _aligned(length: int) -> int:
    return (length + 3) & ~3


def _pairs(text: str) -> dict[str, str]:
    lines = (line.partition("=") for line in text.splitlines())
    return {key.strip(): value.strip() for key, equals, value in lines if equals}


def _number(path: Path, info: dict[str, str], key: str, least: int, most: int) -> int:
    stated = info.get(key, "")
    if not re.fullmatch(r"[0-9]{1,9}", stated) or not least <= int(stated) <= most:
        raise ModelError(
            f"{path}: its network_info.txt says {key}={stated or 'nothing'}, expected a number", hint=_AGAIN
        )
    return int(stated)


def _outputs(counts: Sequence[int], size: tuple[int, int], intrinsics: Intrinsics) -> tuple[TensorSpec, ...]:
    """The outputs with a batch of one in front: boxes, classes of pixels, rows of NanoDet; others are left flat."""
    area = size[0] * size[1]
    names = [f"output{place}" for place in range(len(counts))]
    shapes: list[tuple[int, ...]] = [(1, count) for count in counts]
    if len(counts) == 4 and counts[3] == 1 and counts[1] == counts[2] and counts[0] == 4 * counts[1]:
        names = ["boxes", "scores", "classes", "count"]
        shapes = [(1, counts[1], 4), (1, counts[1]), (1, counts[1]), (1,)]
    elif len(counts) == 1 and counts[0] % area == 0:
        classes = counts[0] // area
        shapes = [(1, *size) if classes == 1 else (1, *size, classes)]
    elif len(counts) == 1 and intrinsics.cpu.post_processing == "nanodet":
        rows = sum(ceil(size[0] / stride) * ceil(size[1] / stride) for stride in (8, 16, 32, 64))
        if counts[0] % rows == 0:
            shapes = [(1, rows, counts[0] // rows)]
    return tuple(TensorSpec(name, shape, np.dtype(np.float32)) for name, shape in zip(names, shapes, strict=True))


def _task(intrinsics: Intrinsics, outputs: Sequence[TensorSpec]) -> dict[str, Any]:
    """The family that these outputs are of, with its options; nothing where the file does not tell."""
    cpu = intrinsics.cpu
    if intrinsics.task == "classification":
        return {"family": "classification"} | ({} if cpu.softmax is None else {"softmax": cpu.softmax})
    if intrinsics.task == "segmentation":
        return {"family": "segmentation"}
    if intrinsics.task == "object detection" and outputs[0].name == "boxes":
        return {"family": "ssd", "box_order": cpu.bbox_order} | ({"pixels": True} if cpu.bbox_normalization else {})
    if intrinsics.task == "object detection" and cpu.post_processing == "nanodet":
        return {"family": "nanodet"}
    return {}
