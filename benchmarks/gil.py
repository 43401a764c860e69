"""Whether each runtime lets go of Python's lock while it runs: else a pipeline's other threads would wait for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np

from benchmarks import DEMO, Row
from piaccel import backends, models
from piaccel.backends import Session
from piaccel.bundles import Bundle
from piaccel.errors import PiaccelError
from piaccel.tensors import Array, TensorSpec

VARIANTS = {
    "litert": "fp32-tflite",
    "onnxruntime": "fp32-onnx",
    "openvino": "fp32-onnx",
    "ncnn": "fp32-ncnn",
    "opencv": "fp32-onnx",
}
SECONDS = 1.0
HELD = 0.5
"""Below this share of its own speed the other thread is taken as locked out: with the lock let go it has a core."""


def measure() -> list[Row]:
    return [_row(name) for name in VARIANTS]


def _row(name: str) -> Row:
    question = f"speed of another Python thread while {name} runs, against alone (2 cores, 1 thread each)"
    bundle = Bundle.open(DEMO / "bundle")
    try:
        backends.get(name)
        model = models.open_model(bundle, bundle.variant(VARIANTS[name]), name, threads=1)
    except PiaccelError as error:
        return Row(question, f"not measured: {error}")
    with model:
        shares = sorted(_share(model.session) for _ in range(3))
    share = shares[1]
    return Row(question, f"{share:.2f} ({'lets go' if share >= HELD else 'holds the lock'})")


def _share(session: Session) -> float:
    feeds = {spec.name: _zeros(spec) for spec in session.inputs}
    alone = _counted(lambda: time.sleep(0.01))
    return _counted(lambda: session.run(feeds)) / alone


def _counted(work: Callable[[], object]) -> int:
    """How far a pure-Python thread counts while ``work`` is called again and again."""
    over = threading.Event()
    counted = 0

    def count() -> None:
        nonlocal counted
        while not over.is_set():
            counted += 1

    thread = threading.Thread(target=count)
    thread.start()
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        work()
    over.set()
    thread.join()
    return counted


def _zeros(spec: TensorSpec) -> Array:
    return np.zeros([size or 1 for size in spec.shape], spec.dtype)
