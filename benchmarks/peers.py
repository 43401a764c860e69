"""The benchmark's own median against the runtimes' own tools, on the same model and threads, taking turns.

``litert-benchmark`` (in the ai-edge-litert wheel) and OpenVINO's ``benchmark_app`` run as their users run them. One
round is a run of ours and a run of theirs, the order changing; the answer is the median of the rounds' ratios of the
medians, so that what slows the machine for a while slows both. The ratio of the fastest inferences stands beside it:
other work on the machine hardly touches that one. Every round is in ``results/peers-<machine>.json``.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import SHARED, Row
from piaccel import isolation
from piaccel.bench.measure import Done, Job
from piaccel.bench.scenarios import Limits
from piaccel.bundles import Bundle

MODEL = SHARED / "models/imagenet/mobilenet_v2_1.0_224_quant.tflite"
PICTURE = Path(__file__).parents[1] / "demo/images/gear_good.jpg"
ROUNDS = 9
DURATION_S = 2.0
TOLERANCE = 0.05
RESULTS = Path(__file__).parent / "results"

Tool = Callable[[int], tuple[float, float]]
"""Runs with so many threads; returns the median and the fastest inference in ms."""


def measure() -> list[Row]:
    rows, raw = [], []
    for tool, backend, theirs in (
        ("litert-benchmark", "litert", _litert_benchmark),
        ("benchmark_app", "openvino", _benchmark_app),
    ):
        for threads in (1, 2):
            question = f"piaccel bench over {tool}, median, mobilenet_v2_1.0_224_quant, {threads} thread(s)"
            if not MODEL.exists() or not _program(tool).exists():
                rows.append(Row(question, "not measured: the model or the tool is not here"))
                continue
            rounds = [_round(turn, backend, threads, theirs) for turn in range(ROUNDS)]
            raw.append({"tool": tool, "backend": backend, "threads": threads, "rounds": rounds})
            rows.append(_row(question, rounds))
    if raw:
        _keep(raw)
    return rows


def _round(turn: int, backend: str, threads: int, theirs: Tool) -> dict[str, float | None]:
    """Run both, ours first in every other round."""
    order = ("ours", "theirs") if turn % 2 == 0 else ("theirs", "ours")
    found: dict[str, float | None] = {}
    for who in order:
        if who == "ours":
            found["ours_ms"], found["ours_min_ms"], found["other_load"] = _ours(backend, threads)
        else:
            found["theirs_ms"], found["theirs_min_ms"] = theirs(threads)
    return found


def _row(question: str, rounds: list[dict[str, Any]]) -> Row:
    ratios = [each["ours_ms"] / each["theirs_ms"] for each in rounds]
    fastest = statistics.median(each["ours_min_ms"] / each["theirs_min_ms"] for each in rounds)
    ours, theirs = (statistics.median(each[name] for each in rounds) for name in ("ours_ms", "theirs_ms"))
    ratio = statistics.median(ratios)
    text = (
        f"{ratio:.3f} ({ours:.2f} and {theirs:.2f} ms; {len(rounds)} rounds from {min(ratios):.2f} to "
        f"{max(ratios):.2f}; fastest inferences {fastest:.3f})"
    )
    return Row(question, text, f"within {TOLERANCE:.0%}", abs(ratio - 1) <= TOLERANCE)


def _ours(backend: str, threads: int) -> tuple[float, float, float | None]:
    """One repeat of ``piaccel bench``: a fresh process, warmed up; median and fastest in ms, and the other load.

    On one picture, as the tools do: an input that changes has to be read into the caches and told to the runtime.
    """
    bundle = Bundle.open(MODEL)
    limits = Limits(round(DURATION_S * 1e9))
    variant, cores = bundle.variants[0], os.cpu_count() or 1
    job = Job(bundle, variant, backend, threads, "single-stream", limits, cores, images=(PICTURE,))
    done = isolation.call("piaccel.bench.measure:measure", job, timeout=120)
    assert isinstance(done, Done)
    latencies = done.repeat.latency_ns
    return statistics.median(latencies) / 1e6, min(latencies) / 1e6, done.repeat.other_load


def _litert_benchmark(threads: int) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        runs = ["--warmup_runs=30", f"--num_runs={round(DURATION_S * 150)}"]
        _run("litert-benchmark", f"--model={MODEL}", f"--num_threads={threads}", *runs, f"--result_json={result}")
        latency = json.loads(result.read_text())["latency"]
        return latency["median_ms"], latency["min_ms"]


def _benchmark_app(threads: int) -> tuple[float, float]:
    """Synchronous, one request, one stream: what a single caller waits, in the precision of our backend's default."""
    with tempfile.TemporaryDirectory() as folder:
        how = (
            "-d CPU -hint none -api sync -nireq 1 -nstreams 1 -infer_precision f32 -report_type no_counters -json_stats"
        )
        times = ["-nthreads", str(threads), "-t", f"{DURATION_S:.0f}"]
        _run("benchmark_app", "-m", str(MODEL), *how.split(), *times, "-report_folder", folder)
        report = json.loads((Path(folder) / "benchmark_report.json").read_text())
        results = report["execution_results"]
        return float(results["latency (ms)"]), float(results["min latency"])


def _run(name: str, *arguments: str) -> None:
    subprocess.run([_program(name), *arguments], check=True, capture_output=True, timeout=300)


def _program(name: str) -> Path:
    return Path(sys.executable).parent / name


def _keep(raw: list[dict[str, Any]]) -> None:
    conditions = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("ai-edge-litert", "openvino", "numpy")},
        "model": MODEL.name,
        "duration_s": DURATION_S,
    }
    document = {"conditions": conditions, "comparisons": raw}
    (RESULTS / f"peers-{platform.machine()}.json").write_text(json.dumps(document, indent=1) + "\n")
