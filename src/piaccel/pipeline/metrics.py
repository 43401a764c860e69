"""The pipeline's numbers for Prometheus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from piaccel.pipeline.histogram import Histogram
from piaccel.pipeline.masking import masked
from piaccel.pipeline.outlet import OutletNumbers
from piaccel.pipeline.snapshot import CameraNumbers, Snapshot, StreamNumbers

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
EDGES_S = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
CAUSES = 32
"""Causes with a line of their own for each stream or sink; further ones are summed as "other"."""
SOURCE_STATES = ("opening", "running", "stalled", "lost", "ended", "broken")
CONDITIONS = ("under_voltage", "clock_capped", "throttled", "soft_temperature_limit")
"""Bits 0-3 of ``get_throttled`` in order; bits 16-19 are the same with ``_since_boot`` (RP docs, os.adoc)."""

Histograms = Callable[[], Mapping[tuple[str, str], Histogram]]
_EDGES_NS = [round(edge * 1e9) for edge in EDGES_S]

_Row = tuple[str, str, Callable[[Any], float | None]]
_STREAM_COUNTERS: tuple[_Row, ...] = (
    ("frames_offered", "Frames that the source offered to the stream", lambda each: each.offered),
    ("frames_answered", "Frames with a result", lambda each: each.answered),
    ("frames_failed", "Frames that the model failed on", lambda each: each.failed),
    ("events_published", "Events given to the sinks", lambda each: each.published),
    ("events_held", "Results of an earlier frame that were given again", lambda each: each.held),
    ("events_late", "Results that missed the deadline", lambda each: each.late),
    ("parts_missing", "Parts that were published without a result", lambda each: each.missing),
)
_STREAM_GAUGES: tuple[_Row, ...] = (
    ("queue_depth", "Frames that wait or are being worked on", lambda each: each.waiting),
    ("results_per_second", "Results a second, over the last seconds", lambda each: each.rate),
    ("deadline_seconds", "Age that a result is allowed to have", lambda each: _seconds(each.deadline_ms)),
    ("model_up", "Whether the model answers, and where it should", lambda each: not each.model_error),
    ("heat_rung", "Step of the heat ladder, 0 is the best", lambda each: each.rung),
)
_SOURCE_COUNTERS: tuple[_Row, ...] = (
    ("source_frames", "Frames that the source made", lambda each: each.produced),
    ("source_frames_lost", "Frames that were lost before anybody could read them", lambda each: each.lost),
    ("source_reconnects", "Times the source was opened again", lambda each: each.reconnects),
    ("source_frames_restamped", "Frames with an impossible time", lambda each: each.restamped),
    ("source_resizes", "Times the size of the frames changed", lambda each: each.resized),
)
_SOURCE_GAUGES: tuple[_Row, ...] = (
    ("source_frames_per_second", "Frames a second, over the last seconds", lambda each: each.fps),
)
_SINK_COUNTERS: tuple[_Row, ...] = (
    ("sink_events_offered", "Events that the sink's rule let through", lambda each: each.offered),
    ("sink_events_sent", "Events that are delivered", lambda each: each.sent),
    ("sink_retries", "Tries after a failure", lambda each: each.retries),
)
_SINK_GAUGES: tuple[_Row, ...] = (
    ("sink_up", "Whether the sink delivers", lambda each: each.state == "open"),
    ("sink_queue_depth", "Events that wait or are not confirmed", lambda each: each.queued),
    ("sink_lag_seconds", "From publishing to delivery of the event sent last", lambda each: each.lag_s),
)
_BOARD_GAUGES = (
    ("temperature_celsius", "Temperature of the processor", "temperature_c"),
    ("clock_hertz", "Clock of the processor", "clock_hz"),
    ("under_voltage", "Whether the supply is too low now", "under_voltage"),
    ("fan_rpm", "Speed of the fan, in turns a minute", "fan_rpm"),
    ("memory_available_bytes", "Memory that programs can still get", "memory_available_bytes"),
    ("load", "Processes that run or want to, over the last minute", "load"),
    ("power_watts", "Power by the best source that is here: piaccel power says what it leaves out", "power_w"),
)


def exposition(snapshot: Callable[[], Snapshot], histograms: Histograms) -> bytes:
    """Return everything in Prometheus' text format 0.0.4."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(PipelineCollector(snapshot, histograms))
    return masked(generate_latest(registry).decode()).encode()


class PipelineCollector(Collector):
    """Register it with a ``CollectorRegistry`` of your own to export a pipeline beside other numbers.

    What is not known (a sensor that this machine lacks, a rate before the second result) is absent, never 0.
    """

    def __init__(self, snapshot: Callable[[], Snapshot], histograms: Histograms) -> None:
        self._snapshot = snapshot
        self._histograms = histograms

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        seen = self._snapshot()
        for metric in (*_all(seen), *_distributions(self._histograms())):
            if metric.samples:
                yield metric


def _all(seen: Snapshot) -> Iterator[Metric]:
    yield from _rows(CounterMetricFamily, "stream", seen.streams, _STREAM_COUNTERS)
    yield from _rows(GaugeMetricFamily, "stream", seen.streams, _STREAM_GAUGES)
    yield _causes(
        "frames_dropped", "Frames that were not answered", "stream", [(s.name, s.dropped) for s in seen.streams]
    )
    yield _info(seen.streams)
    yield from _rows(CounterMetricFamily, "source", seen.cameras, _SOURCE_COUNTERS)
    yield from _rows(GaugeMetricFamily, "source", seen.cameras, _SOURCE_GAUGES)
    yield _states(seen.cameras)
    yield from _rows(CounterMetricFamily, "sink", seen.sinks, _SINK_COUNTERS)
    yield from _rows(GaugeMetricFamily, "sink", seen.sinks, _SINK_GAUGES)
    yield _causes(
        "sink_events_given_up", "Events the sink never got", "sink", [(s.name, s.given_up) for s in seen.sinks]
    )
    yield from board(seen.board)
    yield GaugeMetricFamily("piaccel_alarms", "Things that somebody should look at now", value=len(seen.alarms))
    yield GaugeMetricFamily("piaccel_uptime_seconds", "Since the pipeline started", value=seen.up_s)


def _rows(
    family: type[CounterMetricFamily] | type[GaugeMetricFamily],
    label: str,
    parts: Iterable[StreamNumbers | CameraNumbers | OutletNumbers],
    rows: Iterable[_Row],
) -> Iterator[Metric]:
    for name, words, get in rows:
        metric = family(f"piaccel_{name}", words, labels=[label])
        for part in parts:
            value = get(part)
            if value is not None:
                metric.add_metric([part.name], float(value))
        yield metric


def _causes(name: str, words: str, label: str, parts: Iterable[tuple[str, Mapping[str, int]]]) -> Metric:
    metric = CounterMetricFamily(f"piaccel_{name}", words, labels=[label, "cause"])
    for part, causes in parts:
        counts: Counter[str] = Counter()
        for place, (cause, count) in enumerate(causes.items()):
            counts[cause if place < CAUSES else "other"] += count
        for cause, count in counts.items():
            metric.add_metric([part, cause], count)
    return metric


def _info(streams: Iterable[StreamNumbers]) -> Metric:
    names = ("model", "backend", "variant", "wanted_backend", "policy")
    metric = GaugeMetricFamily("piaccel_stream_info", "What a stream runs on", labels=["stream", *names])
    for stream in streams:
        metric.add_metric([stream.name, *(getattr(stream, name) for name in names)], 1)
    return metric


def _states(cameras: Iterable[CameraNumbers]) -> Metric:
    metric = GaugeMetricFamily("piaccel_source_state", "1 for the state the source is in", labels=["source", "state"])
    for camera in cameras:
        for state in SOURCE_STATES:
            metric.add_metric([camera.name, state], camera.state == state)
    return metric


def board(readings: Mapping[str, float | None]) -> Iterator[Metric]:
    """The board's sensors by the names of ``piaccel.device.sensors``; unknown ones are absent."""
    for name, words, key in _BOARD_GAUGES:
        value = readings.get(key)
        if value is not None:
            yield GaugeMetricFamily(f"piaccel_{name}", words, value=value)
    bits = readings.get("throttled")
    if bits is not None:
        metric = GaugeMetricFamily("piaccel_throttled", "The firmware's throttle flags", labels=["condition"])
        for bit, name in enumerate(CONDITIONS):
            metric.add_metric([name], int(bits) >> bit & 1)
            metric.add_metric([f"{name}_since_boot"], int(bits) >> (16 + bit) & 1)
        yield metric


def _distributions(histograms: Mapping[tuple[str, str], Histogram]) -> Iterator[Metric]:
    age = HistogramMetricFamily("piaccel_result_age_seconds", "From exposure to result", labels=["stream"])
    gap = HistogramMetricFamily("piaccel_result_gap_seconds", "From one result to the next", labels=["stream"])
    stages = HistogramMetricFamily(
        "piaccel_stage_duration_seconds", "What each stage took for a frame", labels=["stream", "stage"]
    )
    for (stream, name), histogram in histograms.items():
        if name == "age":
            age.add_metric([stream], *buckets(histogram))
        elif name == "gap":
            gap.add_metric([stream], *buckets(histogram))
        else:
            stages.add_metric([stream, name], *buckets(histogram))
    yield from (age, gap, stages)


def buckets(histogram: Histogram) -> tuple[list[tuple[str, float]], float]:
    """Cumulative counts for ``HistogramMetricFamily.add_metric``, and the sum in seconds.

    It goes on counting while it is read: the last bucket is never smaller than those before.
    """
    below = histogram.below(_EDGES_NS)
    total = max(histogram.count, below[-1])
    counts = [(str(edge), float(count)) for edge, count in zip(EDGES_S, below, strict=True)]
    return [*counts, ("+Inf", float(total))], histogram.sum_ns / 1e9


def _seconds(value_ms: float | None) -> float | None:
    return None if value_ms is None else value_ms / 1e3
