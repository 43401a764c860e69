"""Compare two runtimes and read the raw samples: python examples/benchmark_two_runtimes.py"""

from pathlib import Path

import piaccel
from piaccel.bench import statistics

DEMO = Path(__file__).parents[1] / "demo"

report = piaccel.benchmark(
    DEMO / "bundle", backends=["litert", "opencv"], variants=["fp32-tflite", "fp32-onnx"], duration_s=0.3, repeats=2
)
for measurement in report.measurements:
    if measurement.error:
        print(measurement.backend, measurement.error)
        continue
    summary = statistics.summary(measurement)
    samples = sum(len(repeat.latency_ns) for repeat in measurement.repeats)
    print(
        f"{measurement.backend:8} {measurement.variant:12} p50 {summary.p50_ns / 1e6:.2f} ms of {samples} samples;",
        end=" ",
    )
    print("valid" if measurement.verdict.valid else f"not valid: {', '.join(measurement.verdict.reasons)}")
