"""The preprocessing that models of a family usually want, for files that do not say."""

from __future__ import annotations

import numpy as np

from piaccel.frames import Colour, Preprocess, Resize
from piaccel.tensors import TensorSpec

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


def usual(
    image: TensorSpec,
    *,
    size: tuple[int, int],
    mean: tuple[float, ...] = (0.0,),
    std: tuple[float, ...] = (1.0,),
    resize: Resize = "stretch",
    colour: Colour = "RGB",
) -> Preprocess:
    """Return preprocessing for the input ``image``; ``size`` counts where the input's own is free.

    ``mean`` and ``std`` are for float inputs. An 8-bit input takes the pixels as they are: its quantization covers
    0..255 of the pictures it was calibrated with.
    """
    if image.dtype in (np.uint8, np.int8):
        scale, zero_point = (1.0, 0)
        if image.quantization is not None:
            scale, zero_point = image.quantization.scale[0], image.quantization.zero_point[0]
        mean, std = (float(zero_point - np.iinfo(image.dtype).min),), (1 / scale,)
    return Preprocess(size, resize=resize, colour=colour, mean=mean, std=std).for_input(image)
