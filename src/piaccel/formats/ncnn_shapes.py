"""Follows the shapes through an ncnn network, as far as its layers' parameters tell.

The rules are those of ncnn's operators.md. Shapes are (w,), (h, w) or (c, h, w). A layer that is not known here leaves
its outputs' shapes unknown, which is no harm at the end of a detector.
"""

from __future__ import annotations

from math import prod

from piaccel.formats.ncnn_layers import Layer, pieces

Shape = tuple[int, ...]
_UNSTATED = -233
_MOST = 1 << 40
"""No tensor has more elements; damaged parameters do."""
_HOPS = 8
"""Layers that may stand between an input and its first convolution."""

_UNCHANGED = """
    AbsVal BNLL BatchNorm Bias CELU Cast Clip CumulativeSum Dequantize Dropout ELU Eltwise Erf Exp GELU GroupNorm
    HardSigmoid HardSwish InstanceNorm LRN LayerNorm Log MVN Mish Noop Normalize PReLU Power Quantize RMSNorm ReLU
    Requantize SELU Scale Shrink ShuffleChannel Sigmoid Softmax Softplus Split Swish TanH Threshold UnaryOp
"""
_SAME = frozenset(_UNCHANGED.split())
_PRODUCTS = """
    Convolution1D Convolution3D ConvolutionDepthWise1D ConvolutionDepthWise3D Deconvolution1D Deconvolution3D
    DeconvolutionDepthWise1D DeconvolutionDepthWise3D DeformableConv2D Einsum GRU Gemm LSTM MatMul MultiHeadAttention
    RNN SDPA
"""
_UNCOUNTED = frozenset(_PRODUCTS.split())
_CONVOLUTIONS = ("Convolution", "ConvolutionDepthWise")
_DECONVOLUTIONS = ("Deconvolution", "DeconvolutionDepthWise")
_ORDERS = ((0, 1, 2), (1, 0, 2), (0, 2, 1), (2, 0, 1), (1, 2, 0), (2, 1, 0))


class Shapes:
    """``blobs`` has the shapes that are known, ``inputs`` those of inputs with None for what is free."""

    def __init__(self, layers: list[Layer], size: tuple[int, int] | None) -> None:
        self.blobs: dict[str, Shape] = {}
        self.inputs: dict[str, tuple[int | None, ...]] = {}
        self.macs: int | None = 0
        self._readers = {name: layer for layer in reversed(layers) for name in layer.inputs}
        for layer in layers:
            if layer.kind == "Input":
                self._input(layer, size)
                continue
            ins = [self.blobs.get(name) for name in layer.inputs]
            outs = _outputs(layer, ins)
            for name, shape in zip(layer.outputs, outs, strict=False):
                if shape is not None and min(shape, default=0) > 0 and prod(shape) < _MOST:
                    self.blobs[name] = shape
            if self.macs is not None:
                products = self._products(layer, ins[0] if ins else None)
                self.macs = None if products is None else self.macs + products

    def _input(self, layer: Layer, size: tuple[int, int] | None) -> None:
        for name in layer.outputs:
            channels, height, width = (layer.whole(key) for key in (2, 1, 0))
            if size and min(height, width) <= 0:
                height, width = size
            if channels <= 0:
                channels = self._channels_wanted(name)
            shape = (channels, height, width)
            self.inputs[name] = tuple(length if length > 0 else None for length in shape)
            if min(shape) > 0 and prod(shape) < _MOST:
                self.blobs[name] = shape

    def _channels_wanted(self, blob: str) -> int:
        """The input channels of the first convolution that reads the blob, 0 when none does."""
        for _ in range(_HOPS):
            layer = self._readers.get(blob)
            if layer is None:
                return 0
            if layer.kind == "Convolution":
                height, width = _pair(layer, 1, 11)
                return layer.whole(6) // max(1, layer.whole(0) * height * width)
            if layer.kind not in _SAME or not layer.outputs:
                return 0
            blob = layer.outputs[0]
        return 0

    def _products(self, layer: Layer, shape: Shape | None) -> int | None:
        if layer.kind in _UNCOUNTED or pieces(layer) is None:
            return None
        if layer.kind == "InnerProduct":
            return layer.whole(2) * (shape[0] if shape and len(shape) == 2 else 1)
        if layer.kind in _DECONVOLUTIONS:
            return None if shape is None else layer.whole(6) * prod(shape[1:])
        if layer.kind in _CONVOLUTIONS:
            made = self.blobs.get(layer.outputs[0]) if layer.outputs else None
            return None if made is None else layer.whole(6) * prod(made[1:])
        return 0


def _outputs(layer: Layer, ins: list[Shape | None]) -> list[Shape | None]:
    """The shapes of a layer's outputs; a None input is one whose shape is unknown."""
    kind = layer.kind
    if kind == "MemoryData":
        return [tuple(size for size in (layer.whole(2), layer.whole(1), layer.whole(0)) if size > 0)]
    if not ins or any(shape is None for shape in ins):
        return [None] * len(layer.outputs)
    shapes = [shape for shape in ins if shape is not None]
    first = shapes[0]
    if kind in _SAME:
        return [first] * len(layer.outputs)
    if kind == "Slice":
        return _slice(layer, first)
    rule = _RULES.get(kind)
    return [rule(layer, shapes) if rule else None]


def _pair(layer: Layer, width: int, height: int, default: int = 1) -> tuple[int, int]:
    """(height, width) of a parameter that states the width, and the height where it differs."""
    across = layer.whole(width, default)
    return layer.whole(height, across), across


def _window(size: int, kernel: int, stride: int, begin: int, end: int, dilation: int = 1, *, ceil: bool = False) -> int:
    """How many windows fit; ``begin`` of -233 or -234 pads so that only the stride counts."""
    stride = max(1, stride)
    if begin in (-233, -234):
        return -(-size // stride)
    room = size + begin + end - (dilation * (kernel - 1) + 1)
    return (-(-room // stride) if ceil else room // stride) + 1


def _convolution(layer: Layer, shapes: list[Shape]) -> Shape | None:
    made = layer.whole(0)
    if len(shapes[0]) == 1:  # ncnn computes these as a dense layer
        return (made,)
    if len(shapes[0]) != 3:
        return None
    _, height, width = shapes[0]
    (kernel_h, kernel_w), (dilation_h, dilation_w) = _pair(layer, 1, 11), _pair(layer, 2, 12)
    stride_h, stride_w = _pair(layer, 3, 13)
    left = layer.whole(4)
    top = layer.whole(14, left)
    return (
        made,
        _window(height, kernel_h, stride_h, top, layer.whole(16, top), dilation_h),
        _window(width, kernel_w, stride_w, left, layer.whole(15, left), dilation_w),
    )


def _deconvolution(layer: Layer, shapes: list[Shape]) -> Shape | None:
    if len(shapes[0]) != 3:
        return None
    _, height, width = shapes[0]
    (kernel_h, kernel_w), (dilation_h, dilation_w) = _pair(layer, 1, 11), _pair(layer, 2, 12)
    stride_h, stride_w = _pair(layer, 3, 13)
    left = layer.whole(4)
    top = layer.whole(14, left)
    if layer.whole(20) > 0 and layer.whole(21) > 0:
        return layer.whole(0), layer.whole(21), layer.whole(20)
    if left < 0:
        return layer.whole(0), height * stride_h, width * stride_w
    return (
        layer.whole(0),
        (height - 1) * stride_h + dilation_h * (kernel_h - 1) + 1 + layer.whole(19) - top - layer.whole(16, top),
        (width - 1) * stride_w + dilation_w * (kernel_w - 1) + 1 + layer.whole(18) - left - layer.whole(15, left),
    )


def _pooling(layer: Layer, shapes: list[Shape]) -> Shape | None:
    if len(shapes[0]) != 3:
        return None
    channels, height, width = shapes[0]
    if layer.whole(4):  # global
        return (channels,)
    if layer.whole(7):  # adaptive
        wide = layer.whole(8)
        return channels, layer.whole(18, wide), wide
    (kernel_h, kernel_w), (stride_h, stride_w) = _pair(layer, 1, 11), _pair(layer, 2, 12)
    mode = layer.whole(5)
    if mode >= 2:
        return channels, _window(height, 0, stride_h, -233, 0), _window(width, 0, stride_w, -233, 0)
    left = layer.whole(3)
    top = layer.whole(13, left)
    ceil = mode == 0
    return (
        channels,
        _window(height, kernel_h, stride_h, top, layer.whole(15, top), ceil=ceil),
        _window(width, kernel_w, stride_w, left, layer.whole(14, left), ceil=ceil),
    )


def _dense(layer: Layer, shapes: list[Shape]) -> Shape | None:
    return (shapes[0][0], layer.whole(0)) if len(shapes[0]) == 2 else (layer.whole(0),)


def _concat(layer: Layer, shapes: list[Shape]) -> Shape | None:
    rank = len(shapes[0])
    axis = layer.whole(0) % max(1, rank)
    if any(len(shape) != rank for shape in shapes):
        return None
    return (*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])


def _slice(layer: Layer, shape: Shape) -> list[Shape | None]:
    sizes = layer.params.get(0, ())
    axis = layer.whole(1) % max(1, len(shape))
    if not isinstance(sizes, tuple) or len(sizes) != len(layer.outputs):
        return [None] * len(layer.outputs)
    left = shape[axis]
    parts: list[Shape | None] = []
    for place, size in enumerate(sizes):
        part = left // (len(sizes) - place) if size == _UNSTATED else int(size)
        left -= part
        parts.append((*shape[:axis], part, *shape[axis + 1 :]))
    return parts


def _broadcast(layer: Layer, shapes: list[Shape]) -> Shape | None:
    widest = max(shapes, key=lambda shape: (len(shape), prod(shape)))
    same_rank = [shape for shape in shapes if len(shape) == len(widest)]
    return tuple(max(sizes) for sizes in zip(*same_rank, strict=True))


def _padding(layer: Layer, shapes: list[Shape]) -> Shape | None:
    if len(shapes) != 1 or len(shapes[0]) != 3:
        return None
    channels, height, width = shapes[0]
    top, bottom, left, right, front, behind = (layer.whole(key) for key in (0, 1, 2, 3, 7, 8))
    return channels + front + behind, height + top + bottom, width + left + right


def _interp(layer: Layer, shapes: list[Shape]) -> Shape | None:
    if len(shapes[0]) != 3:
        return None
    if len(shapes) == 2:
        return (shapes[0][0], *shapes[1][-2:])
    channels, height, width = shapes[0]
    if layer.whole(3) and layer.whole(4):
        return channels, layer.whole(3), layer.whole(4)
    up, across = layer.params.get(1, 1), layer.params.get(2, 1)
    if isinstance(up, tuple) or isinstance(across, tuple) or max(abs(up), abs(across)) > _MOST:
        return None
    return channels, int(height * up), int(width * across)


def _reshape(layer: Layer, shapes: list[Shape]) -> Shape | None:
    wanted = [layer.whole(key, _UNSTATED) for key in (2, 1, 0)]
    sizes = [size for size in wanted if size != _UNSTATED]
    if layer.whole(11, _UNSTATED) != _UNSTATED or sizes.count(-1) > 1 or len(shapes) != 1:
        return None
    # 0 keeps the size at the same place, counted from the width
    kept = [
        shapes[0][place] if size == 0 and -place <= len(shapes[0]) else size
        for place, size in zip(range(-len(sizes), 0), sizes, strict=True)
    ]
    known = prod(size for size in kept if size != -1)
    if known <= 0:
        return None
    return tuple(prod(shapes[0]) // known if size == -1 else size for size in kept)


def _permute(layer: Layer, shapes: list[Shape]) -> Shape | None:
    shape, order = shapes[0], layer.whole(0)
    if len(shape) == 2:
        return shape[::-1] if order == 1 else shape
    if len(shape) != 3 or not 0 <= order < len(_ORDERS):
        return None
    width_first = shape[::-1]
    return tuple(width_first[place] for place in _ORDERS[order])[::-1]


def _flatten(layer: Layer, shapes: list[Shape]) -> Shape | None:
    return (prod(shapes[0]),)


def _pixel_shuffle(layer: Layer, shapes: list[Shape]) -> Shape | None:
    if len(shapes[0]) != 3:
        return None
    channels, height, width = shapes[0]
    factor = max(1, layer.whole(0, 1))
    return channels // factor**2, height * factor, width * factor


def _reorg(layer: Layer, shapes: list[Shape]) -> Shape | None:
    if len(shapes[0]) != 3:
        return None
    channels, height, width = shapes[0]
    stride = max(1, layer.whole(0, 1))
    return channels * stride**2, height // stride, width // stride


_RULES = {
    "BinaryOp": _broadcast,
    "Concat": _concat,
    "Convolution": _convolution,
    "ConvolutionDepthWise": _convolution,
    "Deconvolution": _deconvolution,
    "DeconvolutionDepthWise": _deconvolution,
    "Flatten": _flatten,
    "InnerProduct": _dense,
    "Interp": _interp,
    "Padding": _padding,
    "Permute": _permute,
    "PixelShuffle": _pixel_shuffle,
    "Pooling": _pooling,
    "Reorg": _reorg,
    "Reshape": _reshape,
}
