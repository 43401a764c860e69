"""Answering the same pictures for a while: does the answer stay the same, does it get slower, how hot does it get?"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from piaccel import backends, images, isolation, models
from piaccel.backends import CameraSession
from piaccel.bench.monitor import Monitor
from piaccel.bench.pictures import synthetic
from piaccel.bench.run import UPLOAD_TIMEOUT_S
from piaccel.bundles import Bundle
from piaccel.errors import PiaccelError
from piaccel.models import Model
from piaccel.tensors import Array

SILENCE_S = 180.0
"""The longest a child may say nothing: some accelerators load for minutes."""
_MOST_PICTURES = 8


@dataclass(frozen=True)
class Soak:
    """What became of a backend under load. ``None`` is what this board has no sensor for, or what was not reached."""

    asked_s: float
    lasted_s: float
    frames: int
    changed: int
    """Answers that were not the first answer to the same picture."""
    first_ms: float | None
    """Median of the first tenth of the frames..."""
    last_ms: float | None
    """... and of the last."""
    start_c: float | None
    hottest_c: float | None
    throttled: bool | None
    error: str = ""
    device: dict[str, float] = field(default_factory=dict)
    """The highest reading of each sensor of the accelerator, such as hailo_temp (in °C) and hailo_power (in W)."""

    def reasons(self) -> list[str]:
        """Why it did not pass: it failed, or it changed its mind. Heat and slowing down are for the reader to judge."""
        found = []
        if self.error:
            found.append(f"it failed after {self.lasted_s:.0f} s under load: {self.error}")
        if self.changed:
            found.append(f"{self.changed} of {self.frames} answers under load were not the first one to that picture")
        return found


@dataclass(frozen=True)
class Sofar:
    """What the child says now and then."""

    seconds: float
    latency_ns: list[int]
    """Of the frames since it last spoke."""
    changed: int
    """Since the beginning."""
    device: dict[str, float] = field(default_factory=dict)
    """What the accelerator's sensors say now."""


def soak(
    bundle: Bundle,
    variant: str,
    backend: str,
    options: Sequence[str],
    pictures: Sequence[Path],
    seconds: float,
    root: str | os.PathLike[str] = "/",
    tell: Callable[[float], None] = lambda seconds: None,
) -> Soak:
    """Let one backend answer in a child process for so many seconds; never raises what the backend does wrong."""
    from piaccel.device import sensors

    latencies: list[int] = []
    device: dict[str, float] = {}
    last = Sofar(0.0, [], 0)
    error = ""
    silence_s = UPLOAD_TIMEOUT_S if backends.get(backend).brings_camera else SILENCE_S
    arguments = bundle.path, variant, backend, tuple(options), tuple(pictures), seconds
    with Monitor(sensors.find(root)) as monitor, isolation.Worker() as worker:
        started = time.perf_counter_ns()
        try:
            for last in worker.stream(f"{__name__}:soak_here", *arguments, timeout=silence_s):
                latencies += last.latency_ns
                device |= {name: max(value, device.get(name, value)) for name, value in last.device.items()}
                tell(last.seconds)
        except PiaccelError as failed:
            error = str(failed)
        series = {each.name: each.values for each in monitor.between(started, time.perf_counter_ns())}
    heat = [value for value in series.get("temperature_c", []) if value is not None]
    flags = [int(value) for value in series.get("throttled", []) if value is not None]
    tenth = max(1, len(latencies) // 10)
    return Soak(
        asked_s=seconds,
        lasted_s=last.seconds,
        frames=len(latencies),
        changed=last.changed,
        first_ms=statistics.median(latencies[:tenth]) / 1e6 if latencies else None,
        last_ms=statistics.median(latencies[-tenth:]) / 1e6 if latencies else None,
        start_c=heat[0] if heat else None,
        hottest_c=max(heat) if heat else None,
        throttled=any(value & 0xF for value in flags) if flags else None,
        error=error,
        device=device,
    )


def soak_here(
    path: Path, variant: str, backend: str, options: Sequence[str], pictures: Sequence[Path], seconds: float
) -> Iterator[Sofar]:
    """What the child of ``soak`` does: speak once a second."""
    with models.load(path, backend, variant=variant, options=options) as model:
        if isinstance(model.session, CameraSession):
            yield from _watch(model, seconds)
            return
        frames = [images.read_image(each) for each in pictures] or synthetic(0)
        feeds = [_copied(model.preprocess(frame)[0]) for frame in frames[:_MOST_PICTURES]]
        right = [_copied(model.session.run(feed)) for feed in feeds]
        changed = count = 0
        latencies: list[int] = []
        started = spoken = time.perf_counter_ns()
        while spoken - started < seconds * 1e9:
            begin = time.perf_counter_ns()
            answer = model.session.run(feeds[count % len(feeds)])
            end = time.perf_counter_ns()
            latencies.append(end - begin)
            changed += not _same(answer, right[count % len(feeds)])
            count += 1
            if end - spoken >= 1e9:
                spoken = end
                yield Sofar((spoken - started) / 1e9, latencies, changed, _readings(model))
                latencies = []


def _readings(model: Model) -> dict[str, float]:
    read = [(sensor.name, sensor.read()) for sensor in model.session.sensors()]
    return {name: value for name, value in read if value is not None}


def _watch(model: Model, seconds: float) -> Iterator[Sofar]:
    """Take the camera's frames with their results; a frame's latency is the time since the one before."""
    latencies: list[int] = []
    with model.stream() as stream:
        next(stream)
        started = spoken = last = time.perf_counter_ns()
        while spoken - started < seconds * 1e9:
            next(stream)
            now = time.perf_counter_ns()
            latencies.append(now - last)
            last = now
            if now - spoken >= min(1.0, seconds) * 1e9:
                spoken = now
                yield Sofar((spoken - started) / 1e9, latencies, 0)
                latencies = []


def _copied(arrays: dict[str, Array]) -> dict[str, Array]:
    return {name: array.copy() for name, array in arrays.items()}


def _same(answer: dict[str, Array], right: dict[str, Array]) -> bool:
    return all(np.array_equal(answer[name], array) for name, array in right.items())
