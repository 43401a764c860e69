"""Run a network with your own arrays, one seam below Model: python examples/own_preprocessing.py"""

from pathlib import Path

import numpy as np

from piaccel import backends

MODEL = Path(__file__).parents[1] / "demo" / "bundle" / "int8.tflite"

litert = backends.get("litert")
with litert.load(MODEL, litert.options(threads=1)) as session:
    (image,), (scores,) = session.inputs, session.outputs
    outputs = session.run({image.name: np.zeros(image.shape, image.dtype)})
    raw = outputs[scores.name]
    print(
        "raw", raw.dtype, raw.shape, "->", scores.quantization.dequantize(raw).round(2) if scores.quantization else raw
    )
