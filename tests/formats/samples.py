"""The smallest models of each format that still have a picture in, weights, a convolution and a dense layer."""

from pathlib import Path
from typing import Any

import ai_edge_litert.schema_py_generated as schema
import flatbuffers  # type: ignore[import-untyped]
import numpy as np

SIDE, CHANNELS, FILTERS, CLASSES = 8, 3, 4, 5
PARAMETERS = FILTERS * CHANNELS * 9 + FILTERS + CLASSES * FILTERS * SIDE * SIDE + CLASSES
MACS = SIDE * SIDE * FILTERS * CHANNELS * 9 + CLASSES * FILTERS * SIDE * SIDE

_OPTIONS = {"CONV_2D": "Conv2DOptions", "RESHAPE": "ReshapeOptions", "FULLY_CONNECTED": "FullyConnectedOptions"}


def tflite(
    path: Path, *, quantized: bool = False, custom: str = "", free_batch: bool = False, graph_name: str | None = "main"
) -> Path:
    """Write convolution, reshape, dense; ``custom`` puts an operator of that name at the end."""
    random = np.random.default_rng(0)
    buffers = [schema.BufferT()]
    tensors: list[Any] = []

    def tensor(name: str, shape: tuple[int, ...], data: Any = None, kind: str = "") -> int:
        made = schema.TensorT()
        made.name, made.shape = name, list(shape)
        made.type = getattr(schema.TensorType, kind or ("INT8" if quantized else "FLOAT32"))
        if quantized:
            made.quantization = schema.QuantizationParametersT()
            made.quantization.scale, made.quantization.zeroPoint = [0.5], [0 if data is not None else 3]
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            buffers.append(buffer)
            made.buffer = len(buffers) - 1
        tensors.append(made)
        return len(tensors) - 1

    def target(*shape: int) -> int:
        return tensor("shape", (len(shape),), np.array(shape, np.int32), "INT32")

    def weights(name: str, *shape: int) -> int:
        values = random.integers(-9, 9, shape)
        return tensor(name, shape, values.astype(np.int8 if quantized else np.float32))

    def bias(name: str, length: int) -> int:
        zeros = np.zeros(length, np.int32 if quantized else np.float32)
        return tensor(name, (length,), zeros, "INT32" if quantized else "FLOAT32")

    image = tensor("image", (1, SIDE, SIDE, CHANNELS))
    if free_batch:
        tensors[image].shapeSignature = [-1, SIDE, SIDE, CHANNELS]
    features = tensor("features", (1, SIDE, SIDE, FILTERS))
    flat, logits = tensor("flat", (1, FILTERS * SIDE * SIDE)), tensor("logits", (1, CLASSES))
    steps = [
        ("CONV_2D", [image, weights("kernel", FILTERS, 3, 3, CHANNELS), bias("b1", FILTERS)], features),
        ("RESHAPE", [features, target(1, FILTERS * SIDE * SIDE)], flat),
        ("FULLY_CONNECTED", [flat, weights("dense", CLASSES, FILTERS * SIDE * SIDE), bias("b2", CLASSES)], logits),
    ]
    if custom:
        steps.append(("CUSTOM", [logits], tensor("special", (1, CLASSES))))
    graph = schema.SubGraphT()
    graph.name, graph.inputs, graph.outputs, graph.operators = graph_name, [image], [steps[-1][2]], []
    codes: list[Any] = []
    for kind, ins, out in steps:
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, kind)
        code.deprecatedBuiltinCode = code.builtinCode
        code.version = {"CONV_2D": 3, "FULLY_CONNECTED": 4}.get(kind, 1) if quantized else 1
        code.customCode = custom if kind == "CUSTOM" else None
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = len(codes), ins, [out]
        if kind != "CUSTOM":
            name = _OPTIONS[kind]
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, name)
            operator.builtinOptions = getattr(schema, f"{name}T")()
            if kind == "RESHAPE":
                operator.builtinOptions.newShape = [1, FILTERS * SIDE * SIDE]
            elif kind == "CONV_2D":
                operator.builtinOptions.strideH = operator.builtinOptions.strideW = 1
        codes.append(code)
        graph.operators.append(operator)
    graph.tensors = tensors
    model = schema.ModelT()
    model.version, model.description, model.operatorCodes = 3, "a sample", codes
    model.subgraphs, model.buffers = [graph], buffers
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def onnx(path: Path, *, batch: int | str = 1, domain: str = "", kind: str = "Softmax", quantized: bool = False) -> Path:
    """Write the same network; ``kind`` of ``domain`` is its last operator; ``quantized`` takes and gives uint8."""
    import onnx as package
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    shapes = {"kernel": (FILTERS, CHANNELS, 3, 3), "b1": (FILTERS,)}
    shapes |= {"dense": (FILTERS * SIDE * SIDE, CLASSES), "b2": (CLASSES,)}
    weights = [numpy_helper.from_array(random.random(shape, np.float32), name) for name, shape in shapes.items()]
    nodes = [
        helper.make_node("Conv", ["image", "kernel", "b1"], ["features"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Flatten", ["features"], ["flat"]),
        helper.make_node("Gemm", ["flat", "dense", "b2"], ["logits"]),
        helper.make_node(kind, ["logits"], ["scores"], domain=domain),
    ]
    dtype = TensorProto.FLOAT
    if quantized:
        dtype = TensorProto.UINT8
        scales = {"scale": np.float32(0.5), "zero": np.uint8(3)}
        weights += [numpy_helper.from_array(np.array(value), name) for name, value in scales.items()]
        nodes[0].input[0], nodes[-1].output[0] = "real image", "real scores"
        nodes.insert(0, helper.make_node("DequantizeLinear", ["image", "scale", "zero"], ["real image"]))
        nodes.append(helper.make_node("QuantizeLinear", ["real scores", "scale", "zero"], ["scores"]))
    image = helper.make_tensor_value_info("image", dtype, [batch, CHANNELS, SIDE, SIDE])
    scores = helper.make_tensor_value_info("scores", dtype, [batch, CLASSES])
    graph = helper.make_graph(nodes, "sample", [image], [scores], weights)
    opsets = [helper.make_opsetid("", 13)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    model = helper.make_model(graph, producer_name="tests", opset_imports=opsets, ir_version=8)
    entry = model.metadata_props.add()
    entry.key, entry.value = "task", "classify"
    package.save(model, path)
    return path


def openvino(path: Path) -> Path:
    """Write the same network without its biases as IR, with the .bin beside it."""
    kernel = np.ones((FILTERS, CHANNELS, 3, 3), np.float32)
    dense = np.ones((CLASSES, FILTERS * SIDE * SIDE), np.float32)
    target = np.array([1, -1], np.int64)
    path.with_suffix(".bin").write_bytes(kernel.tobytes() + dense.tobytes() + target.tobytes())

    def port(number: int, shape: tuple[int, ...], precision: str = "FP32", names: str = "") -> str:
        dims = "".join(f"<dim>{size}</dim>" for size in shape)
        named = f' names="{names}"' if names else ""
        return f'<port id="{number}" precision="{precision}"{named}>{dims}</port>'

    def layer(number: int, name: str, kind: str, data: str, ins: list[str], out: str) -> str:
        inputs = f"<input>{''.join(ins)}</input>" if ins else ""
        outputs = f"<output>{out}</output>" if out else ""
        opening = f'<layer id="{number}" name="{name}" type="{kind}" version="opset1">'
        return f"{opening}{f'<data {data}/>' if data else ''}{inputs}{outputs}</layer>\n"

    image, features = (1, CHANNELS, SIDE, SIDE), (1, FILTERS, SIDE, SIDE)
    flat, scores = (1, FILTERS * SIDE * SIDE), (1, CLASSES)
    shape = ", ".join(map(str, image))
    padding = 'strides="1, 1" dilations="1, 1" pads_begin="1, 1" pads_end="1, 1" auto_pad="explicit"'
    layers = [
        layer(0, "image", "Parameter", f'shape="{shape}" element_type="f32"', [], port(0, image, names="image")),
        _constant(1, "kernel", kernel.shape, "f32", 0, kernel.nbytes, port(0, kernel.shape)),
        layer(2, "conv", "Convolution", padding, [port(0, image), port(1, kernel.shape)], port(2, features)),
        _constant(3, "to", (2,), "i64", kernel.nbytes + dense.nbytes, 16, port(0, (2,), "I64")),
        layer(4, "flat", "Reshape", 'special_zero="false"', [port(0, features), port(1, (2,), "I64")], port(2, flat)),
        _constant(5, "dense", dense.shape, "f32", kernel.nbytes, dense.nbytes, port(0, dense.shape)),
        layer(6, "mm", "MatMul", 'transpose_a="false" transpose_b="true"', [port(0, flat), port(1, dense.shape)],
              port(2, scores, names="scores")),
        layer(7, "result", "Result", "", [port(0, scores)], ""),
    ]  # fmt: skip
    edges = [(0, 0, 2, 0), (1, 0, 2, 1), (2, 2, 4, 0), (3, 0, 4, 1), (4, 2, 6, 0), (5, 0, 6, 1), (6, 2, 7, 0)]
    lines = [f'<edge from-layer="{a}" from-port="{b}" to-layer="{c}" to-port="{d}"/>\n' for a, b, c, d in edges]
    path.write_text(
        f'<?xml version="1.0"?>\n<net name="sample" version="11">\n<layers>\n{"".join(layers)}</layers>\n'
        f"<edges>\n{''.join(lines)}</edges>\n</net>\n"
    )
    return path


def _constant(number: int, name: str, shape: tuple[int, ...], kind: str, offset: int, size: int, out: str) -> str:
    shape_text = ", ".join(map(str, shape))
    data = f'<data element_type="{kind}" shape="{shape_text}" offset="{offset}" size="{size}"/>'
    opening = f'<layer id="{number}" name="{name}" type="Const" version="opset1">'
    return f"{opening}{data}<output>{out}</output></layer>\n"


def ncnn(path: Path, *, stated: bool = True, kind: str = "Softmax") -> Path:
    """Write the same network as .param and .bin; ``stated`` puts the input's size into the file."""
    size = f" 0={SIDE} 1={SIDE} 2={CHANNELS}" if stated else ""
    kernel, dense = FILTERS * CHANNELS * 9, CLASSES * FILTERS * SIDE * SIDE
    path.write_text(
        "7767517\n4 4\n"
        f"Input image 0 1 image{size}\n"
        f"Convolution conv 1 1 image features 0={FILTERS} 1=3 4=1 5=1 6={kernel}\n"
        f"InnerProduct dense 1 1 features logits 0={CLASSES} 1=1 2={dense}\n"
        f"{kind} softmax 1 1 logits scores 0=0\n"
    )
    tag = b"\0\0\0\0"
    random = np.random.default_rng(0)
    path.with_suffix(".bin").write_bytes(
        tag + random.random(kernel, np.float32).tobytes() + bytes(4 * FILTERS)
        + tag + random.random(dense, np.float32).tobytes() + bytes(4 * CLASSES)
    )  # fmt: skip
    return path
