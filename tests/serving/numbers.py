"""Hand-made numbers of a service that runs, and a stand-in for the service that has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from piaccel.pipeline.histogram import Histogram
from piaccel.serving.snapshot import Happening, ModelNumbers, ServiceNumbers, VersionNumbers


def version(name: str = "2", **changes: Any) -> VersionNumbers:
    given: dict[str, Any] = {
        "version": name, "state": "READY", "stage": "committed", "backend": "litert", "variant": "int8", "pid": 99,
        "memory_bytes": 64_000_000, "loaded_at": 1_790_000_000.0, "succeeded": 100,
        "failed": {"deadline_exceeded": 3, "internal": 1, "odd": 2}, "runs": 90, "queued": 4, "running": 1, "rate": 9.5,
        "queue_ns": 100_000_000, "input_ns": 50_000_000, "infer_ns": 4_500_000_000, "output_ns": 20_000_000,
        "total_ns": 5_050_000_000, "crashes": 1, "hangs": 2, "cancelled": 5, "share": 0.9, "agreement": 0.98,
        "compared": 50, "golden_at": 1_790_000_100.0,
    }  # fmt: skip
    return VersionNumbers(**{**given, **changes})


def model(name: str = "parts", **changes: Any) -> ModelNumbers:
    old = VersionNumbers(version="1", state="UNAVAILABLE", stage="quarantined", reason="2 of 20 requests failed")
    given: dict[str, Any] = {
        "name": name, "ready": True, "required": True, "serving": "2", "previous": "1", "rung": 1, "rungs": 2,
        "versions": (version(), old),
    }  # fmt: skip
    return ModelNumbers(**{**given, **changes})


def service(**changes: Any) -> ServiceNumbers:
    given: dict[str, Any] = {
        "name": "piaccel", "software": "0.5", "started_at": 1_790_000_000.0, "uptime_s": 60.0, "live": True,
        "ready": True, "models": (model(),), "memory_bytes": 70_000_000, "disk_free_bytes": 5_000_000_000,
        "connections": 3,
        "board": {
            "temperature_c": 61.5, "clock_hz": 1.5e9, "throttled": float(0x50004), "under_voltage": 0.0, "power_w": 4.2,
            "fan_rpm": None, "memory_available_bytes": 2e9,
        },
        "alarms": ("under-voltage",),
    }  # fmt: skip
    return ServiceNumbers(**{**given, **changes})


def histogram(count: int = 100) -> Histogram:
    """1, 2, 3 ... ms."""
    made = Histogram()
    for n in range(1, count + 1):
        made.add(n * 1_000_000)
    return made


class Stub:
    """Has what metrics ask of a service."""

    def __init__(self, seen: ServiceNumbers | None = None) -> None:
        self.seen = seen or service()
        self.listeners: list[Callable[[Happening], None]] = []

    def snapshot(self) -> ServiceNumbers:
        return self.seen

    def histograms(self) -> Mapping[tuple[str, str, str], Mapping[str, Histogram]]:
        return {
            (each.name, row.version, row.variant): {
                "total": histogram(), "queue": histogram(10), "infer": histogram(90),
            }
            for each in self.seen.models
            for row in each.versions
            if row.loaded_at is not None
        }  # fmt: skip

    def happen(self, what: str, model: str = "parts") -> None:
        for listener in self.listeners:
            listener(Happening(at=0.0, what=what, model=model))
