"""Whether the automatic pick is as fast as the best that an exhaustive benchmark finds, in the same sitting."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import piaccel
from benchmarks import DEMO, SHARED, Row
from piaccel import auto
from piaccel.bench.conclusion import cost, ranking
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


def _compare(path: Path) -> Row:
    bundle = Bundle.open(path)
    pick = auto.choose(bundle).pick
    counts = range(1, usable_cores() + 1)
    report = piaccel.benchmark(path, threads=list(counts), duration_s=1.0, repeats=5)
    agreeing = [row for row in ranking(report.measurements) if row.agreement and row.agreement.agrees]
    ours = next(
        row for row in agreeing if (row.variant, row.backend, row.threads) == (pick.variant, pick.backend, pick.threads)
    )
    best = agreeing[0]
    slower = (cost(ours) or 0) / (cost(best) or 1) - 1
    text = f"{pick.backend}/{pick.variant} x{pick.threads}: {slower:+.1%} of the best of {len(agreeing)}"
    if ours is not best:
        text += f", {best.backend}/{best.variant} x{best.threads}"
    return Row(f"auto's pick against an exhaustive benchmark, {bundle.name}", text, "within 5 %", slower <= 0.05)
