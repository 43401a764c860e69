"""Seeded made-up reports: measurements as a Raspberry Pi 5 gives them, good and bad."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from piaccel.bench import Agreement, Measurement, Repeat, Report, Series, Verdict

MS = 1_000_000
_MEMORY = 100
_MEASURED = (
    ("litert", "2.3.0", "int8", "int8", 4.1),
    ("litert", "2.3.0", "fp32", "fp32", 9.2),
    ("onnxruntime", "1.32.0", "fp32-onnx", "fp32", 10.6),
    ("openvino", "2026.4.1", "fp32-onnx", "fp32", 9.9),
    ("ncnn", "1.0.20261020", "fp32-ncnn", "fp32", 3.4),
)
HOSTILE = """<script>alert(1)</script>"'&--><img src=x onerror=alert(2)>"""


def latencies(
    rng: np.random.Generator, count: int, median_ms: float, noise: float = 0.02, rho: float = 0.8
) -> list[int]:
    """Samples of one process: autocorrelated noise around the median, and one in a hundred interrupted."""
    shocks = rng.normal(0, noise * np.sqrt(1 - rho**2), count + _MEMORY)
    wave = np.convolve(shocks, rho ** np.arange(_MEMORY), "valid")[:count]  # AR(1)
    spikes = np.where(rng.random(count) < 0.01, rng.exponential(0.5, count), 0)
    return [int(value) for value in median_ms * MS * (np.exp(wave) + spikes)]


def measurement(
    rng: np.random.Generator,
    median_ms: float = 10.0,
    repeats: int = 5,
    count: int = 200,
    process_noise: float = 0.01,
    **fields: Any,
) -> Measurement:
    """One valid row; each repeat has a level of its own, as fresh processes do."""
    runs = [
        _repeat(latencies(rng, count, median_ms * float(np.exp(rng.normal(0, process_noise))))) for _ in range(repeats)
    ]
    row = Measurement(
        backend="litert", version="2.3.0", variant="fp32", precision="fp32", threads=4, scenario="single-stream",
        repeats=runs, verdict=Verdict(True), agreement=Agreement(True, 1.0, 0.0, True),
    )  # fmt: skip
    return replace(row, **fields)


def report(
    seed: int = 1,
    *,
    sensors: bool = True,
    stages: bool = True,
    hostile: bool = False,
    factors: Mapping[tuple[str, str], float] | None = None,
    repeats: int = 5,
    count: int = 200,
) -> Report:
    """A sitting with a winner, plain rows, a wrong, a throttled and an unmeasurable one.

    ``factors`` slows a row down, by (backend, variant).
    """
    rng = np.random.default_rng(seed)
    rows = []
    for backend, version, variant, precision, median_ms in _MEASURED:
        factor = (factors or {}).get((backend, variant), 1.0)
        row = measurement(
            rng,
            median_ms * factor,
            repeats,
            count,
            backend=backend,
            version=version,
            variant=variant,
            precision=precision,
        )
        rows.append(_with_stages(rng, row, median_ms * factor) if stages else row)
    rows[0] = replace(rows[0], agreement=Agreement(True, 0.9991, 0.031, True))
    rows[4] = replace(
        rows[4],
        agreement=Agreement(False, 0.412, 3.7, False, "top-1 differs on 3 of 4 pictures: chipped, not good"),
    )
    rows[2] = _throttled(rows[2])
    rows.append(
        Measurement(
            backend="opencv",
            version="5.0.0",
            variant="fp32-onnx",
            precision="fp32",
            threads=4,
            scenario="single-stream",
            error="OpenCV DNN cannot read operator 'HardSwish'",
            hint="use --backend litert",
        )
    )
    if sensors:
        rows = [replace(row, repeats=[_with_sensors(row, at) for at in range(len(row.repeats))]) for row in rows]
    name = HOSTILE if hostile else "parts-inspection"
    if hostile:
        rows[4] = replace(
            rows[4], agreement=replace(rows[4].agreement or Agreement(False, 0, 0, False), detail=HOSTILE)
        )
        rows[5] = replace(rows[5], error=HOSTILE, variant=HOSTILE)
        rows[2] = replace(rows[2], verdict=Verdict(False, (HOSTILE,)))
    return Report(
        model={
            "name": name,
            "path": "demo/bundle",
            "variants": {
                row.variant: {
                    "file": f"{row.variant}.bin",
                    "format": "tflite" if row.backend == "litert" else "onnx",
                    "precision": row.precision,
                    "sha256": f"{index:x}" * 64,
                    "accuracy": 0.962 - 0.004 * index,
                }
                for index, row in enumerate(rows)
            },
        },
        environment={
            "board": {
                "model": "Raspberry Pi 5 Model B Rev 1.0", "soc": "BCM2712", "cpu": "Cortex-A76", "cores": 4,
                "ram_bytes": 8 << 30, "kernel": "6.12.47+rpt-rpi-2712", "architecture": "aarch64", "process_bits": 64,
                "page_size": 16384, "governor": "ondemand", "max_freq_hz": 2_400_000_000, "os_codename": "trixie",
            },
            "usable_cores": 4,
            "versions": {"piaccel": "0.1.0", "python": "3.13.5", "numpy": "2.3.5", "litert": "2.3.0"},
        },
        conditions={
            "scenario": "single-stream",
            "duration_s": 10,
            "repeats": repeats,
            "min_queries": 64,
            "images": ["demo/images/good.jpg"] if stages else [],
            "inputs": "1 picture" if stages else "made-up pictures",
            "seed": 0,
            "latency_bound_ms": None,
        },
        measurements=rows,
        reference="litert/fp32",
        created="2026-11-22T17:50:00Z",
    )  # fmt: skip


def _repeat(latency_ns: list[int]) -> Repeat:
    total = sum(latency_ns)
    return Repeat(
        load_ns=42 * MS, first_ns=3 * latency_ns[0], warmup_ns=latency_ns[:10], latency_ns=latency_ns,
        duration_ns=total, cpu_ns=int(3.6 * total), rss_peak_bytes=96 << 20, other_load=0.04,
    )  # fmt: skip


def _with_stages(rng: np.random.Generator, row: Measurement, median_ms: float) -> Measurement:
    parts = {"decode": 6.2, "preprocess": 0.9, "inference": median_ms, "postprocess": 0.12}
    count = len(row.repeats[0].latency_ns) // 4
    return replace(
        row,
        repeats=[
            replace(run, stages_ns={name: latencies(rng, count, ms, 0.05) for name, ms in parts.items()})
            for run in row.repeats
        ],
    )


def _throttled(row: Measurement) -> Measurement:
    """The last third of every repeat runs at 62 % of the clock."""
    slowed = [
        replace(
            run,
            latency_ns=[
                int(ns / 0.62) if index * 3 > 2 * len(run.latency_ns) else ns for index, ns in enumerate(run.latency_ns)
            ],
        )
        for run in row.repeats
    ]
    slowed = [replace(run, duration_ns=sum(run.latency_ns)) for run in slowed]
    reasons = (
        "throttled in 5 of 5 repeats (get_throttled 0xe0006)",
        "clock fell to 1.49 GHz of 2.40 GHz",
        "hot: 85.2 °C",
    )
    return replace(row, repeats=slowed, verdict=Verdict(False, reasons))


def _with_sensors(row: Measurement, at: int) -> Repeat:
    run = row.repeats[at]
    hot = not row.verdict.valid
    steps = 25
    started_ns = sum(each.duration_ns for each in row.repeats[:at])
    at_ns = [started_ns + run.duration_ns * step // (steps - 1) for step in range(steps)]
    start, rise = (70.0, 15.2) if hot else (48.0 + at, 9.0)
    late = [hot and step * 3 > 2 * steps for step in range(steps)]
    return replace(
        run,
        started_ns=started_ns,
        series=[
            Series(
                "temperature_c", "°C", at_ns, [round(start + rise * (step / steps) ** 0.5, 1) for step in range(steps)]
            ),
            Series("clock_hz", "Hz", at_ns, [1.488e9 if slow else 2.4e9 for slow in late]),
            Series("throttled", "", at_ns, [float(0xE0006) if slow else 0.0 for slow in late]),
            Series("fan_rpm", "rpm", at_ns, [None] * steps),
        ],
    )
