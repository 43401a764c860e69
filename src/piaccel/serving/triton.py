"""The names of Triton's metrics, for dashboards that were made for it.

Source: triton-inference-server/server, docs/user_guide/metrics.md. Its counters are in microseconds, cumulative over
the answered requests, and lack the ``_total`` that Prometheus' own client would add; so the text is written here. What
we have not (GPUs, a cache, the processor's utilization) is absent.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from piaccel.pipeline.histogram import Histogram
from piaccel.serving.snapshot import ModelNumbers, VersionNumbers

_REASONS = {
    "unavailable": "REJECTED",
    "deadline_exceeded": "REJECTED",
    "resource_exhausted": "REJECTED",
    "cancelled": "CANCELED",
    "internal": "BACKEND",
    "crash": "BACKEND",
}
_EDGES_MS = (100, 500, 2000, 5000)
_COUNTERS: tuple[tuple[str, str, Callable[[VersionNumbers], int]], ...] = (
    ("nv_inference_request_success", "Number of successful inference requests", lambda each: each.succeeded),
    ("nv_inference_count", "Number of inferences performed", lambda each: each.succeeded),
    ("nv_inference_exec_count", "Number of model executions performed", lambda each: each.runs),
    ("nv_inference_request_duration_us", "Cumulative request duration in us", lambda each: each.total_ns // 1000),
    ("nv_inference_queue_duration_us", "Cumulative queue duration in us", lambda each: each.queue_ns // 1000),
    (
        "nv_inference_compute_input_duration_us",
        "Cumulative input preparation in us",
        lambda each: each.input_ns // 1000,
    ),
    ("nv_inference_compute_infer_duration_us", "Cumulative inference in us", lambda each: each.infer_ns // 1000),
    (
        "nv_inference_compute_output_duration_us",
        "Cumulative output preparation in us",
        lambda each: each.output_ns // 1000,
    ),
)
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})

Key = tuple[str, str, str]
Row = tuple[ModelNumbers, VersionNumbers]


def exposition(
    versions: Iterable[Row], histograms: Mapping[Key, Mapping[str, Histogram]], memory_available_bytes: float | None
) -> str:
    """The ``nv_*`` metrics of the loaded versions in Prometheus' text format."""
    rows = [({"model": model.name, "version": each.version}, each) for model, each in versions]
    lines: list[str] = []
    for name, words, get in _COUNTERS:
        lines += _family(name, words, "counter", [(name, labels, get(each)) for labels, each in rows])
    name = "nv_inference_request_failure"
    failures = [
        (name, {**labels, "reason": reason}, count)
        for labels, each in rows
        for reason, count in _failures(each).items()
    ]
    lines += _family(name, "Number of failed inference requests", "counter", failures)
    name = "nv_inference_pending_request_count"
    lines += _family(name, "Requests that wait", "gauge", [(name, labels, each.queued) for labels, each in rows])
    lines += _first_response(histograms, {(labels["model"], labels["version"]) for labels, _ in rows})
    lines += _machine(memory_available_bytes)
    return "".join(f"{line}\n" for line in lines)


def _failures(version: VersionNumbers) -> Counter[str]:
    counts = Counter({"REJECTED": 0, "CANCELED": 0, "BACKEND": 0, "OTHER": 0})
    for kind, count in version.failed.items():
        counts[_REASONS.get(kind, "OTHER")] += count
    return counts


def _first_response(histograms: Mapping[Key, Mapping[str, Histogram]], shown: set[tuple[str, str]]) -> list[str]:
    name = "nv_inference_first_response_histogram_ms"
    samples: list[tuple[str, Mapping[str, str], float]] = []
    for (model, version, _), parts in histograms.items():
        if (model, version) not in shown:
            continue
        labels, whole = {"model": model, "version": version}, parts["total"]
        below = whole.below([edge * 1_000_000 for edge in _EDGES_MS])
        samples += [
            (f"{name}_bucket", {**labels, "le": str(edge)}, count)
            for edge, count in zip((*_EDGES_MS, "+Inf"), (*below, whole.count), strict=True)
        ]
        samples += [(f"{name}_count", labels, whole.count), (f"{name}_sum", labels, whole.sum_ns / 1e6)]
    return _family(name, "Duration from request to first response in ms", "histogram", samples)


def _machine(available_bytes: float | None) -> list[str]:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    name = "nv_cpu_memory_total_bytes"
    lines = _family(name, "CPU total memory (RAM), in bytes", "gauge", [(name, {}, total)])
    if available_bytes is not None:
        name = "nv_cpu_memory_used_bytes"
        lines += _family(name, "CPU used memory (RAM), in bytes", "gauge", [(name, {}, total - available_bytes)])
    return lines


def _family(name: str, words: str, kind: str, samples: Iterable[tuple[str, Mapping[str, str], float]]) -> list[str]:
    lines = [f"# HELP {name} {words}", f"# TYPE {name} {kind}"]
    for sample, labels, value in samples:
        inner = ",".join(f'{key}="{text.translate(_ESCAPES)}"' for key, text in labels.items())
        lines.append(f"{sample}{{{inner}}} {value}" if inner else f"{sample} {value}")
    return lines
