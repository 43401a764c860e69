"""Reads OpenVINO IR: the .xml with the network and, beside it, the .bin with its weights.

The .xml is streamed through expat and never built into a tree; a document type, with which entities could be made to
explode, is refused. Format: OpenVINO documentation, "Intermediate Representation and Operation Sets".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import TypeAlias
from xml.parsers import expat

from piaccel.errors import ModelError
from piaccel.formats.network import Network, count, numpy_dtype, precision_of
from piaccel.tensors import TensorSpec, guess_layout

Shape: TypeAlias = tuple[int | None, ...]

_NUMPY = {"f16": "float16", "f32": "float32", "f64": "float64", "bf16": "bfloat16", "boolean": "bool"}
_NUMPY |= {"fp16": "float16", "fp32": "float32", "fp64": "float64", "i4": "int4", "u4": "uint4"}
_NUMPY |= {f"{sign}{bits}": f"{name}{bits}" for sign, name in (("i", "int"), ("u", "uint")) for bits in (8, 16, 32, 64)}
_WEIGHTS = {"float16", "float32", "float64", "bfloat16", "int8", "uint8", "int4", "uint4"}
_NO_OPERATORS = {"Parameter", "Result", "Const"}
_CONVOLUTIONS = {"Convolution": 1, "GroupConvolution": 2}
_DECONVOLUTIONS = {"ConvolutionBackpropData": 1, "GroupConvolutionBackpropData": 2}
_UNCOUNTED = """
    AUGRUSequence DeformableConvolution BinaryConvolution Einsum GRUCell GRUSequence If LSTMCell LSTMSequence Loop
    RNNCell RNNSequence ScaledDotProductAttention TensorIterator
"""
_MAX_RANK = 16
_MAX_DEPTH = 64


@dataclass(slots=True)
class _Port:
    names: str
    dtype: str
    shape: Shape = ()


@dataclass(slots=True)
class _Layer:
    number: str
    name: str
    kind: str
    custom: bool
    data: dict[str, str] = field(default_factory=dict)
    inputs: list[_Port] = field(default_factory=list)
    outputs: dict[str, _Port] = field(default_factory=dict)


def read(path: Path, size: tuple[int, int] | None = None) -> Network:
    """Read an IR .xml file; it states its shapes itself, so ``size`` changes nothing. Raises ModelError."""
    document = _Document(path)
    weights = path.with_suffix(".bin")
    bytes_there = weights.stat().st_size if weights.is_file() else None
    constants = [layer for layer in document.layers if layer.kind == "Const" and "offset" in layer.data]
    needed = max((_whole(path, layer, "offset") + _whole(path, layer, "size") for layer in constants), default=0)
    if needed and bytes_there is None:
        raise ModelError(f"{path} needs its weights beside it: {weights.name} is missing", hint=f"put it at {weights}")
    if needed > (bytes_there or 0):
        raise ModelError(
            f"{weights} is truncated: it has {bytes_there} bytes, the network needs {needed}",
            hint="copy or download it again; it must be the one made together with the .xml file",
        )
    elements = _elements(document, constants)
    operators = count(layer.kind for layer in document.layers if layer.kind not in _NO_OPERATORS)
    return Network(
        path=path,
        format="openvino",
        inputs=tuple(
            _spec(layer, next(iter(layer.outputs.values()), None), True) for layer in document.of("Parameter")
        ),
        outputs=tuple(_spec(layer, document.source(layer), False) for layer in document.of("Result")),
        operators=operators,
        custom_operators=tuple(sorted({layer.kind for layer in document.layers if layer.custom})),
        parameters=sum(elements.values()),
        macs=_macs(document),
        size_bytes=path.stat().st_size + (bytes_there or 0),
        precision=precision_of(elements),
        description=document.name,
        facts=document.facts,
        metadata=document.metadata,
    )


class _Document:
    """What stands in the .xml. Layers inside the bodies of loops are counted, but not connected."""

    def __init__(self, path: Path) -> None:
        self.name = ""
        self.facts: dict[str, str] = {}
        self.metadata: dict[str, str] = {}
        self.layers: list[_Layer] = []
        self.edges: dict[tuple[str, str], tuple[str, str]] = {}
        self.has_bodies = False
        self._open: list[str] = []
        self._layer: _Layer | None = None
        self._port: _Port | None = None
        self._dim: str | None = None
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.StartDoctypeDeclHandler = self._refuse
        try:
            with open(path, "rb") as file:
                parser.ParseFile(file)
        except (expat.ExpatError, ValueError, LookupError, KeyError) as error:
            reason = str(error).splitlines()[0] if isinstance(error, expat.ExpatError) else f"it has no valid {error}"
            raise ModelError(f"{path} is truncated or damaged XML: {reason}") from error
        if not self.layers or not any(layer.kind == "Parameter" for layer in self.layers):
            raise ModelError(f"{path} is XML, but not an OpenVINO model: it has no layers with an input")
        self._by_number = {layer.number: layer for layer in self.layers}

    def of(self, kind: str) -> list[_Layer]:
        return [layer for layer in self.layers if layer.kind == kind and layer.number]

    def source(self, result: _Layer) -> _Port | None:
        """The port whose value a Result hands out."""
        number, port = self.edges.get((result.number, "0"), ("", ""))
        layer = self._by_number.get(number)
        return layer.outputs.get(port) if layer else None

    def _refuse(self, *_: object) -> None:
        raise ValueError("form: a document type does not belong into a model")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        parent = self._open[-1] if self._open else ""
        self._open.append(tag)
        if len(self._open) > _MAX_DEPTH:
            raise ValueError("depth: its elements are nested too deep")
        inside = "body" in self._open or "then_body" in self._open or "else_body" in self._open
        self.has_bodies |= inside
        if not parent:
            if tag != "net":
                raise ValueError("root: <net> is expected")
            self.name = attributes.get("name", "")
            self.facts["IR version"] = attributes.get("version", "unknown")
        elif tag == "layer" and parent == "layers":
            custom = not attributes.get("version", "opset1").startswith("opset")
            number = "" if inside else attributes["id"]
            self._layer = _Layer(number, attributes.get("name", ""), attributes["type"], custom)
            self.layers.append(self._layer)
        elif self._layer and tag == "data" and parent == "layer":
            self._layer.data = attributes
        elif self._layer and tag == "port" and parent in ("input", "output"):
            precision = attributes.get("precision", "").lower()
            self._port = _Port(attributes.get("names", ""), _NUMPY.get(precision, precision))
            if parent == "input":
                self._layer.inputs.append(self._port)
            else:
                self._layer.outputs[attributes["id"]] = self._port
        elif tag == "dim" and parent == "port":
            self._dim = ""
        elif tag == "edge" and parent == "edges" and not inside:
            target = attributes["to-layer"], attributes["to-port"]
            self.edges[target] = attributes["from-layer"], attributes["from-port"]
        elif parent == "model_info":
            self.metadata[tag] = attributes.get("value", "")
        elif tag == "Runtime_version" and parent == "rt_info":
            self.facts["producer"] = "OpenVINO " + attributes.get("value", "")

    def _end(self, tag: str) -> None:
        self._open.pop()
        if tag == "layer":
            self._layer = None
        elif tag == "port":
            self._port = None
        elif tag == "dim" and self._port is not None and self._dim is not None:
            size = int(self._dim) if self._dim.strip().isdecimal() else None  # -1, ?, 1..8 are free
            if len(self._port.shape) == _MAX_RANK or (size or 0) >= 1 << 63:
                raise ValueError("shape")
            self._port.shape = (*self._port.shape, size)
            self._dim = None

    def _text(self, text: str) -> None:
        if self._dim is not None:
            self._dim = (self._dim + text)[:64]


def _whole(path: Path, layer: _Layer, key: str) -> int:
    text = layer.data.get(key, "")
    if not text.isdecimal() or len(text) > 18:
        raise ModelError(f"{path} is damaged: {key} {text[:40]!r} of the weights {layer.name!r} is not a number")
    return int(text)


def _elements(document: _Document, constants: list[_Layer]) -> dict[str, int]:
    """Weights by dtype; each run of bytes once, and without the limits of quantization."""
    limits = {
        document.edges.get((layer.number, str(port)), ("", ""))[0]
        for layer in document.of("FakeQuantize")
        for port in range(1, 5)
    }
    runs: dict[tuple[str, str], tuple[str, int]] = {}
    for layer in constants:
        port = next(iter(layer.outputs.values()), None)
        dtype = _NUMPY.get(layer.data.get("element_type", ""), "")
        if port and dtype in _WEIGHTS and layer.number not in limits:
            items = prod(max(0, size or 0) for size in port.shape)
            if items > 1:
                runs[layer.data["offset"], layer.data["size"]] = dtype, items
    elements: dict[str, int] = {}
    for dtype, items in runs.values():
        elements[dtype] = elements.get(dtype, 0) + items
    return elements


def _spec(layer: _Layer, port: _Port | None, is_input: bool) -> TensorSpec:
    shape = port.shape if port else ()
    name = (port.names.split(",")[0] if port else "") or layer.name
    return TensorSpec(name, shape, numpy_dtype(port.dtype if port else ""), guess_layout(shape) if is_input else "")


def _macs(document: _Document) -> int | None:
    uncounted = _UNCOUNTED.split()
    if document.has_bodies or any(layer.custom or layer.kind in uncounted for layer in document.layers):
        return None
    total = 0
    for layer in document.layers:
        products = _products(layer)
        if products is None:
            return None
        total += products
    shapes = [port.shape for layer in document.of("Parameter") for port in layer.outputs.values()]
    batch = next((shape[0] for shape in shapes if len(shape) == 4), 1)
    return total // max(1, batch or 1)


def _products(layer: _Layer) -> int | None:
    """Multiply-accumulates of one layer for a batch of 1 where the batch is free; None when it does not tell."""
    kind = layer.kind
    if kind not in _CONVOLUTIONS and kind not in _DECONVOLUTIONS and kind != "MatMul":
        return 0
    if len(layer.inputs) < 2 or not layer.outputs:
        return None
    first, kernel = layer.inputs[0].shape, layer.inputs[1].shape
    result = next(iter(layer.outputs.values())).shape
    if kind in _CONVOLUTIONS:  # kernel (out, in, ...) or (groups, out / groups, in / groups, ...)
        return _product(_one(result), kernel[_CONVOLUTIONS[kind] :])
    if kind in _DECONVOLUTIONS:  # kernel (in, out, ...) or (groups, in / groups, out / groups, ...)
        return _product(_one(first), kernel[_DECONVOLUTIONS[kind] :])
    transposed = layer.data.get("transpose_a", "").lower() in ("true", "1")
    if not first or (transposed and len(first) < 2):
        return None
    return _product(_one(result), (first[-2 if transposed else -1],))


def _one(shape: Shape) -> Shape:
    """The shape with a free batch taken as 1."""
    return (1, *shape[1:]) if shape and shape[0] is None else shape


def _product(*shapes: Shape) -> int | None:
    sizes = [size for shape in shapes for size in shape]
    return prod(size for size in sizes if size is not None) if None not in sizes else None
