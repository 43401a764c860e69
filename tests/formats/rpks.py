"""Writes .rpk files as imx500-package does: blocks of noise for firmware, then a cpio archive in the "newc" format."""

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

CLASSIFIER: dict[str, Any] = {
    "task": "classification",
    "inference_rate": 30.0,
    "cpu": {"softmax": True},
    "classes": {"labels": ["background", "good", "scratched", "bent"]},
}
DETECTOR: dict[str, Any] = {
    "task": "object detection",
    "inference_rate": 26,
    "cpu": {"bbox_normalization": True, "bbox_order": "xy"},
    "input_aspect_ratio": {"width": 1, "height": 1},
    "classes": {"labels": ["person", "-", "cat", ""], "ignore_undefined": True},
}


def block(size: int, *, locked: bool = False, footer: bytes = b"3695") -> bytes:
    """One block: a header of 60 bytes, ``size`` bytes, a footer, and 32 bytes more when it is locked to a device."""
    header = b"9464" + struct.pack(">I", size) + bytes(6) + bytes([int(locked)]) + bytes(45)
    noise = np.random.default_rng(size).bytes(size)
    return header + noise + footer + (bytes(32) if locked else b"")


def entry(name: str, content: bytes) -> bytes:
    """One file of an archive in the "newc" format."""
    fields = [1, 0o100644, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0]
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    return head + bytes(-len(head) % 4) + content + bytes(-len(content) % 4)


def info(size: tuple[int, int], counts: Sequence[int], **changed: str) -> bytes:
    """A ``network_info.txt`` for an input of ``size`` (height, width) and outputs of so many elements."""
    pairs = {"networkID": "000123", "apParamSize": "2048", "networkNum": "1", "networkOrdinal": "0"}
    pairs |= {"inputTensorWidth": str(size[1]), "inputTensorHeight": str(size[0]), "inputTensorFormat": "RGB"}
    pairs |= {"inputTensorNorm_K00": "0x0400", "inputTensorNorm_K03": "0x0000", "outputTensorNum": str(len(counts))}
    pairs |= {f"outputTensorDimSize{place}": str(count) for place, count in enumerate(counts, 1)}
    return "".join(f"{key}={value}\n" for key, value in (pairs | changed).items()).encode()


def write(
    path: Path,
    size: tuple[int, int] = (32, 48),
    counts: Sequence[int] = (3,),
    intrinsics: Mapping[str, Any] | None = CLASSIFIER,
    *,
    locked: bool = False,
    **changed: str,
) -> Path:
    """Write a network; without ``intrinsics`` it tells neither its task nor its labels."""
    entries = [entry("imx500_regs", b"\1\2\3"), entry("network_info.txt", info(size, counts, **changed))]
    if intrinsics is not None:
        entries.append(entry("network_intrinsics", json.dumps(intrinsics).encode()))
    archive = b"".join([*entries, entry("TRAILER!!!", b"")])
    path.write_bytes(block(500) + block(77, locked=locked) + archive + bytes(-len(archive) % 512))
    return path


def detector(path: Path, boxes: int = 5, **intrinsics: Any) -> Path:
    """A network whose post-processing is in the sensor: boxes, scores, classes and their count."""
    return write(path, (64, 64), (4 * boxes, boxes, boxes, 1), DETECTOR | intrinsics)
