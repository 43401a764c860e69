"""Reads TensorFlow Lite files with the schema that comes with ai-edge-litert; the weights stay on disk.

Fields and operators: tensorflow/compiler/mlir/lite/schema/schema.fbs. The Edge TPU compiler leaves a custom
operator named ``edgetpu-custom-op`` in what it made.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from piaccel.errors import ModelError, UnavailableError
from piaccel.formats.network import EDGETPU_OP, Network, count, numpy_dtype, precision_of
from piaccel.tensors import Quantization, TensorSpec, guess_layout

MAX_ITEMS = 50_000
"""No network for a small board has more operators or tensors; a damaged length does."""
MAX_RANK = 16
_DAMAGED = (struct.error, IndexError, ValueError, TypeError, OverflowError, AttributeError)
"""What the flatbuffers package raises when an offset leads out of the file."""

_NUMPY = {"INT4": "int8", "UINT4": "uint8", "INT2": "int8"}
_BIAS_AT = {"CONV_2D": 2, "DEPTHWISE_CONV_2D": 2, "FULLY_CONNECTED": 2, "TRANSPOSE_CONV": 3, "CONV_3D": 2}
_WEIGHT_TYPES = {"FLOAT32", "FLOAT16", "BFLOAT16", "FLOAT64", "INT8", "UINT8", "INT16", "INT4", "UINT4", "INT2"}
_UNCOUNTED = {
    "WHILE",
    "IF",
    "CALL",
    "SVDF",
    "RNN",
    "LSTM",
    "UNIDIRECTIONAL_SEQUENCE_LSTM",
    "UNIDIRECTIONAL_SEQUENCE_RNN",
}
_UNCOUNTED |= {"BIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_RNN"}
_WITHOUT_PRODUCTS = {"TFLite_Detection_PostProcess"}


class _Tensor(NamedTuple):
    shape: tuple[int, ...]
    dtype: str
    buffer: int


def read(path: Path, size: tuple[int, int] | None = None) -> Network:
    """Read a .tflite file. Raises ModelError, and UnavailableError without ai-edge-litert."""
    try:
        import ai_edge_litert.schema_py_generated as schema
    except ImportError as error:
        raise UnavailableError(
            "looking into TensorFlow Lite files needs ai-edge-litert, which is not installed",
            hint="pip install ai-edge-litert",
        ) from error
    with open(path, "rb") as file:
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    try:
        return _Reader(schema, path, data).network()
    except _DAMAGED as error:
        raise ModelError(
            f"{path} is truncated or damaged: a part of this TensorFlow Lite model lies outside its {len(data)} bytes",
            hint="copy or download the file again and compare its size",
        ) from error


class _Reader:
    def __init__(self, schema: Any, path: Path, data: memoryview) -> None:
        self.schema = schema
        self.path = path
        self.data = data
        self.model = schema.Model.GetRootAs(data)
        self.ops = _names(schema.BuiltinOperator)
        self.types = _names(schema.TensorType)
        self.budget = MAX_ITEMS
        self.filled = self._filled_buffers()

    def network(self) -> Network:
        codes = [self._code(self.model.OperatorCodes(i)) for i in self._range(self.model.OperatorCodesLength())]
        graphs = [self.model.Subgraphs(i) for i in self._range(self.model.SubgraphsLength())]
        if not graphs:
            raise ModelError(f"{self.path} is a TensorFlow Lite model without a graph")
        names: list[str] = []
        weights: dict[int, _Tensor] = {}
        biases: dict[int, _Tensor] = {}
        macs: int | None = 0
        float_results = False
        for graph in graphs:
            tensors: dict[int, _Tensor] = {}
            for i in self._range(graph.OperatorsLength()):
                operator = graph.Operators(i)
                name, custom = codes[operator.OpcodeIndex()]
                names.append(name)
                ins = [self._tensor(graph, tensors, j) for j in self._indices(operator.InputsLength, operator.Inputs)]
                outs = [
                    self._tensor(graph, tensors, j) for j in self._indices(operator.OutputsLength, operator.Outputs)
                ]
                for place, tensor in enumerate(ins):
                    if tensor and tensor.buffer in self.filled:
                        if tensor.dtype in _WEIGHT_TYPES:
                            weights[tensor.buffer] = tensor
                        elif place == _BIAS_AT.get(name):
                            biases[tensor.buffer] = tensor
                if name in _BIAS_AT and outs and outs[0]:
                    float_results |= outs[0].dtype == "FLOAT32"
                if graph is graphs[0] and macs is not None:
                    products = self._products(name, custom, operator, ins, outs)
                    macs = None if products is None else macs + products
        main = graphs[0]
        inputs = tuple(self._spec(main, i, True) for i in self._indices(main.InputsLength, main.Inputs))
        outputs = tuple(self._spec(main, i, False) for i in self._indices(main.OutputsLength, main.Outputs))
        operators = count(names)
        batch = self._batch(main)
        elements: dict[str, int] = {}
        for tensor in weights.values():
            elements[tensor.dtype.lower()] = elements.get(tensor.dtype.lower(), 0) + prod(tensor.shape)
        compiled = EDGETPU_OP in operators
        precision = "int8" if compiled else precision_of(elements)
        if precision in ("int8", "uint8", "int4") and float_results:
            precision += "-weights"
        facts = {"schema version": str(self.model.Version())}
        if len(graphs) > 1:
            facts["subgraphs"] = str(len(graphs))
        return Network(
            path=self.path,
            format="tflite",
            inputs=inputs,
            outputs=outputs,
            operators=operators,
            custom_operators=tuple(sorted({name for name, custom in codes if custom} & operators.keys())),
            parameters=None if compiled else sum(prod(t.shape) for t in (*weights.values(), *biases.values())),
            macs=None if macs is None else macs // batch,
            size_bytes=len(self.data),
            precision=precision,
            description=_text(self.model.Description()),
            facts=facts,
        )

    def _range(self, length: int) -> range:
        """The indices of a vector, of which a damaged file may claim to have any number."""
        self.budget -= length
        if self.budget < 0:
            raise ModelError(f"{self.path} is damaged: it claims to have more than {MAX_ITEMS} parts")
        return range(length)

    def _indices(self, length: Callable[[], int], item: Callable[[int], int]) -> list[int]:
        return [item(i) for i in self._range(length())]

    def _filled_buffers(self) -> set[int]:
        """The buffers that hold something, each checked to lie inside the file."""
        filled = set()
        for i in self._range(self.model.BuffersLength()):
            buffer = self.model.Buffers(i)
            size = buffer.DataLength()
            if size:
                size = len(buffer.DataAsNumpy())
            elif buffer.Offset() > 1:  # weights behind the flatbuffer, as in files above 2 GB
                size = buffer.Size()
                if buffer.Offset() + size > len(self.data):
                    raise IndexError(i)
            if size:
                filled.add(i)
        return filled

    def _code(self, code: Any) -> tuple[str, bool]:
        # Old files keep the operator in one signed byte, newer ones in a field beside it: the larger one counts.
        builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        name = self.ops.get(builtin, f"BUILTIN_{builtin}")
        if name != "CUSTOM":
            return name, False
        return _text(code.CustomCode()) or "CUSTOM", True

    def _tensor(self, graph: Any, known: dict[int, _Tensor], index: int) -> _Tensor | None:
        if index < 0:  # an optional input that is left out
            return None
        if index not in known:
            if index >= graph.TensorsLength():
                raise IndexError(index)
            tensor = graph.Tensors(index)
            known[index] = _Tensor(self._shape(tensor), self.types.get(tensor.Type(), "?"), tensor.Buffer())
        return known[index]

    def _shape(self, tensor: Any) -> tuple[int, ...]:
        if tensor.ShapeLength() > MAX_RANK:
            raise IndexError(tensor.ShapeLength())
        return tuple(max(0, tensor.Shape(i)) for i in range(tensor.ShapeLength()))

    def _spec(self, graph: Any, index: int, is_input: bool) -> TensorSpec:
        if not 0 <= index < graph.TensorsLength():
            raise IndexError(index)
        tensor = graph.Tensors(index)
        shape: tuple[int | None, ...] = self._shape(tensor)
        if tensor.ShapeSignatureLength() == len(shape):
            signature = [tensor.ShapeSignature(i) for i in range(len(shape))]
            shape = tuple(None if free < 0 else size for free, size in zip(signature, shape, strict=True))
        kind = self.types.get(tensor.Type(), "?")
        dtype = numpy_dtype(_NUMPY.get(kind, kind.lower()))
        quantization = self._quantization(tensor) if dtype.kind in "iu" else None
        return TensorSpec(_text(tensor.Name()), shape, dtype, guess_layout(shape) if is_input else "", quantization)

    def _quantization(self, tensor: Any) -> Quantization | None:
        stated = tensor.Quantization()
        if stated is None or not stated.ScaleLength():
            return None
        scale = stated.ScaleAsNumpy()
        if not scale.any():
            return None
        zero = stated.ZeroPointAsNumpy() if stated.ZeroPointLength() == len(scale) else np.zeros(len(scale), np.int64)
        return Quantization(tuple(scale.tolist()), tuple(zero.tolist()), stated.QuantizedDimension())

    def _batch(self, graph: Any) -> int:
        for index in self._indices(graph.InputsLength, graph.Inputs):
            shape = self._shape(graph.Tensors(index))
            if len(shape) == 4:
                return max(1, shape[0])
        return 1

    def _products(
        self, name: str, custom: bool, operator: Any, ins: list[_Tensor | None], outs: list[_Tensor | None]
    ) -> int | None:
        """Multiply-accumulates of one operator, None when it does not tell."""
        if custom:
            return 0 if name in _WITHOUT_PRODUCTS else None
        if name in _UNCOUNTED or name.startswith("STABLEHLO_"):
            return None
        if name not in _BIAS_AT and name != "BATCH_MATMUL":
            return 0
        result, first, kernel = outs[0], ins[0], ins[1]
        if result is None or first is None or kernel is None:
            return None
        if name == "CONV_2D":  # kernel (out, h, w, in / groups)
            return prod(result.shape) * prod(kernel.shape[1:])
        if name == "DEPTHWISE_CONV_2D":  # kernel (1, h, w, out)
            return prod(result.shape) * prod(kernel.shape[1:3])
        if name == "CONV_3D":  # kernel (d, h, w, in, out)
            return prod(result.shape) * prod(kernel.shape[:4])
        if name == "FULLY_CONNECTED":  # kernel (out, in)
            return prod(result.shape) * kernel.shape[-1]
        if name == "TRANSPOSE_CONV":  # inputs: the result's shape, kernel (out, h, w, in), image
            image = ins[2]
            return None if image is None else prod(image.shape) * prod(kernel.shape[:3])
        options = self.schema.BatchMatMulOptions()
        table = operator.BuiltinOptions()
        if table is None:
            return prod(result.shape) * first.shape[-1]
        options.Init(table.Bytes, table.Pos)
        return prod(result.shape) * first.shape[-2 if options.AdjX() else -1]


def _names(enum: type) -> dict[int, str]:
    return {value: name for name, value in vars(enum).items() if not name.startswith("_")}


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode(errors="replace")
