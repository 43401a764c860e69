"""Whether the automatic pick is as fast as the best that an exhaustive benchmark finds, in the same sitting."""

from __future__ import annotations

import os
import statistics
import tempfile
from pathlib import Path

import piaccel
from benchmarks import DEMO, SHARED, Row
from piaccel import fastest
from piaccel.bench import Measurement
from piaccel.bench.environment import usable_cores
from piaccel.bundles import Bundle

MODELS = (
    DEMO / "bundle",
    SHARED / "models/imagenet/mobilenet_v2_1.0_224_quant.tflite",
    SHARED / "models/face/rfb_320.onnx",
)


def measure() -> list[Row]:
    with tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache
        return [_compare(path) for path in MODELS if path.exists()]


def _speed(row: Measurement) -> float:
    """The median of the fastest repeat: on a noisy machine the steadiest number, and the one that the pick goes by."""
    return min(statistics.median(repeat.latency_ns) for repeat in row.repeats)


def _compare(path: Path) -> Row:
    bundle = Bundle.open(path)
    pick = fastest.choose(bundle).pick
    counts = range(1, usable_cores() + 1)
    report = piaccel.benchmark(path, threads=list(counts), duration_s=0.7, repeats=5)
    agreeing = sorted((row for row in report.measurements if row.agreement and row.agreement.agrees), key=_speed)
    ours = next(
        row for row in agreeing if (row.variant, row.backend, row.threads) == (pick.variant, pick.backend, pick.threads)
    )
    best = agreeing[0]
    slower = _speed(ours) / _speed(best) - 1
    text = f"{pick.backend}/{pick.variant} x{pick.threads}: {slower:+.1%} of the best of {len(agreeing)}"
    if ours is not best:
        text += f", {best.backend}/{best.variant} x{best.threads}"
    return Row(f"auto's pick against an exhaustive benchmark, {bundle.name}", text, "within 5 %", slower <= 0.05)
