"""What ``Session.run`` costs over the bare runtime's own calls, on a model of a fraction of a millisecond."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks import SHARED, Row, interleave, medians
from piaccel import backends

MODEL = SHARED / "models/imagenet/mobilenet_v1_0.25_128_quant.tflite"


def measure() -> list[Row]:
    question = "Session.run over the bare interpreter, mobilenet_v1_0.25_128_quant, 1 thread"
    if not MODEL.exists():
        return [Row(question, "not measured: the model is not here")]
    image = np.random.default_rng(0).integers(0, 256, (1, 128, 128, 3), np.uint8)
    backend = backends.get("litert")
    with backend.load(MODEL, backend.options(threads=1)) as session:
        # The same interpreter for both: where in memory its buffers lie makes more of a difference than piaccel does.
        interpreter: Any = session._interpreter  # type: ignore[attr-defined]
        at, to = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

        def bare() -> object:
            interpreter.set_tensor(at, image)
            interpreter.invoke()
            return interpreter.get_tensor(to)

        feeds = {session.inputs[0].name: image}
        times = interleave([bare, lambda: session.run(feeds)], rounds=1500, block=2)
    plain, ours = medians(times)
    extra_us = (ours - plain) / 1000
    text = f"{extra_us:+.1f} µs a call ({plain / 1000:.0f} µs bare, {ours / 1000:.0f} µs through piaccel)"
    return [Row(question, text, "at most 10 µs", extra_us <= 10)]
