"""Whether a pipeline's memory stays flat: ten minutes with everything that keeps something."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks import DEMO, Row
from piaccel.pipeline.runner import Pipeline

MINUTES = float(os.environ.get("PIACCEL_ENDURANCE_MINUTES", "10"))
WARM_UP = 0.2
"""Share of the run after which memory is taken as settled."""


def measure() -> list[Row]:
    """Resident memory each second; the growth is that of a line through the samples after the warm-up."""
    process = psutil.Process()
    samples: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        pipeline = Pipeline(
            "synthetic:fps=60,size=1280x720",
            DEMO / "bundle",
            backend="litert",
            threads=1,
            deadline="80ms",
            sinks=[
                f"jsonl:{out}/results.jsonl,max_size=2MB,keep=2",
                f"sqlite:{out}/results.db,max_size=5MB",
                f"pictures:{out}/pictures,max_files=20,min_interval=1s",
            ],
            log=str(out / "numbers.jsonl"),
            web="127.0.0.1:0",
        )
        pipeline.start()
        began = time.monotonic()
        while (passed := time.monotonic() - began) < MINUTES * 60:
            samples.append((passed / 60, process.memory_info().rss / 1e6))
            time.sleep(1)
        summary = pipeline.wait(seconds=0)
    settled = [each for each in samples if each[0] >= WARM_UP * MINUTES]
    growth = _slope(settled) * MINUTES
    answered = summary.numbers.streams[0].answered
    return [
        Row(
            f"growth of resident memory in {MINUTES:g} minutes at 60 frames a second with files and page",
            f"{growth:+.1f} MB; {', '.join(f'{each[1]:.1f}' for each in settled[:: len(settled) // 8])} MB, "
            f"{answered} results",
            "at most 3 MB",
            growth <= 3,
        )
    ]


def _slope(points: list[tuple[float, float]]) -> float:
    """Least squares: MB a minute."""
    count = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / count, sum(y for _, y in points) / count
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
