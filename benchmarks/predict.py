"""What ``Model.predict`` costs over a loop written by hand, and over a tutorial's loop, on a 1080p frame."""

from __future__ import annotations

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter

from benchmarks import SHARED, Row, interleave, medians
from piaccel import models

MODEL = SHARED / "models/imagenet/mobilenet_v2_1.0_224_quant.tflite"
LABELS = SHARED / "models/imagenet/imagenet_labels.txt"


def measure() -> list[Row]:
    whole = "Model.predict over cv2.resize and the bare interpreter, 1920x1080, mobilenet_v2_1.0_224_quant, 1 thread"
    around = "the part that is not inference, against the tutorial's loop (float64 division and all)"
    if not MODEL.exists():
        return [Row(question, "not measured: the model is not here") for question in (whole, around)]
    interpreter = Interpreter(str(MODEL), num_threads=1)
    interpreter.allocate_tensors()
    at, to = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    frame = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (1080, 1920, 3), np.uint8), (0, 0), 3)

    def by_hand() -> object:
        interpreter.set_tensor(at, cv2.resize(frame, (224, 224))[None])
        interpreter.invoke()
        scores = interpreter.get_tensor(to)[0]
        return np.argsort(scores)[-5:]

    with models.load(MODEL, "litert", threads=1, labels=LABELS) as model:
        feeds, geometry = model.preprocess(frame)
        outputs = model.infer(feeds)
        scores = next(iter(outputs.values()))[0]

        def tutorial() -> object:
            processed = cv2.resize(frame, (224, 224)) / 255.0
            np.expand_dims(np.array(processed, dtype=np.float32), axis=0)
            return np.argmax(scores)

        def ours() -> object:
            model.preprocess(frame)
            return model.postprocess(outputs, geometry)

        hand, full = medians(interleave([by_hand, lambda: model.predict(frame)], rounds=200, block=2))
        taught, kept = medians(interleave([tutorial, ours], rounds=300, block=4))
    return [
        Row(whole, f"{full / hand - 1:+.1%} ({hand / 1e6:.2f} ms by hand)", "at most +5 %", full <= hand * 1.05),
        Row(around, f"{taught / kept:.1f}x faster ({kept / 1e6:.2f} ms)", "at least 2x", taught >= 2 * kept),
    ]
