"""Events and waiting for the tests of what drives machines."""

import socket
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from piaccel.sinks import Event
from piaccel.tasks import Classification

LABELS = ("good", "hole", "crack")


def judged(label: str = "crack", score: float = 0.9) -> Classification:
    scores = np.full(len(LABELS), (1 - score) / 2, np.float32)
    scores[LABELS.index(label)] = score
    return Classification(scores, LABELS)


def event(number: int = 0, **changes: Any) -> Event:
    """A part with a crack, exposed 30 ms ago."""
    now_ns = time.monotonic_ns()
    given: dict[str, Any] = {
        "id": f"device/boot/{number}",
        "stream": "line1",
        "index": number,
        "exposed_ns": now_ns - 30_000_000,
        "published_ns": now_ns,
        "at": time.time(),
        "result": judged(),
    }
    return Event(**{**given, **changes})


def until(true: Callable[[], object], what: str = "it never happened") -> None:
    """Wait until something is so; the end of a test that would hang, not a measurement."""
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.005)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
