"""The service's numbers for Prometheus."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("prometheus_client")

from prometheus_client.parser import text_string_to_metric_families

from piaccel.pipeline.metrics import EDGES_S
from piaccel.serving.messages import Request, Tensor
from piaccel.serving.metrics import VERSIONS, Metrics
from piaccel.serving.settings import Settings
from piaccel.serving.snapshot import ServiceNumbers
from tests.serving import numbers
from tests.serving.conftest import running
from tests.serving.numbers import Stub

PROMTOOL = shutil.which("promtool")
Sample = tuple[str, dict[str, str], float]


def parsed(text: str) -> list[Sample]:
    """The samples under the names they have: the parser adds _total to counters that lack it, as Triton's do."""
    text = re.sub(r"^# TYPE (nv_\w+) counter$", r"# TYPE \1 untyped", text, flags=re.MULTILINE)
    return [
        (sample.name, sample.labels, sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]


def samples(seen: ServiceNumbers | None = None, *, triton_names: bool = False) -> list[Sample]:
    return parsed(Metrics(Stub(seen), triton_names=triton_names).exposition().decode())


def value(found: list[Sample], name: str, **labels: str) -> float | None:
    return next((each for given, own, each in found if given == name and labels.items() <= own.items()), None)


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("requests_total", {"version": "2", "variant": "int8", "outcome": "ok"}, 100),
        ("requests_total", {"outcome": "deadline_exceeded"}, 3),
        ("requests_total", {"outcome": "other"}, 2),
        ("queue_depth", {"model": "parts"}, 4),
        ("running", {"model": "parts"}, 1),
        ("crashes_total", {"model": "parts"}, 1),
        ("hangs_total", {"model": "parts"}, 2),
        ("cancelled_total", {"model": "parts"}, 5),
        ("agreement_ratio", {"model": "parts"}, 0.98),
        ("traffic_ratio", {"version": "2"}, 0.9),
        ("worker_memory_bytes", {"version": "2"}, 64e6),
        ("version_info", {"version": "2", "stage": "committed", "serving": "true"}, 1),
        ("version_info", {"version": "1", "stage": "quarantined", "serving": "false"}, 1),
        ("model_ready", {"model": "parts"}, 1),
        ("heat_rung", {"model": "parts"}, 1),
        ("info", {"software": "0.5"}, 1),
        ("live", {}, 1),
        ("ready", {}, 1),
        ("alarms", {}, 1),
        ("memory_bytes", {}, 70e6),
        ("disk_free_bytes", {}, 5e9),
        ("connections", {}, 3),
        ("uptime_seconds", {}, 60),
        ("swaps_total", {"model": "parts"}, 0),
    ],
)
def test_a_number_of_the_service_is_exported(name: str, labels: dict[str, str], expected: float) -> None:
    assert value(samples(), f"piaccel_serve_{name}", **labels) == expected


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("temperature_celsius", {}, 61.5),
        ("clock_hertz", {}, 1.5e9),
        ("power_watts", {}, 4.2),
        ("under_voltage", {}, 0),
        ("throttled", {"condition": "throttled"}, 1),
        ("throttled", {"condition": "throttled_since_boot"}, 1),
        ("throttled", {"condition": "under_voltage_since_boot"}, 1),
        ("throttled", {"condition": "clock_capped"}, 0),
        ("fan_rpm", {}, None),
    ],
)
def test_the_board_has_the_names_that_it_has_in_a_pipeline(
    name: str, labels: dict[str, str], expected: float | None
) -> None:
    assert value(samples(), f"piaccel_{name}", **labels) == expected


def test_what_is_not_known_is_absent_and_never_0() -> None:
    row = numbers.version(rate=None, memory_bytes=None, agreement=None, golden_at=None)
    seen = numbers.service(models=(numbers.model(versions=(row,), rungs=1),), board={}, disk_free_bytes=None)
    names = {name for name, _, _ in samples(seen)}
    for name in (
        "serve_answers_per_second", "serve_worker_memory_bytes", "serve_agreement_ratio", "serve_heat_rung",
        "serve_disk_free_bytes", "temperature_celsius", "throttled", "serve_golden_timestamp_seconds",
    ):  # fmt: skip
        assert f"piaccel_{name}" not in names


def test_durations_are_histograms_in_seconds_from_1_ms_to_10_s() -> None:
    found = samples()
    name = "piaccel_serve_request_duration_seconds"
    edges = {labels["le"]: each for given, labels, each in found if given == f"{name}_bucket"}
    assert list(edges) == [*map(str, EDGES_S), "+Inf"]
    assert list(edges.values()) == sorted(edges.values())
    assert edges["+Inf"] == 100
    assert value(found, f"{name}_sum", model="parts", version="2", variant="int8") == pytest.approx(5.05)
    assert value(found, "piaccel_serve_queue_duration_seconds_count") == 10
    assert value(found, "piaccel_serve_infer_duration_seconds_count") == 90


def test_what_happens_is_counted_for_its_model_from_the_start() -> None:
    stub = Stub()
    metrics = Metrics(stub)
    for what in ("promoted", "promoted", "rolled back", "quarantined", "step", "loaded"):
        stub.happen(what)
    found = parsed(metrics.exposition().decode())
    counts = [value(found, f"piaccel_serve_{name}_total", model="parts") for name in ("swaps", "rollbacks")]
    counts += [value(found, f"piaccel_serve_{name}_total", model="parts") for name in ("quarantines", "heat_steps")]
    assert counts == [2, 1, 1, 1]


def test_a_thousand_versions_do_not_become_a_thousand_lines() -> None:
    rows = tuple(numbers.version(str(n), loaded_at=None, stage="unloaded") for n in range(1000, 0, -1))
    found = samples(numbers.service(models=(numbers.model(versions=rows),)))
    infos = [labels["version"] for name, labels, _ in found if name == "piaccel_serve_version_info"]
    assert infos == [str(n) for n in range(1000, 1000 - VERSIONS, -1)]
    assert value(found, "piaccel_serve_versions", model="parts") == 1000


def test_names_from_outside_are_escaped() -> None:
    name = 'a"b\\c\nd'
    found = samples(numbers.service(models=(numbers.model(name),)), triton_names=True)
    assert value(found, "piaccel_serve_model_ready", model=name) == 1
    assert value(found, "nv_inference_exec_count", model=name) == 90


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("request_success", {"model": "parts", "version": "2"}, 100),
        ("request_failure", {"reason": "REJECTED"}, 3),
        ("request_failure", {"reason": "BACKEND"}, 1),
        ("request_failure", {"reason": "CANCELED"}, 0),
        ("request_failure", {"reason": "OTHER"}, 2),
        ("count", {"version": "2"}, 100),
        ("exec_count", {"version": "2"}, 90),
        ("pending_request_count", {"version": "2"}, 4),
        ("request_duration_us", {"version": "2"}, 5_050_000),
        ("queue_duration_us", {"version": "2"}, 100_000),
        ("compute_input_duration_us", {"version": "2"}, 50_000),
        ("compute_infer_duration_us", {"version": "2"}, 4_500_000),
        ("compute_output_duration_us", {"version": "2"}, 20_000),
        ("first_response_histogram_ms_bucket", {"le": "100"}, 100),
        ("first_response_histogram_ms_sum", {"version": "2"}, 5050),
    ],
)
def test_on_request_triton_s_names_are_there_with_its_units(name: str, labels: dict[str, str], expected: float) -> None:
    assert value(samples(triton_names=True), f"nv_inference_{name}", **labels) == expected


def test_triton_s_names_are_absent_unless_asked_for() -> None:
    assert not [name for name, _, _ in samples() if name.startswith("nv_")]
    assert value(samples(triton_names=True), "nv_cpu_memory_total_bytes")


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian package prometheus)")
def test_promtool_finds_nothing_to_complain_about() -> None:
    text = Metrics(Stub()).exposition()
    done = subprocess.run([str(PROMTOOL), "check", "metrics"], input=text, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_a_running_service_tells_what_it_answered(settings: Callable[..., Settings]) -> None:
    async def body() -> None:
        async with running(settings()) as service:
            metrics = Metrics(service, triton_names=True)
            spec = service.metadata("parts")["inputs"][0]
            grey = Tensor.of(spec["name"], np.full((1, 96, 96, 3), 0.5, np.float32))
            for _ in range(3):
                await service.infer(Request(model="parts", inputs=[grey]))
            found = parsed(metrics.exposition().decode())
            assert value(found, "piaccel_serve_requests_total", outcome="ok", variant="fp32-tflite") == 3
            assert value(found, "piaccel_serve_request_duration_seconds_count", model="parts", version="1") == 3
            assert value(found, "nv_inference_request_success", model="parts", version="1") == 3

    asyncio.run(body())


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/metrics", 200), ("HEAD", "/metrics", 200), ("POST", "/metrics", 405), ("GET", "/v2", 404)],
)
def test_its_port_answers_get_metrics_and_nothing_else(method: str, path: str, status: int) -> None:
    sent: list[dict[str, Any]] = []

    async def receive() -> None:
        raise AssertionError("nothing is read")

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(Metrics(Stub())({"type": "http", "method": method, "path": path}, receive, send))
    start, body = sent
    assert start["status"] == status
    assert (b"piaccel_serve_ready 1.0" in body["body"]) == (status == 200 and method == "GET")
