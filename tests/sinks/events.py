"""Events for the tests of sinks."""

import time
from typing import Any

import numpy as np

from piaccel.sinks import Event
from piaccel.tasks import Classification, Detections

AT = 1_795_396_402.123
"""2026-11-23T01:13:22.123Z"""
LABELS = ("good", "crack", "hole")


def classified(label: str = "crack", score: float = 0.9) -> Classification:
    scores = np.full(len(LABELS), (1 - score) / 2, np.float32)
    scores[LABELS.index(label)] = score
    return Classification(scores, LABELS)


def detected(*labels: str) -> Detections:
    """Boxes of 8 x 8 pixels, one a label, each surer than the next."""
    boxes = np.array([(8 * at, 8, 8 * at + 8, 16) for at in range(len(labels))], np.float32).reshape(-1, 4)
    confidence = np.linspace(0.9, 0.6, len(labels), dtype=np.float32)
    return Detections(boxes, confidence, np.array([LABELS.index(label) for label in labels], np.int64), LABELS)


def image(value: int = 90, height: int = 48, width: int = 64) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.full((height, width, 3), value, np.uint8)


def event(number: int = 0, label: str = "crack", **changes: Any) -> Event:
    """A judged frame without a picture, 31 ms old; ``changes`` replace its fields."""
    now_ns = time.monotonic_ns()
    given: dict[str, Any] = {
        "id": f"pi/boot/{number}",
        "stream": "line1",
        "index": number,
        "exposed_ns": now_ns - 31_000_000,
        "published_ns": now_ns,
        "at": AT + number,
        "result": classified(label),
        "model": "parts",
        "variant": "int8",
        "backend": "litert",
        "stages_ns": {"wait": 1_000_000, "inference": 20_500_000},
    }
    return Event(**{**given, **changes})


def unanswered(number: int = 0, **changes: Any) -> Event:
    """A part that nobody judged."""
    return event(number, result=None, cause="expired", **changes)
