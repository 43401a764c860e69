"""The layers that an ncnn .param file lists, and the weights that each of them reads.

Format: docs/developer-guide/param-and-model-file-structure.md and operators.md of the ncnn project.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, TypeAlias

from piaccel.errors import ModelError

MAGIC = "7767517"
_ARRAY = -23300
_LARGEST = 2**31
Value: TypeAlias = int | float | tuple[int | float, ...]

_KNOWN = """
    AbsVal ArgMax BNLL BatchNorm Bias BinaryOp CELU Cast Clip Concat Convolution Convolution1D Convolution3D
    ConvolutionDepthWise ConvolutionDepthWise1D ConvolutionDepthWise3D CopyTo Crop CumulativeSum Deconvolution
    Deconvolution1D Deconvolution3D DeconvolutionDepthWise DeconvolutionDepthWise1D DeconvolutionDepthWise3D DeepCopy
    DeformableConv2D Dequantize DetectionOutput Diag Dropout ELU Einsum Eltwise Embed Erf Exp ExpandDims Flatten Flip
    Fold GELU GLU GRU Gemm GridSample GroupNorm HardSigmoid HardSwish InnerProduct Input InstanceNorm Interp
    InverseSpectrogram LRN LSTM LayerNorm Log MVN MatMul MemoryData Mish MultiHeadAttention Noop Normalize PReLU
    PSROIPooling Packing Padding Permute PixelShuffle Pooling Pooling1D Pooling3D Power PriorBox Proposal Quantize
    RMSNorm RNN ROIAlign ROIPooling ReLU Reduction Reorg Requantize Reshape RotaryEmbed SDPA SELU SPP Scale Shrink
    ShuffleChannel Sigmoid Slice Softmax Softplus Spectrogram Split Squeeze StatisticsPooling Swish TanH Threshold
    Tile UnaryOp Unfold YoloDetectionOutput Yolov3DetectionOutput
"""
KNOWN = frozenset(_KNOWN.split())
"""The layers of ncnn 1.0.20261020; any other must be registered by the caller."""

_UNSIZED = """
    Convolution3D ConvolutionDepthWise3D Deconvolution1D Deconvolution3D DeconvolutionDepthWise1D
    DeconvolutionDepthWise3D DeformableConv2D Dequantize GRU Gemm LSTM MultiHeadAttention Quantize RMSNorm RNN
    Requantize SDPA
"""
UNSIZED = frozenset(_UNSIZED.split())
"""Layers with weights of which the number is not known here: nothing behind them in the .bin file can be found."""


class Layer(NamedTuple):
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    params: dict[int, Value]

    def whole(self, key: int, default: int = 0) -> int:
        """The parameter ``key`` as an integer."""
        value = self.params.get(key, default)
        return default if isinstance(value, tuple) else int(value)


def parse(path: Path) -> list[Layer]:
    """Read the layers of a .param file, in order. Raises ModelError."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    if not lines or lines[0].strip() != MAGIC:
        raise ModelError(f"{path} is not an ncnn model: its first line is not {MAGIC}")
    counts = lines[1].split() if len(lines) > 1 else []
    if len(counts) != 2 or not all(number.isdecimal() and len(number) < 10 for number in counts):
        raise ModelError(f"{path} is damaged: line 2 does not hold the numbers of layers and blobs")
    stated = int(counts[0])
    layers = [_layer(path, number, line) for number, line in enumerate(lines[2:], 3) if line.strip()]
    if len(layers) != stated:
        what = "truncated" if len(layers) < stated else "damaged"
        raise ModelError(f"{path} is {what}: line 2 promises {stated} layers, {len(layers)} follow")
    made: set[str] = set()
    for number, layer in enumerate(layers, 1):
        missing = [name for name in layer.inputs if name not in made]
        if missing:
            raise ModelError(
                f"{path} is damaged: layer {number} ({layer.kind}) wants {missing[0]!r}, which nothing makes"
            )
        made.update(layer.outputs)
    return layers


def _layer(path: Path, number: int, line: str) -> Layer:
    fields = line.split()
    try:
        kind, _, bottoms, tops = fields[:4]
        split = 4 + int(bottoms)
        end = split + int(tops)
        if not 4 <= split <= end <= len(fields):
            raise ValueError(fields)
        return Layer(kind, tuple(fields[4:split]), tuple(fields[split:end]), dict(map(_param, fields[end:])))
    except ValueError as error:
        raise ModelError(
            f"{path} is truncated or damaged: line {number} is not a layer: {line.strip()[:60]!r}"
        ) from error


def _param(field: str) -> tuple[int, Value]:
    key, _, text = field.partition("=")
    number = int(key)
    if number <= _ARRAY:  # -233xx=n,v1,...,vn is an array
        return _ARRAY - number, tuple(map(_number, text.split(",")[1:]))
    return number, _number(text)


def _number(text: str) -> int | float:
    try:
        value: int | float = int(text)
    except ValueError:
        value = float(text)
    if not abs(value) <= _LARGEST:
        raise ValueError(text)
    return value


def pieces(layer: Layer) -> list[tuple[int, bool]] | None:
    """The runs of weights that a layer reads, as (elements, whether a tag goes before); None when that is unknown."""
    kind, whole = layer.kind, layer.whole
    if kind in UNSIZED or kind not in KNOWN:
        return None
    if kind.startswith(("Convolution", "Deconvolution")):
        if whole(19 if kind.startswith("Conv") else 28):  # the weights come from another blob
            return []
        runs = [(whole(6), True)] + [(whole(0), False)] * bool(whole(5))
        return runs + (_int8_scales(layer, whole(7) if "DepthWise" in kind else 0) if kind.startswith("Conv") else [])
    if kind == "InnerProduct":
        return [(whole(2), True)] + [(whole(0), False)] * bool(whole(1)) + _int8_scales(layer, 0)
    if kind == "MemoryData":
        items = whole(0)
        for key in (1, 11, 2):
            items *= whole(key) or 1
        return [(items, not whole(21, 1))]
    if kind == "Embed":
        return [(whole(3), True)] + [(whole(0), False)] * bool(whole(2))
    if kind == "Scale":
        return [(whole(0), False)] * (1 + bool(whole(1))) if whole(0) != -233 else []
    counts = {
        "BatchNorm": (whole(0), 4),
        "Bias": (whole(0), 1),
        "PReLU": (whole(0), 1),
        "Normalize": (whole(3), 1),
        "InstanceNorm": (whole(0), 2 * bool(whole(2, 1))),
        "GroupNorm": (whole(1), 2 * bool(whole(3, 1))),
        "LayerNorm": (whole(0), 2 * bool(whole(2, 1))),
    }
    items, times = counts.get(kind, (0, 0))
    return [(items, False)] * times


def _int8_scales(layer: Layer, groups: int) -> list[tuple[int, bool]]:
    """The scales that stand behind int8 weights: of the weights, of the input, and above 100 of the output."""
    term = layer.whole(8)
    if not term:
        return []
    of_weights = layer.whole(0) if not groups else groups if term in (1, 101) else 1
    return [(of_weights, False), (1, False)] + [(1, False)] * (term > 100)
