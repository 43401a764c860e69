"""How the integers that an ONNX network takes and gives stand for real numbers, told by the operators at its ends.

Fields: docs/Operators.md of the ONNX project, QuantizeLinear, DequantizeLinear, QLinearConv, QLinearMatMul.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from piaccel.tensors import Quantization

_TAKES = {"DequantizeLinear": 1, "QLinearConv": 1, "QLinearMatMul": 1}
"""Where the scale of an operator's first input stands; its zero point is the next."""
_GIVES = {"QuantizeLinear": 1, "QLinearConv": 6, "QLinearMatMul": 6}
"""Where the scale of an operator's output stands; its zero point is the next."""
_LONGEST = 1 << 16


def at_ends(onnx: Any, graph: Any, constants: Mapping[str, Any]) -> dict[str, Quantization]:
    """Return the quantization of those inputs and outputs whose operator tells it, by name."""
    ends = {value.name for value in (*graph.input, *graph.output)}
    found: dict[str, Quantization] = {}
    for node in graph.node:
        for name, place in ((node.input[:1], _TAKES.get(node.op_type)), (node.output[:1], _GIVES.get(node.op_type))):
            if place is None or not name or name[0] not in ends:
                continue
            quantization = _read(onnx, node, place, constants)
            if quantization is not None:
                found[name[0]] = quantization
    return found


def _read(onnx: Any, node: Any, place: int, constants: Mapping[str, Any]) -> Quantization | None:
    scale = _values(onnx, node, place, constants)
    if scale is None:
        return None
    zero_point = _values(onnx, node, place + 1, constants)
    if zero_point is None:
        if place + 1 < len(node.input) and node.input[place + 1]:
            return None  # it is there, and computed
        zero_point = np.zeros(scale.shape, np.int64)
    if len(scale) != len(zero_point) or scale.dtype.kind != "f" or zero_point.dtype.kind not in "iu":
        return None
    axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
    return Quantization(tuple(map(float, scale)), tuple(map(int, zero_point)), axis if len(scale) > 1 else 0)


def _values(onnx: Any, node: Any, place: int, constants: Mapping[str, Any]) -> np.ndarray[Any, Any] | None:
    tensor = constants.get(node.input[place]) if place < len(node.input) else None
    if tensor is None or tensor.data_location == onnx.TensorProto.EXTERNAL or max(tensor.dims, default=0) > _LONGEST:
        return None
    try:
        values: np.ndarray[Any, Any] = onnx.numpy_helper.to_array(tensor).ravel()
    except (KeyError, TypeError, ValueError):  # damaged, or of a type that is no number
        return None
    return values if len(values) else None
