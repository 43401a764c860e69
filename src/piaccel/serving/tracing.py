"""Traces of requests for OpenTelemetry (extra "trace"), from times measured anyway; off without an endpoint."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from piaccel.errors import UnavailableError
from piaccel.version import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

STAGES = ("queue", "decode", "pre", "infer", "post")
"""Spans within a request, in the order in which they happen."""
_PATH = "/v1/traces"


class Tracing:
    """Made by ``open``. Spans are sent in batches by a thread of their own, and dropped when the collector is away."""

    def __init__(self, processor: SpanProcessor, service: str) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        resource = Resource.create({"service.name": service, "service.version": __version__})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("piaccel", __version__)
        self._callers = TraceContextTextMapPropagator()

    @classmethod
    def open(cls, endpoint: str | None, service: str = "piaccel") -> Tracing | None:
        """Send to the OTLP/HTTP collector at ``endpoint`` (http://collector:4318); None without one.

        Raises UnavailableError when the extra is not installed.
        """
        if not endpoint:
            return None
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError as error:
            raise UnavailableError("OpenTelemetry is not installed", hint="pip install 'piaccel[trace]'") from error
        base = endpoint.rstrip("/")
        exporter = OTLPSpanExporter(endpoint=base if base.endswith(_PATH) else base + _PATH, timeout=5)
        return cls(BatchSpanProcessor(exporter), service)

    def request(
        self,
        *,
        model: str,
        total_ms: float,
        trace: Mapping[str, str] = {},
        times_ms: Mapping[str, float] = {},
        version: str = "",
        variant: str = "",
        request_id: str = "",
        failed: str = "",
        ended_ns: int | None = None,
    ) -> None:
        """Tell of a request that just ended (at ``ended_ns`` of the system's clock), as a child of the caller's span.

        ``times_ms`` holds what is known of STAGES, which follow each other from the start; ``failed`` is the kind of
        its error.
        """
        from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

        end = time.time_ns() if ended_ns is None else ended_ns
        begun = end - round(total_ms * 1e6)
        known = {
            "piaccel.model": model, "piaccel.version": version, "piaccel.variant": variant,
            "piaccel.request_id": request_id, "error.type": failed,
        }  # fmt: skip
        span = self._tracer.start_span(
            "request",
            context=self._callers.extract(trace),
            kind=SpanKind.SERVER,
            attributes={name: value for name, value in known.items() if value},
            start_time=begun,
        )
        inside, at = set_span_in_context(span), begun
        for stage in STAGES:
            if stage in times_ms:
                done = min(at + round(times_ms[stage] * 1e6), end)
                self._tracer.start_span(stage, context=inside, start_time=at).end(done)
                at = done
        if failed:
            span.set_status(Status(StatusCode.ERROR, failed))
        span.end(end)

    def close(self) -> None:
        """Send what is left, for at most a few seconds. Idempotent."""
        self._provider.shutdown()
