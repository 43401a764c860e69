"""The service's numbers for Prometheus: ours, and on request the names of Triton's metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from piaccel.pipeline.histogram import Histogram
from piaccel.pipeline.metrics import CONTENT_TYPE, board, buckets
from piaccel.serving import triton
from piaccel.serving.snapshot import Happening, ModelNumbers, ServiceNumbers, VersionNumbers

VERSIONS = 64
"""Versions with lines of their own for each model, the newest first: what is left out is counted in
``piaccel_serve_versions``."""
HAPPENINGS = {
    "promoted": "swaps",
    "rolled back": "rollbacks",
    "quarantined": "quarantines",
    "step": "heat_steps",
    "gap": "gaps",
}
"""What happens, and the counter that counts it for each model."""
_WORDS = {
    "swaps": "Versions that took over from another",
    "rollbacks": "Versions that were taken back",
    "quarantines": "Versions that were put away for a fault",
    "heat_steps": "Steps of the heat ladder, up or down",
    "gaps": "Swaps for which memory did not allow two versions",
}
OUTCOMES = (
    "not_found", "invalid_argument", "unavailable", "deadline_exceeded", "resource_exhausted", "too_large",
    "unsupported", "unauthenticated", "permission_denied", "internal", "cancelled", "crash",
)  # fmt: skip
"""Kinds of ``piaccel.errors.ServiceError``; what is none of them counts as "other"."""

_LABELS = ["model", "version", "variant"]
_Row = tuple[str, str, Callable[[Any], float | None]]
_VERSION_COUNTERS: tuple[_Row, ...] = (
    ("runs", "Times the network ran", lambda each: each.runs),
    ("crashes", "Times a process of the version died", lambda each: each.crashes),
    ("hangs", "Times a process of the version had to be ended", lambda each: each.hangs),
    ("cancelled", "Requests whose client went away", lambda each: each.cancelled),
    ("compared", "Answers that were compared with the other version's", lambda each: each.compared),
)
_VERSION_GAUGES: tuple[_Row, ...] = (
    ("queue_depth", "Requests that wait", lambda each: each.queued),
    ("running", "Requests that are being worked on", lambda each: each.running),
    ("answers_per_second", "Answers a second, over the last ten seconds", lambda each: each.rate),
    ("worker_memory_bytes", "Resident memory of the version's processes", lambda each: each.memory_bytes),
    ("agreement_ratio", "Share of compared answers that agreed", lambda each: each.agreement),
    ("traffic_ratio", "Share of the requests that name no version", lambda each: each.share),
    ("golden_timestamp_seconds", "When its golden samples were answered last", lambda each: each.golden_at),
)
_MODEL_GAUGES: tuple[_Row, ...] = (
    ("model_ready", "Whether a request that names no version is answered", lambda each: each.ready),
    ("model_required", "Whether the service is ready only with it", lambda each: each.required),
    ("swapping", "Whether a version is on its way in or on probation", lambda each: bool(each.swapping)),
    ("heat_rung", "Step of the heat ladder, 0 is the best", lambda each: each.rung if each.rungs > 1 else None),
    ("versions", "Versions known", lambda each: len(each.versions)),
)
_SERVICE_GAUGES: tuple[_Row, ...] = (
    ("live", "Whether the service answers at all", lambda seen: seen.live),
    ("ready", "Whether every required model is answered", lambda seen: seen.ready),
    ("draining", "Whether the service is shutting down", lambda seen: seen.draining),
    ("alarms", "Things that somebody should look at now", lambda seen: len(seen.alarms)),
    ("connections", "Open connections of clients", lambda seen: seen.connections),
    ("memory_bytes", "Resident memory of the service's own process", lambda seen: seen.memory_bytes or None),
    ("disk_free_bytes", "What is free where the repository lies", lambda seen: seen.disk_free_bytes),
    ("read_only", "Whether nothing can be written down", lambda seen: seen.read_only),
    ("uptime_seconds", "Since the service started", lambda seen: seen.uptime_s),
    ("start_timestamp_seconds", "When the service started", lambda seen: seen.started_at),
)

Key = tuple[str, str, str]
"""Model, version, variant."""
Parts = Mapping[str, Histogram]
"""The distributions of a version's answered requests: "total", "queue", "infer"."""
Row = tuple[ModelNumbers, VersionNumbers]


class Watched(Protocol):
    """What is asked of ``piaccel.serving.service.Service``."""

    listeners: list[Callable[[Happening], None]]

    def snapshot(self) -> ServiceNumbers: ...

    def histograms(self) -> Mapping[Key, Parts]:
        """The distributions of every loaded version."""


class Metrics:
    """The metrics of one service; make it before the service starts, so that it counts what happens from then on."""

    def __init__(self, service: Watched, *, triton_names: bool = False) -> None:
        self._service = service
        self._triton_names = triton_names
        self._happened: Counter[tuple[str, str]] = Counter()
        service.listeners.append(self._heard)

    def exposition(self) -> bytes:
        """Everything, now, in Prometheus' text format 0.0.4. Call it where the service's event loop runs."""
        seen, histograms = self._service.snapshot(), self._service.histograms()
        rows = [(model, each) for model in seen.models for each in model.versions[:VERSIONS]]
        loaded = [(model, each) for model, each in rows if each.loaded_at is not None]
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Collected(self._all(seen, rows, loaded, histograms)))
        text = generate_latest(registry)
        if self._triton_names:
            text += triton.exposition(loaded, histograms, seen.board.get("memory_available_bytes")).encode()
        return text

    async def __call__(
        self,
        scope: Mapping[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        """The ASGI application of the metrics' own port: ``GET /metrics``, nothing else."""
        if scope["type"] != "http":
            return
        status, kind, body = 404, "text/plain; charset=utf-8", b"see /metrics\n"
        if scope["path"] == "/metrics":
            status, body = 405, b"only GET and HEAD\n"
            if scope["method"] in ("GET", "HEAD"):
                status, kind, body = 200, CONTENT_TYPE, self.exposition()
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
        if status == 405:
            headers.append((b"allow", b"GET, HEAD"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def _heard(self, happening: Happening) -> None:
        counter = HAPPENINGS.get(happening.what)
        if counter is not None:
            self._happened[counter, happening.model] += 1

    def _all(
        self, seen: ServiceNumbers, rows: list[Row], loaded: list[Row], histograms: Mapping[Key, Parts]
    ) -> Iterator[Metric]:
        for name, words, get in _SERVICE_GAUGES:
            value = get(seen)
            if value is not None:
                yield GaugeMetricFamily(f"piaccel_serve_{name}", words, value=float(value))
        yield _info(seen)
        yield from _by_model(seen.models)
        yield from self._events(seen.models)
        yield _stages(rows)
        yield from _by_version(CounterMetricFamily, loaded, _VERSION_COUNTERS)
        yield from _by_version(GaugeMetricFamily, loaded, _VERSION_GAUGES)
        yield _requests(loaded)
        yield from _distributions(histograms, {(model.name, each.version) for model, each in loaded})
        yield from board(seen.board)

    def _events(self, models: Iterable[ModelNumbers]) -> Iterator[Metric]:
        for name, words in _WORDS.items():
            metric = CounterMetricFamily(f"piaccel_serve_{name}", words, labels=["model"])
            for model in models:
                metric.add_metric([model.name], self._happened[name, model.name])
            yield metric


class _Collected(Collector):
    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        return (metric for metric in self._metrics if metric.samples)


def _labels(model: ModelNumbers, version: VersionNumbers) -> list[str]:
    return [model.name, version.version, version.variant]


def _info(seen: ServiceNumbers) -> Metric:
    metric = GaugeMetricFamily("piaccel_serve_info", "The service", labels=["name", "software"])
    metric.add_metric([seen.name, seen.software], 1)
    return metric


def _by_model(models: Iterable[ModelNumbers]) -> Iterator[Metric]:
    for name, words, get in _MODEL_GAUGES:
        metric = GaugeMetricFamily(f"piaccel_serve_{name}", words, labels=["model"])
        for model in models:
            value = get(model)
            if value is not None:
                metric.add_metric([model.name], float(value))
        yield metric


def _by_version(
    family: type[CounterMetricFamily] | type[GaugeMetricFamily],
    versions: Iterable[Row],
    rows: Iterable[_Row],
) -> Iterator[Metric]:
    for name, words, get in rows:
        metric = family(f"piaccel_serve_{name}", words, labels=_LABELS)
        for model, version in versions:
            value = get(version)
            if value is not None:
                metric.add_metric(_labels(model, version), float(value))
        yield metric


def _stages(rows: Iterable[Row]) -> Metric:
    """One line for each version: where it stands is a label, so that old versions do not cost ten lines each."""
    metric = GaugeMetricFamily(
        "piaccel_serve_version_info",
        "Where a version stands",
        labels=[*_LABELS, "stage", "state", "backend", "serving"],
    )
    for model, each in rows:
        serving = str(each.version == model.serving).lower()
        metric.add_metric([*_labels(model, each), each.stage, each.state, each.backend, serving], 1)
    return metric


def _requests(versions: Iterable[Row]) -> Metric:
    metric = CounterMetricFamily("piaccel_serve_requests", "Requests by outcome", labels=[*_LABELS, "outcome"])
    for model, version in versions:
        counts: Counter[str] = Counter({"ok": version.succeeded})
        for kind, count in version.failed.items():
            counts[kind if kind in OUTCOMES else "other"] += count
        for outcome, count in counts.items():
            metric.add_metric([*_labels(model, version), outcome], count)
    return metric


def _distributions(histograms: Mapping[Key, Parts], shown: set[tuple[str, str]]) -> Iterator[Metric]:
    for name, words, part in (
        ("request_duration_seconds", "From a request's arrival to its answer, of those answered", "total"),
        ("queue_duration_seconds", "How long a request that was answered had waited", "queue"),
        ("infer_duration_seconds", "How long the network ran for a request", "infer"),
    ):
        metric = HistogramMetricFamily(f"piaccel_serve_{name}", words, labels=_LABELS)
        for key, parts in histograms.items():
            if key[:2] in shown and part in parts:
                metric.add_metric(list(key), *buckets(parts[part]))
        yield metric
