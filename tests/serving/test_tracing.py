"""Traces, with an exporter in memory and with a collector that reads OTLP."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

pytest.importorskip("opentelemetry.sdk")
pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from piaccel.serving.tracing import Tracing

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
TIMES = {"queue": 1.0, "decode": 2.0, "pre": 3.0, "infer": 10.0, "post": 0.5}
END = 1_790_000_000_000_000_000


class Memory:
    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracing = Tracing(SimpleSpanProcessor(self.exporter), "line-4")

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self.exporter.get_finished_spans()}


@pytest.fixture
def memory() -> Iterator[Memory]:
    made = Memory()
    yield made
    made.tracing.close()


def span(memory: Memory, name: str) -> tuple[int, int]:
    found = memory.spans[name]
    assert found.start_time is not None
    assert found.end_time is not None
    return found.start_time - END, found.end_time - END


def test_a_request_and_its_stages_have_the_times_that_were_measured(memory: Memory) -> None:
    memory.tracing.request(model="parts", total_ms=20.0, times_ms=TIMES, ended_ns=END)
    assert span(memory, "request") == (-20_000_000, 0)
    assert span(memory, "queue") == (-20_000_000, -19_000_000)
    assert span(memory, "infer") == (-14_000_000, -4_000_000)
    assert span(memory, "post") == (-4_000_000, -3_500_000)
    parent = memory.spans["request"].context
    assert all(memory.spans[name].parent == parent for name in TIMES)


def test_it_is_a_part_of_the_caller_s_trace(memory: Memory) -> None:
    memory.tracing.request(model="parts", total_ms=1.0, trace=CALLER)
    found = memory.spans["request"]
    assert found.context is not None
    assert f"{found.context.trace_id:032x}" == TRACE
    assert found.parent is not None
    assert f"{found.parent.span_id:016x}" == "b7ad6b7169203331"


@pytest.mark.parametrize("header", ["", "nonsense", "00-0-0-01", f"00-{'0' * 32}-{'0' * 16}-01"])
def test_a_caller_s_header_that_is_none_begins_a_trace_of_its_own(header: str, memory: Memory) -> None:
    memory.tracing.request(model="parts", total_ms=1.0, trace={"traceparent": header})
    assert memory.spans["request"].parent is None


def test_a_caller_who_does_not_sample_is_not_sampled(memory: Memory) -> None:
    memory.tracing.request(model="parts", total_ms=1.0, trace={"traceparent": CALLER["traceparent"][:-1] + "0"})
    assert memory.spans == {}


def test_who_answered_and_what_failed_are_attributes(memory: Memory) -> None:
    memory.tracing.request(
        model="parts", version="3", variant="int8", request_id="a1", total_ms=1.0, failed="deadline_exceeded"
    )
    found = memory.spans["request"]
    assert found.attributes == {
        "piaccel.model": "parts", "piaccel.version": "3", "piaccel.variant": "int8", "piaccel.request_id": "a1",
        "error.type": "deadline_exceeded",
    }  # fmt: skip
    assert found.status.is_ok is False
    assert found.resource.attributes["service.name"] == "line-4"


def test_stages_never_last_longer_than_their_request(memory: Memory) -> None:
    memory.tracing.request(model="parts", total_ms=5.0, times_ms=TIMES, ended_ns=END)
    assert max(span(memory, name)[1] for name in TIMES) == 0


def test_without_an_endpoint_it_is_off() -> None:
    assert Tracing.open(None) is None
    assert Tracing.open("") is None


@pytest.mark.parametrize("path", ["", "/", "/v1/traces"])
def test_a_collector_gets_them_over_http(path: str) -> None:
    got: list[tuple[str, ExportTraceServiceRequest]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            got.append((self.path, ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            tracing = Tracing.open(f"http://127.0.0.1:{server.server_port}{path}")
            assert tracing is not None
            tracing.request(model="parts", total_ms=20.0, times_ms=TIMES, trace=CALLER)
            tracing.close()
            tracing.close()
        finally:
            server.shutdown()
            thread.join()
    ((where, told),) = got
    assert where == "/v1/traces"
    spans = told.resource_spans[0].scope_spans[0].spans
    assert {each.name for each in spans} == {"request", *TIMES}
    assert {each.trace_id.hex() for each in spans} == {TRACE}


def test_a_collector_that_is_away_costs_no_request() -> None:
    tracing = Tracing.open("http://127.0.0.1:9")
    assert tracing is not None
    for _ in range(3000):  # more than its queue holds
        tracing.request(model="parts", total_ms=1.0)
    tracing.close()
