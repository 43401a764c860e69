"""The demo's network: MobileNetV2 at width 0.35 with a narrower end, about 0.2 million parameters.

Block structure after Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (table 2). It
differs in two places, both because the defects are a pixel or two wide: the total stride is 16 and not 32,
and the last convolution has 256 channels and not 1280.
"""

from __future__ import annotations

import copy
from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

# expansion, channels out, repeats, stride of the first
STAGES = ((1, 8, 1, 1), (4, 12, 2, 2), (6, 16, 3, 2), (6, 24, 3, 2), (6, 32, 3, 1), (6, 56, 2, 1))
STEM, LAST = 16, 256
CELLS = 6
"""The last convolution sees the picture as 6x6 cells."""


def conv(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1, active: bool = True
) -> nn.Sequential:
    layers = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, nn.ReLU6()) if active else nn.Sequential(*layers)


class Bottleneck(nn.Module):
    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        widen = [conv(inputs, hidden)] if expansion > 1 else []
        self.body = nn.Sequential(*widen, conv(hidden, hidden, 3, stride, hidden), conv(hidden, outputs, active=False))
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.residual else self.body(x)


class Inspector(nn.Module):
    """(n, 3, 96, 96) float32 in -1..1 to (n, classes) logits."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        blocks: list[nn.Module] = [conv(3, STEM, 3, 2)]
        width = STEM
        for expansion, outputs, repeats, stride in STAGES:
            for number in range(repeats):
                blocks.append(Bottleneck(width, outputs, expansion, stride if number == 0 else 1))
                width = outputs
        self.features = nn.Sequential(*blocks, conv(width, LAST))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.where = nn.Conv2d(LAST, 3, 1)
        self.head = nn.Sequential(OrderedDict(dropout=nn.Dropout(0.1), dense=nn.Linear(LAST, classes)))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.flatten(self.pool(self.features(x)), 1))

    def explained(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits, and for training where each kind of damage is: (n, 3, 6, 6) logits. The latter is not exported."""
        seen = self.features(x)
        return self.head(torch.flatten(self.pool(seen), 1)), self.where(seen)


class Deployed(nn.Module):
    """What is shipped: BatchNorm folded into the convolutions, softmax at the end."""

    def __init__(self, network: Inspector) -> None:
        super().__init__()
        self.network = fold(network)

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(self.network(x), 1)


def fold(network: Inspector) -> Inspector:
    """A copy in evaluation mode whose convolutions hold their BatchNorm's scale and shift."""
    folded = copy.deepcopy(network).eval()
    for module in folded.modules():
        if isinstance(module, nn.Sequential) and len(module) > 1 and isinstance(module[1], nn.BatchNorm2d):
            module[0] = fuse_conv_bn_eval(module[0], module[1])
            module[1] = nn.Identity()
    return folded
