from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("prometheus_client")

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from piaccel.pipeline import metrics
from piaccel.pipeline.histogram import Histogram
from piaccel.pipeline.snapshot import Snapshot
from tests.pipeline import snapshots

PROMTOOL = shutil.which("promtool")
RULES = Path(__file__).parents[2] / "packaging" / "prometheus-alerts.yml"


def text(seen: Snapshot | None = None) -> str:
    return metrics.exposition(lambda: seen or snapshots.snapshot(), snapshots.histograms).decode()


def parsed(seen: Snapshot | None = None) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(text(seen))}


def value(name: str, seen: Snapshot | None = None, **labels: str) -> float | None:
    for family in parsed(seen).values():
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return sample.value
    return None


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("piaccel_frames_offered_total", {"stream": "main"}, 1300),
        ("piaccel_frames_answered_total", {"stream": "main"}, 1190),
        ("piaccel_frames_failed_total", {"stream": "main"}, 1),
        ("piaccel_frames_dropped_total", {"stream": "main", "cause": "expired"}, 9),
        ("piaccel_events_late_total", {"stream": "main"}, 4),
        ("piaccel_queue_depth", {"stream": "main"}, 1),
        ("piaccel_deadline_seconds", {"stream": "main"}, 0.08),
        ("piaccel_heat_rung", {"stream": "main"}, 1),
        ("piaccel_stream_info", {"backend": "litert", "variant": "int8", "model": "demo"}, 1),
        ("piaccel_source_state", {"source": "usb:0", "state": "running"}, 1),
        ("piaccel_source_state", {"source": "usb:0", "state": "lost"}, 0),
        ("piaccel_source_frames_per_second", {"source": "usb:0"}, 30),
        ("piaccel_source_reconnects_total", {"source": "usb:0"}, 1),
        ("piaccel_sink_events_given_up_total", {"cause": "queue full"}, 7),
        ("piaccel_sink_up", {}, 1),
        ("piaccel_sink_lag_seconds", {}, 0.4),
        ("piaccel_temperature_celsius", {}, 61.5),
        ("piaccel_clock_hertz", {}, 1.5e9),
        ("piaccel_throttled", {"condition": "throttled"}, 1),
        ("piaccel_throttled", {"condition": "under_voltage"}, 0),
        ("piaccel_throttled", {"condition": "under_voltage_since_boot"}, 1),
        ("piaccel_under_voltage", {}, 0),
    ],
)
def test_a_number_of_the_snapshot_is_exported(name: str, labels: dict[str, str], expected: float) -> None:
    assert value(name, None, **labels) == expected


def test_all_eight_throttle_conditions_are_there() -> None:
    assert len(parsed()["piaccel_throttled"].samples) == 8


def test_what_is_not_known_is_absent_and_never_0() -> None:
    seen = snapshots.snapshot(
        board={"temperature_c": None, "throttled": None},
        streams=(snapshots.stream(rate=None, rung=None, deadline_ms=None),),
        cameras=(snapshots.camera(fps=None),),
    )
    names = set(parsed(seen))
    for name in (
        "temperature_celsius", "throttled", "clock_hertz", "results_per_second", "heat_rung", "deadline_seconds",
        "source_frames_per_second", "fan_rpm",
    ):  # fmt: skip
        assert f"piaccel_{name}" not in names


def test_ages_are_a_histogram_in_seconds_from_1_ms_to_10_s() -> None:
    samples = parsed()["piaccel_result_age_seconds"].samples
    buckets = {sample.labels["le"]: sample.value for sample in samples if sample.name.endswith("_bucket")}
    assert next(iter(buckets)) == "0.001"
    assert list(buckets)[-2:] == ["10.0", "+Inf"]
    assert buckets["+Inf"] == 100
    assert list(buckets.values()) == sorted(buckets.values())
    assert buckets["0.05"] == pytest.approx(50, abs=1)
    assert value("piaccel_result_age_seconds_sum") == pytest.approx(5.05)
    assert value("piaccel_stage_duration_seconds_count", stream="main", stage="inference") == 100
    assert value("piaccel_result_gap_seconds_count", stream="main") == 100


def test_a_histogram_that_counts_on_while_it_is_read_stays_rising() -> None:
    class Racing(Histogram):
        def below(self, edges_ns: list[int]) -> list[int]:
            sums = super().below(edges_ns)
            return [*sums[:-1], sums[-1] + 5]

    racing = Racing()
    racing.add(1_000_000)
    out = metrics.exposition(snapshots.snapshot, lambda: {("main", "age"): racing}).decode()
    assert 'piaccel_result_age_seconds_bucket{le="+Inf",stream="main"} 6.0' in out


def test_more_causes_than_a_few_become_one() -> None:
    seen = snapshots.snapshot(sinks=(snapshots.sink(given_up={f"cause {n}": 1 for n in range(1000)}),))
    assert len(parsed(seen)["piaccel_sink_events_given_up"].samples) == metrics.CAUSES + 1
    assert value("piaccel_sink_events_given_up_total", seen, cause="other") == 1000 - metrics.CAUSES


def test_names_from_outside_are_escaped_and_passwords_are_hidden() -> None:
    name = 'rtsp://user:secret@cam/"x"\n'
    seen = snapshots.snapshot(cameras=(snapshots.camera(name=name),))
    assert "secret" not in text(seen)
    assert value("piaccel_source_frames_total", seen, source='rtsp://***@cam/"x"\n') == 1300


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian package prometheus)")
def test_promtool_finds_nothing_to_complain_about() -> None:
    done = subprocess.run([str(PROMTOOL), "check", "metrics"], input=text(), capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian package prometheus)")
def test_promtool_takes_the_alert_rules() -> None:
    done = subprocess.run([str(PROMTOOL), "check", "rules", str(RULES)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_alert_rules_ask_only_for_metrics_that_are_exported() -> None:
    known = {sample.name for family in parsed().values() for sample in family.samples}
    asked = set(re.findall(r"\bpiaccel_\w+", RULES.read_text(encoding="utf-8")))
    assert asked
    assert asked <= known
