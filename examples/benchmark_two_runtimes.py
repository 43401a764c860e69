"""Compare two runtimes and read the raw samples: python examples/benchmark_two_runtimes.py"""

from pathlib import Path

import piaccel
from piaccel.bench import statistics

DEMO = Path(__file__).parents[1] / "demo"

report = piaccel.benchmark(
    DEMO / "bundle", backends=["litert", "opencv"], variants=["fp32-tflite", "fp32-onnx"], duration_s=0.3, repeats=2
)
for measurement in report.measurements:
    summary = statistics.summary(measurement)
    if summary is None:
        print(f"{measurement.name}: not measured: {measurement.error}")
        continue
    samples = sum(len(repeat.latency_ns) for repeat in measurement.repeats)
    verdict = measurement.verdict
    print(f"{measurement.name}: p50 {summary.latency.p50_ms:.2f} ms of {samples} samples;", end=" ")
    print("valid" if verdict.valid else f"not valid: {', '.join(verdict.reasons)}")
