"""Ctrl-C in the middle of an inference: the process lives, and the session goes on to answer."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import os, signal, sys, threading, time
import numpy as np
from piaccel import models

signal.signal(signal.SIGINT, signal.default_int_handler)
picture = np.full((96, 96, 3), 90, np.uint8)
loaded = [models.load(sys.argv[1], name) for name in sys.argv[2:]]
right = [model.predict(picture).scores for model in loaded]
interrupted = 0
for turn in range(60):
    timer = threading.Timer(0.001 + turn % 13 * 0.0007, os.kill, (os.getpid(), signal.SIGINT))
    try:
        timer.start()
        while True:
            for model in loaded:
                model.predict(picture)
    except KeyboardInterrupt:
        interrupted += 1
    for model, scores in zip(loaded, right):
        np.testing.assert_allclose(model.predict(picture).scores, scores, atol=1e-6)
assert interrupted == 60
"""


@pytest.mark.parametrize(
    "names",
    [["litert"], ["onnxruntime"], ["openvino"], ["opencv"], ["ncnn"], ["litert", "onnxruntime", "openvino"]],
    ids="+".join,
)
def test_a_runtime_answers_after_it_was_interrupted(demo: Path, names: list[str]) -> None:
    for name in names:
        pytest.importorskip({"litert": "ai_edge_litert", "opencv": "cv2"}.get(name, name))
    command = [sys.executable, "-c", SCRIPT, str(demo / "bundle"), *names]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
