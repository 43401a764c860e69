"""Reads ONNX files with the ``onnx`` package; weights in files of their own stay on disk.

Fields and operators: onnx/onnx.proto and docs/Operators.md of the ONNX project.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import prod
from pathlib import Path
from typing import Any

from piaccel.errors import ModelError, UnavailableError
from piaccel.formats.network import Network, count, numpy_dtype, precision_of
from piaccel.formats.onnx_quantization import at_ends
from piaccel.tensors import TensorSpec, guess_layout

INSTALL = "pip install 'piaccel[onnx]'"
MAX_BYTES = 2**31 - 1
"""A protobuf message ends there; larger models keep their weights in other files."""

_NUMPY = {"FLOAT": "float32", "DOUBLE": "float64", "INT4": "int8", "UINT4": "uint8"}
_WEIGHTS = {"FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE", "INT8", "UINT8", "INT4", "UINT4"}
_ITEM_BYTES = {"FLOAT": 4, "INT32": 4, "INT64": 8, "DOUBLE": 8, "FLOAT16": 2, "BFLOAT16": 2, "INT8": 1, "UINT8": 1}
_MAX_RANK = 16
_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
_SMALL = 64
"""Constants with at most this many elements may state shapes, so shape inference gets their values."""

# The inputs that are not weights: scales and zero points, target shapes, factors, axes.
_CONTROLS = {
    "QuantizeLinear": {1, 2},
    "DequantizeLinear": {1, 2},
    "QLinearConv": {1, 2, 4, 5, 6, 7},
    "QLinearMatMul": {1, 2, 4, 5, 6, 7},
    "ConvInteger": {2, 3},
    "MatMulInteger": {2, 3},
    "Resize": {1, 2, 3},
    "Upsample": {1},
    "Clip": {1, 2},
    "Pad": {1, 2},
}
_INT32_BIASES = {"DequantizeLinear": 0, "QLinearConv": 8}
_KERNEL_AT = {"Conv": 1, "FusedConv": 1, "ConvInteger": 1, "ConvTranspose": 1, "QLinearConv": 3}
_PRODUCTS = {"MatMul", "MatMulInteger", "QLinearMatMul", "Gemm", "FusedGemm", "FusedMatMul"}
_UNCOUNTED = {"LSTM", "GRU", "RNN", "Einsum", "Attention", "If", "Loop", "Scan", "DeformConv", "NhwcConv"}
_DYNAMIC = {"ConvInteger", "MatMulInteger", "DynamicQuantizeLinear"}

Shape = tuple[int | None, ...]


def read(path: Path, size: tuple[int, int] | None = None) -> Network:
    """Read a .onnx file. Raises ModelError, and UnavailableError without the ``onnx`` package."""
    try:
        import onnx
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    except ImportError as error:
        raise UnavailableError("looking into ONNX files needs onnx, which is not installed", hint=INSTALL) from error
    bytes_here = path.stat().st_size
    if bytes_here > MAX_BYTES:
        raise ModelError(f"{path} is no ONNX model: it is larger than the 2 GB that one file may have")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise ModelError(
            f"{path} is truncated or not an ONNX model: its {bytes_here} bytes cannot be decoded",
            hint="copy or download the file again and compare its size",
        ) from error
    if not model.graph.node or not model.opset_import:
        raise ModelError(f"{path} is not an ONNX model: it holds no operators or states no operator set")
    return _Reader(onnx, path, model).network(size)


class _Reader:
    def __init__(self, onnx: Any, path: Path, model: Any) -> None:
        self.onnx = onnx
        self.path = path
        self.model = model
        self.constants: dict[str, Any] = {tensor.name: tensor for tensor in model.graph.initializer}
        for node in model.graph.node:
            if node.op_type == "Constant" and node.output:
                self.constants.update((node.output[0], a.t) for a in node.attribute if a.HasField("t"))
        self.quantization = at_ends(onnx, model.graph, self.constants)

    def network(self, size: tuple[int, int] | None) -> Network:
        graph = self.model.graph
        outside = self._check_weights()
        parameters, elements = self._weights()
        nodes = list(_nodes(graph))
        operators = count(_name(node) for node in nodes)
        precision = precision_of(elements)
        if precision in ("int8", "uint8") and any(node.op_type in _DYNAMIC for node in nodes):
            precision += "-weights"
        producer = f"{_text(self.model.producer_name)} {_text(self.model.producer_version)}".strip()
        facts = {
            "opset": ", ".join(f"{_text(o.domain)} {o.version}".strip() for o in self.model.opset_import),
            "IR version": str(self.model.ir_version),
        }
        return Network(
            path=self.path,
            format="onnx",
            inputs=tuple(self._spec(v, True) for v in graph.input if v.name not in self.constants),
            outputs=tuple(self._spec(v, False) for v in graph.output),
            operators=operators,
            custom_operators=tuple(sorted({_name(node) for node in nodes if self._is_custom(node)})),
            parameters=parameters,
            macs=self._macs(size),
            size_bytes=self.path.stat().st_size + outside,
            precision=precision,
            description=_text(self.model.doc_string or graph.doc_string),
            facts={**facts, "producer": producer} if producer else facts,
            metadata={_text(entry.key): _text(entry.value) for entry in self.model.metadata_props},
        )

    def _check_weights(self) -> int:
        """Return the bytes of weights in other files. Raises ModelError when weights are missing or cut off."""
        files: set[Path] = set()
        for name, tensor in self.constants.items():
            if not isinstance(name, str):
                raise ModelError(f"{self.path} is damaged: some weights have the name {name!r}")
            if len(tensor.dims) > _MAX_RANK or min(tensor.dims, default=0) < 0:
                raise ModelError(f"{self.path} is damaged: the weights {name!r} have an impossible shape")
            if tensor.data_location == self.onnx.TensorProto.EXTERNAL:
                where = next((_text(entry.value) for entry in tensor.external_data if entry.key == "location"), "")
                file = (self.path.parent / where.replace("\0", "")).resolve()
                if not file.is_relative_to(self.path.parent.resolve()):
                    raise ModelError(f"{self.path} wants weights from outside its folder: {where!r}")
                if not file.is_file():
                    raise ModelError(f"{self.path} needs the file {where!r} with its weights", hint=f"put it at {file}")
                files.add(file)
            elif tensor.HasField("raw_data"):
                expected = prod(tensor.dims) * _ITEM_BYTES.get(self._type(tensor.data_type), 0)
                if expected and len(tensor.raw_data) != expected:
                    raise ModelError(
                        f"{self.path} is damaged: the weights {name!r} have {len(tensor.raw_data)} bytes, "
                        f"expected {expected}"
                    )
        return sum(file.stat().st_size for file in files)

    def _weights(self) -> tuple[int, dict[str, int]]:
        controls: set[str] = set()
        biases: set[str] = set()
        for node in self.model.graph.node:
            places = _CONTROLS.get(node.op_type, ())
            controls.update(name for place, name in enumerate(node.input) if place in places)
            place = _INT32_BIASES.get(node.op_type, len(node.input))
            biases.update(node.input[place : place + 1])
        total = 0
        elements: dict[str, int] = {}
        for name, tensor in self.constants.items():
            kind = self._type(tensor.data_type)
            items = max(0, prod(tensor.dims))
            if name in controls:
                continue
            if kind in _WEIGHTS:
                dtype = _NUMPY.get(kind, kind.lower())
                elements[dtype] = elements.get(dtype, 0) + items
                total += items
            elif kind == "INT32" and name in biases:
                total += items
        return total, elements

    def _macs(self, size: tuple[int, int] | None) -> int | None:
        """Multiply-accumulates with every shape that shape inference finds, None when one is missing."""
        shapes = self._shapes(size)
        total = 0
        for node in self.model.graph.node:
            products = _products(node, shapes)
            if products is None:
                return None
            total += products
        batch = next((shape[0] for shape in map(_dims, self._free_inputs()) if len(shape) == 4), 1)
        return total // max(1, batch or 1)

    def _free_inputs(self) -> list[Any]:
        return [value for value in self.model.graph.input if value.name not in self.constants]

    def _shapes(self, size: tuple[int, int] | None) -> dict[str, Shape]:
        """Infer all shapes on a copy that holds no large weights: these would be copied several times."""
        known: dict[str, Shape] = {name: tuple(t.dims) for name, t in self.constants.items()}
        copy = self.onnx.ModelProto()
        copy.ir_version = self.model.ir_version
        copy.opset_import.extend(self.model.opset_import)
        graph = copy.graph
        graph.name = "shapes"
        for name, tensor in self.constants.items():
            if prod(tensor.dims) <= _SMALL and tensor.data_location != self.onnx.TensorProto.EXTERNAL:
                graph.initializer.append(tensor)
                graph.initializer[-1].name = name
            else:
                graph.input.append(self.onnx.helper.make_tensor_value_info(name, tensor.data_type, tensor.dims))
        for value in self._free_inputs():
            graph.input.append(value)
            _fix_free_dimensions(graph.input[-1], size)
        for node in self.model.graph.node:
            if node.op_type != "Constant":
                graph.node.append(node)
        graph.output.extend(self.model.graph.output)
        try:
            graph = self.onnx.shape_inference.infer_shapes(copy, data_prop=True).graph
        except (self.onnx.shape_inference.InferenceError, ValueError, RuntimeError):
            graph = self.model.graph  # what the file itself states is left
        for value in (*graph.input, *graph.value_info, *graph.output):
            if value.name not in known and value.type.tensor_type.HasField("shape"):
                known[value.name] = _dims(value)
        return known

    def _spec(self, value: Any, is_input: bool) -> TensorSpec:
        kind = self._type(value.type.tensor_type.elem_type)
        shape = _dims(value)
        dtype = numpy_dtype(_NUMPY.get(kind, kind.lower()))
        quantization = self.quantization.get(value.name) if kind in ("INT8", "UINT8") else None
        return TensorSpec(_text(value.name), shape, dtype, guess_layout(shape) if is_input else "", quantization)

    def _type(self, number: int) -> str:
        names = self.onnx.TensorProto.DataType
        return str(names.Name(number)) if number in names.values() else "UNDEFINED"

    def _is_custom(self, node: Any) -> bool:
        if any((f.domain, f.name) == (node.domain, node.op_type) for f in self.model.functions):
            return False
        if node.domain in ("", "ai.onnx"):
            return not self.onnx.defs.has(_text(node.op_type))
        return node.domain not in _DOMAINS


def _nodes(graph: Any) -> Iterator[Any]:
    """All nodes, also those of the graphs inside If, Loop and Scan."""
    graphs = [graph]
    while graphs:
        for node in graphs.pop().node:
            yield node
            for attribute in node.attribute:
                graphs.extend(attribute.graphs)
                if attribute.HasField("g"):
                    graphs.append(attribute.g)


def _name(node: Any) -> str:
    kind = _text(node.op_type)
    return kind if node.domain in ("", "ai.onnx") else f"{_text(node.domain)}:{kind}"


def _text(field: str | bytes) -> str:
    """A string of the file; protobuf hands out bytes where a damaged one is not UTF-8."""
    return field if isinstance(field, str) else field.decode(errors="replace")


def _dims(value: Any) -> Shape:
    dims = value.type.tensor_type.shape.dim[:_MAX_RANK]
    return tuple(dim.dim_value if dim.HasField("dim_value") and dim.dim_value >= 0 else None for dim in dims)


def _fix_free_dimensions(value: Any, size: tuple[int, int] | None) -> None:
    """Set a free batch to 1, and a free height and width to ``size``."""
    shape = _dims(value)
    fixed = {0: 1}
    if size and len(shape) == 4:
        fixed |= dict(zip((1, 2) if guess_layout(shape) == "NHWC" else (2, 3), size, strict=True))
    for place, dim in enumerate(value.type.tensor_type.shape.dim):
        if shape[place] is None and place in fixed:
            dim.dim_value = fixed[place]


def _products(node: Any, shapes: dict[str, Shape]) -> int | None:
    """Multiply-accumulates of one node, None when it does not tell."""
    kind = node.op_type
    if kind in _UNCOUNTED or node.domain not in _DOMAINS:
        return None
    if kind not in _KERNEL_AT and kind not in _PRODUCTS:
        return 0
    place = _KERNEL_AT.get(kind, 1)
    if len(node.input) <= place or not node.output:
        return None
    result, first, kernel = (shapes.get(name) for name in (node.output[0], node.input[0], node.input[place]))
    if kind == "ConvTranspose":  # kernel (in, out / groups, ...)
        return _product(first, kernel and kernel[1:])
    if kind in _KERNEL_AT:  # kernel (out, in / groups, ...)
        return _product(result, kernel and kernel[1:])
    transposed = any(a.name == "transA" and a.i for a in node.attribute)
    if not first or (transposed and len(first) < 2):
        return None
    return _product(result, (first[-2 if transposed else -1],))


def _product(*shapes: Iterable[int | None] | None) -> int | None:
    total = 1
    for shape in shapes:
        if shape is None:
            return None
        for size in shape:
            if size is None:
                return None
            total *= max(0, size)
    return total
