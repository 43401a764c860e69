"""Tiny networks in every format, all of the same function: a 1x1 convolution from 3 to 2 channels of a 5x5 picture."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from piaccel import backends
from piaccel.backends import Options
from piaccel.tensors import Quantization

Floats = NDArray[np.float32]

WEIGHTS: Floats = np.array([[0.5, -0.25, 0.125], [-1.0, 0.75, 0.0625]], np.float32)
BIAS: Floats = np.array([0.1, -0.2], np.float32)
OUTPUT = Quantization((4 / 255,), (0,))
"""int8; the uint8 networks have the same scale and a zero point that is higher by 128."""
INPUT = Quantization((1 / 128,), (0,))


def picture(batch: int = 1, seed: int = 0) -> Floats:
    """Values in [-1, 1), float32 NHWC."""
    return (np.random.default_rng(seed).random((batch, 5, 5, 3), np.float32) * 2 - 1).astype(np.float32)


def answer(nhwc: Floats) -> Floats:
    """What every network answers, float32 NHWC."""
    return (nhwc @ WEIGHTS.T + BIAS).astype(np.float32)


def nchw(nhwc: Floats) -> Floats:
    return np.ascontiguousarray(nhwc.transpose(0, 3, 1, 2))


COUNT = f"{__name__}:threads_after_a_run"


def threads_after_a_run(name: str, path: Path, threads: int) -> int:
    """For a child process: how many threads it has once the network has run in the backend ``name``."""
    with backends.get(name).load(path, Options(threads=threads)) as session:
        session.run({spec.name: np.zeros([size or 1 for size in spec.shape], spec.dtype) for spec in session.inputs})
        return len(os.listdir("/proc/self/task"))


def onnx_answers(nhwc: Floats) -> dict[str, NDArray[Any]]:
    """What the ONNX networks answer, float32 NCHW."""
    y = nchw(answer(nhwc))
    return {"y": y, "positive": np.maximum(y, 0)}


def onnx_file(path: Path, shape: Sequence[int | str] = (1, 3, 5, 5), op: str = "Conv", external: bool = False) -> Path:
    """An ONNX network with input "x" and outputs "y" and "positive", in that order."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    out = [shape[0], 2, *shape[2:]]
    graph = helper.make_graph(
        [
            helper.make_node(
                op, ["x", "w", "b"], ["y"], name="first", domain="" if op == "Conv" else "acme", kernel_shape=[1, 1]
            ),
            helper.make_node("Relu", ["y"], ["positive"], name="second"),
        ],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, out) for name in ("y", "positive")],
        [numpy_helper.from_array(WEIGHTS[:, :, None, None], "w"), numpy_helper.from_array(BIAS, "b")],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("acme", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    if external:
        onnx.save(model, path, save_as_external_data=True, location=f"{path.name}.data", size_threshold=0)
    else:
        onnx.save(model, path)
    return path


def quantized_onnx_file(path: Path, dtype: str = "uint8", zero_point: bool = True) -> Path:
    """The network with integers at its ends, as a converter from TensorFlow Lite writes it: input "x", output "y"."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    shift = np.array(128 if dtype == "uint8" else 0, dtype)
    kind = TensorProto.UINT8 if dtype == "uint8" else TensorProto.INT8
    zero = ["zero"] if zero_point else []
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "x_scale", *zero], ["x_real"]),
        helper.make_node("Conv", ["x_real", "w", "b"], ["y_real"], kernel_shape=[1, 1]),
        helper.make_node("QuantizeLinear", ["y_real", "y_scale", *zero], ["y"]),
    ]
    arrays = {
        "w": WEIGHTS[:, :, None, None],
        "b": BIAS,
        "x_scale": np.float32(INPUT.scale[0]),
        "y_scale": np.float32(OUTPUT.scale[0]),
        **({"zero": shift} if zero_point else {}),
    }
    graph = helper.make_graph(
        nodes,
        "quantized",
        [helper.make_tensor_value_info("x", kind, [1, 3, 5, 5])],
        [helper.make_tensor_value_info("y", kind, [1, 2, 5, 5])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def text_onnx_file(path: Path) -> Path:
    """An ONNX network of words."""
    import onnx
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(name, TensorProto.STRING, [1]) for name in ("words", "same")]
    graph = helper.make_graph([helper.make_node("Identity", ["words"], ["same"])], "text", ends[:1], ends[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def matmul_onnx_file(path: Path) -> Path:
    """An ONNX network "a" times "b", of any sizes, that fails where these do not fit each other."""
    import onnx
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [f"{name}0", f"{name}1"]) for name in "aby"]
    graph = helper.make_graph([helper.make_node("MatMul", ["a", "b"], ["y"])], "product", ends[:2], ends[2:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def ir_file(path: Path) -> Path:
    """The ONNX network as an OpenVINO .xml with its .bin beside it."""
    import openvino

    onnx = onnx_file(path.with_suffix(".onnx"))
    openvino.save_model(openvino.Core().read_model(onnx), path, compress_to_fp16=False)
    return path


def ncnn_file(path: Path, layer: str = "Convolution") -> Path:
    """An ncnn network with input "x" and output "y"; the weights are written beside it."""
    lines = ["7767517", "2 2", "Input x 0 1 x", f"{layer} y 1 1 x y 0=2 1=1 11=1 2=1 3=1 4=0 5=1 6=6"]
    path.write_text("\n".join(lines) + "\n")
    path.with_suffix(".bin").write_bytes(np.uint32(0).tobytes() + WEIGHTS.tobytes() + BIAS.tobytes())
    return path


class TFLite:
    """Builds a .tflite file tensor by tensor with the schema's object API."""

    def __init__(self) -> None:
        import ai_edge_litert.schema_py_generated as schema

        self.schema = schema
        self.graph = schema.SubGraphT()
        self.graph.name = "main"  # OpenCV 5 dies without one
        self.graph.tensors, self.graph.operators = [], []
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.buffers = [schema.BufferT()]
        self.model.operatorCodes = []
        self.model.subgraphs = [self.graph]

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: str = "FLOAT32",
        data: NDArray[Any] | None = None,
        quantization: Quantization | None = None,
    ) -> int:
        """Add a tensor, -1 in ``shape`` for a free dimension; return its index."""
        tensor = self.schema.TensorT()
        tensor.name = name
        tensor.shape = [abs(size) for size in shape]
        if any(size < 0 for size in shape):
            tensor.shapeSignature = list(shape)
        tensor.type = getattr(self.schema.TensorType, dtype)
        if data is not None:
            buffer = self.schema.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            tensor.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
        if quantization is not None:
            stated = self.schema.QuantizationParametersT()
            stated.scale = list(quantization.scale)
            stated.zeroPoint = list(quantization.zero_point)
            stated.quantizedDimension = quantization.axis
            tensor.quantization = stated
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def operator(
        self, name: str, inputs: list[int], outputs: list[int], options: Any = None, custom: str | None = None
    ) -> None:
        code = self.schema.OperatorCodeT()
        code.builtinCode = getattr(self.schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = 3 if name == "CONV_2D" else 1
        code.customCode = custom
        self.model.operatorCodes.append(code)
        operator = self.schema.OperatorT()
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        operator.inputs, operator.outputs = inputs, outputs
        if options is not None:
            kind = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(self.schema.BuiltinOptions, kind)
            operator.builtinOptions = options
        self.graph.operators.append(operator)

    def convolution(self, inputs: list[int], output: int) -> None:
        options = self.schema.Conv2DOptionsT()
        options.padding = self.schema.Padding.VALID
        options.strideW = options.strideH = options.dilationWFactor = options.dilationHFactor = 1
        self.operator("CONV_2D", inputs, [output], options)

    def write(self, path: Path, inputs: list[int], outputs: list[int]) -> Path:
        import flatbuffers  # type: ignore[import-untyped]

        self.graph.inputs, self.graph.outputs = inputs, outputs
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        path.write_bytes(bytes(builder.Output()))
        return path


def tflite_file(path: Path, batch: int = 1) -> Path:
    """A float network with input "x" and output "y"; -1 leaves the batch free."""
    net = TFLite()
    x = net.tensor("x", (batch, 5, 5, 3))
    w = net.tensor("w", (2, 1, 1, 3), data=WEIGHTS)
    b = net.tensor("b", (2,), data=BIAS)
    y = net.tensor("y", (batch, 5, 5, 2))
    net.convolution([x, w, b], y)
    return net.write(path, [x], [y])


def quantized_tflite_file(path: Path, dtype: str = "INT8", per_channel: bool = True, float_ends: bool = False) -> Path:
    """The same network quantized: inputs and outputs in ``dtype``, or float with the integers between."""
    net = TFLite()
    shift = 128 if dtype == "UINT8" else 0
    given = Quantization(INPUT.scale, (shift,))
    result = Quantization(OUTPUT.scale, (shift,))
    top = np.abs(WEIGHTS).max(axis=1) if per_channel else np.abs(WEIGHTS).max()[None]
    scales = tuple((top / 127).tolist())
    weights = Quantization(scales, (shift,) * len(scales))
    bias = Quantization(tuple(INPUT.scale[0] * scale for scale in scales), (0,) * len(scales))
    numpy_dtype = np.dtype(dtype.lower())
    x = net.tensor("x", (1, 5, 5, 3), dtype, quantization=given)
    w = net.tensor("w", (2, 1, 1, 3), dtype, weights.quantize(WEIGHTS.reshape(2, 1, 1, 3), numpy_dtype), weights)
    b = net.tensor("b", (2,), "INT32", bias.quantize(BIAS, np.dtype(np.int32)), bias)
    y = net.tensor("y", (1, 5, 5, 2), dtype, quantization=result)
    if not float_ends:
        net.convolution([x, w, b], y)
        return net.write(path, [x], [y])
    x_float = net.tensor("x_float", (1, 5, 5, 3))
    y_float = net.tensor("y_float", (1, 5, 5, 2))
    net.operator("QUANTIZE", [x_float], [x], net.schema.QuantizeOptionsT())
    net.convolution([x, w, b], y)
    net.operator("DEQUANTIZE", [y], [y_float], net.schema.DequantizeOptionsT())
    return net.write(path, [x_float], [y_float])


def custom_tflite_file(path: Path, custom: str) -> Path:
    """A network of one custom operator."""
    net = TFLite()
    x, y = net.tensor("x", (1, 4)), net.tensor("y", (1, 4))
    net.operator("CUSTOM", [x], [y], custom=custom)
    return net.write(path, [x], [y])
