"""Reads ncnn models: the .param text and, beside it, the sizes and precision of the weights in .bin."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np

from piaccel.errors import ModelError
from piaccel.formats.ncnn_layers import KNOWN, Layer, parse, pieces
from piaccel.formats.ncnn_shapes import Shapes
from piaccel.formats.network import Network, count, precision_of
from piaccel.tensors import TensorSpec, guess_layout


def read(path: Path, size: tuple[int, int] | None = None) -> Network:
    """Read a .param file and the .bin beside it; multiply-accumulates need ``size`` or a size in the file."""
    layers = parse(path)
    made = [name for layer in layers for name in layer.outputs]
    used = {name for layer in layers for name in layer.inputs}
    shapes = Shapes(layers, size)
    given = [name for layer in layers if layer.kind == "Input" for name in layer.outputs]
    operators = count(layer.kind for layer in layers if layer.kind != "Input")
    weights = path.with_suffix(".bin")
    parameters, elements = _weights(path, weights, layers)
    return Network(
        path=path,
        format="ncnn",
        inputs=tuple(_spec(name, shapes.inputs.get(name)) for name in given),
        outputs=tuple(_spec(name, shapes.blobs.get(name)) for name in made if name not in used),
        operators=operators,
        custom_operators=tuple(sorted(operators.keys() - KNOWN)),
        parameters=parameters,
        macs=shapes.macs,
        size_bytes=path.stat().st_size + (weights.stat().st_size if weights.is_file() else 0),
        precision=precision_of(elements),
    )


def _spec(name: str, shape: tuple[int | None, ...] | None) -> TensorSpec:
    """ncnn has no batch; it is put in front, as the other formats state it."""
    whole = (1, *(shape if shape is not None else (None, None, None)))
    return TensorSpec(name, whole, np.dtype("float32"), guess_layout(whole))


def _weights(path: Path, file: Path, layers: list[Layer]) -> tuple[int | None, dict[str, int]]:
    """Walk the weights file; return how many weights it holds, and how many of each dtype."""
    total = 0
    elements: dict[str, int] = {}
    sized = [(layer, pieces(layer)) for layer in layers]
    if not any(found is None or found for _, found in sized):
        return 0, {}
    if not file.is_file():
        raise ModelError(f"{path} needs its weights beside it: {file.name} is missing", hint=f"put it at {file}")
    length = file.stat().st_size
    with open(file, "rb") as weights:
        for layer, found in sized:
            if found is None:
                return None, elements
            for items, tagged in found:
                if items < 0:
                    raise ModelError(f"{path} is damaged: a {layer.kind} layer has {items} weights")
                dtype, bytes_here = _stored(weights, items, tagged)
                if weights.tell() + bytes_here > length:
                    raise ModelError(
                        f"{file} is truncated: it has {length} bytes, "
                        f"the {layer.kind} layer that makes {' '.join(layer.outputs)!r} reads beyond its end",
                        hint="copy or download it again; it must be the one made together with the .param file",
                    )
                weights.seek(bytes_here, 1)
                total += items
                elements[dtype] = elements.get(dtype, 0) + items
    return total, elements


def _stored(weights: BinaryIO, items: int, tagged: bool) -> tuple[str, int]:
    """The dtype and bytes of the weights here; before most stands a tag that says how they are kept (modelbin.cpp)."""
    if not tagged:
        return "float32", 4 * items
    tag = weights.read(4)
    if len(tag) == 4 and struct.unpack("<I", tag)[0] == 0x01306B47:
        return "float16", (2 * items + 3) // 4 * 4
    if len(tag) == 4 and struct.unpack("<I", tag)[0] == 0x000D4B38:
        return "int8", (items + 3) // 4 * 4
    if len(tag) == 4 and struct.unpack("<I", tag)[0] == 0x0002C056:
        return "float32", 4 * items
    if any(tag):  # a table of 256 floats, then indices into it
        return "uint8", 1024 + (items + 3) // 4 * 4
    return "float32", 4 * items
