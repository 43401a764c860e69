"""What boards are compared by: the scores that the demo's model gives its pictures, in each CPU runtime."""

from __future__ import annotations

import json
import sys
from typing import TypeAlias

import piaccel
from piaccel.tasks import Classification
from tests.conftest import DEMO

PAIRS = (
    ("litert", "fp32-tflite"),
    ("litert", "int8-tflite"),
    ("onnxruntime", "fp32-onnx"),
    ("onnxruntime", "int8-onnx"),
    ("openvino", "fp32-onnx"),
    ("openvino", "int8-onnx"),
    ("opencv", "fp32-onnx"),
    ("ncnn", "fp32-ncnn"),
)
"""Backend and variant."""

Answers: TypeAlias = dict[str, list[float]]
"""Scores by picture."""


def ask(backend: str, variant: str) -> Answers:
    """Let this machine answer."""
    result = {}
    with piaccel.load(DEMO / "bundle", backend, variant=variant, threads=1) as model:
        for picture in sorted((DEMO / "images").glob("*.jpg")):
            found = model.predict(piaccel.read_image(picture))
            assert isinstance(found, Classification)
            result[picture.name] = found.scores.tolist()
    return result


if __name__ == "__main__":
    json.dump({f"{backend} {variant}": ask(backend, variant) for backend, variant in PAIRS}, sys.stdout)
