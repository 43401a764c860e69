"""Hand-made snapshots, histograms and pictures of a pipeline that runs."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np

from piaccel.pipeline.histogram import Histogram
from piaccel.pipeline.outlet import OutletNumbers
from piaccel.pipeline.snapshot import CameraNumbers, Snapshot, Spread, StreamNumbers
from piaccel.sinks import Event

NOW = 1_790_000_000.0
HOSTILE = "<img src=x onerror=alert(1)>"


def spread(middle: float | None = 30.0, count: int = 100) -> Spread:
    if middle is None:
        return Spread(0, None, None, None, None, None, None)
    return Spread(count, middle, middle * 1.3, middle * 1.5, middle * 2, middle * 1.1, middle * 0.1)


def camera(**changes: Any) -> CameraNumbers:
    given: dict[str, Any] = {
        "name": "usb:0", "source": "usb:0", "state": "running", "produced": 1300, "fps": 30.0, "lost": 2,
        "reconnects": 1, "restamped": 3, "resized": 0, "size": (720, 1280), "clock": "sensor",
    }  # fmt: skip
    return CameraNumbers(**{**given, **changes})


def stream(name: str = "main", **changes: Any) -> StreamNumbers:
    given: dict[str, Any] = {
        "name": name, "camera": "usb:0", "model": "demo", "policy": "latest", "offered": 1300, "answered": 1190,
        "failed": 1, "dropped": {"overwritten": 99, "expired": 9}, "waiting": 1, "published": 1190, "held": 0,
        "missing": 0, "late": 4, "deadline_ms": 80.0, "rate": 27.4, "age": spread(), "recent_age": spread(31.0),
        "gap": spread(36.5), "stages": {"wait": spread(8.0), "inference": spread(20.0)}, "backend": "litert",
        "variant": "int8", "wanted_backend": "auto", "rung": 1, "rungs": 3,
    }  # fmt: skip
    return StreamNumbers(**{**given, **changes})


def sink(name: str = "jsonl:results.jsonl", **changes: Any) -> OutletNumbers:
    given: dict[str, Any] = {
        "name": name, "delivery": "at least once", "state": "open", "offered": 1190, "sent": 1180,
        "given_up": {"queue full": 7}, "retries": 3, "queued": 3, "lag_s": 0.4,
    }  # fmt: skip
    return OutletNumbers(**{**given, **changes})


def history(
    names: tuple[str, ...] = ("main",), at: float = NOW, count: int = 120
) -> tuple[dict[str, float | None], ...]:
    def point(n: int) -> dict[str, float | None]:
        known: dict[str, float | None] = {"at": at - count + n, "temperature_c": 55 + 8 * math.sin(n / 30)}
        for name in names:
            known[f"{name}.rate"] = 27 + 2 * math.sin(n / 7)
            known[f"{name}.age_p95_ms"] = None if 40 < n < 50 else 40 + 9 * math.cos(n / 9)
            known[f"{name}.age_p50_ms"] = None if 40 < n < 50 else 25 + 4 * math.cos(n / 9)
            known[f"{name}.dropped"] = float(n * 2 + n // 20 * 10)
        return known

    return tuple(point(n) for n in range(count))


def snapshot(**changes: Any) -> Snapshot:
    given: dict[str, Any] = {
        "at": NOW,
        "up_s": 3725.0,
        "cameras": (camera(),),
        "streams": (stream(),),
        "sinks": (sink(),),
        "board": {
            "temperature_c": 61.5, "clock_hz": 1.5e9, "throttled": float(0x50004), "under_voltage": 0.0,
            "fan_rpm": None, "memory_available_bytes": 4.1e8, "load": 1.7,
        },
        "history": history(),
    }  # fmt: skip
    return Snapshot(**{**given, **changes})


def histograms(stream: str = "main") -> dict[tuple[str, str], Histogram]:
    made = {(stream, name): Histogram() for name in ("age", "gap", "inference")}
    for n in range(1, 101):
        made[stream, "age"].add(n * 1_000_000)
        made[stream, "gap"].add(36_000_000)
        made[stream, "inference"].add(20_000_000 + n)
    return made


def event(name: str, number: int, size: tuple[int, int] = (720, 1280)) -> Event:
    """An event whose picture is plain, and of another grey for each number."""
    image = np.full((*size, 3), (number * 40) % 256, np.uint8)
    now = time.monotonic_ns()
    return Event(f"d/r/{number}", name, number, now, now, time.time(), None, image=image)
