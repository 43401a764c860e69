"""What the monitor sees of a board, and what the heat ladder makes of it in a running pipeline."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from piaccel.pipeline.heat import HeatSettings, Ladder
from piaccel.pipeline.runner import Pipeline
from piaccel.pipeline.settings import structure
from piaccel.pipeline.verdict import Conditions
from piaccel.sinks import Event
from tests.pipeline.clock import Clock


class Board:
    """Sensors that read what the test says."""

    def __init__(self, **readings: float | None) -> None:
        self.readings: dict[str, float | None] = readings

    def read(self) -> dict[str, float | None]:
        return dict(self.readings)


def until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not done():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


def test_a_hot_board_gets_the_next_variant_and_a_cool_one_the_first_again(demo: Path) -> None:
    board = Board(temperature_c=50.0, throttled=0.0)
    seen: list[Event] = []
    settings = structure(
        {
            "source": "synthetic:fps=40,size=320x240",
            "model": str(demo / "bundle"),
            "backend": "litert",
            "threads": 1,
            "variant": "fp32-tflite",
            "ladder": [{"variant": "int8-tflite"}, {"rate": 5}],
            "heat": {"dwell": "1s", "settle": "30s", "longest_dwell": "5s"},
        }
    )
    pipeline = Pipeline(settings=settings, sinks=[seen.append], sensors=board)
    pipeline.start()
    until(lambda: bool(seen))
    assert seen[-1].variant == "fp32-tflite"
    board.readings = {"temperature_c": 81.0, "throttled": 0.0}
    until(lambda: seen[-1].variant == "int8-tflite")
    board.readings = {"temperature_c": 60.0, "throttled": 0.0}
    until(lambda: seen[-1].variant == "fp32-tflite")
    pipeline.stop()
    summary = pipeline.summary()
    assert [step.split(" ", 1)[1].partition(":")[0] for step in summary.numbers.steps] == ["main", "main"]
    assert "81 °C" in summary.numbers.steps[0]
    assert summary.hottest_c == 81.0
    assert not summary.verdict.valid
    stream = summary.numbers.streams[0]
    assert stream.offered == stream.answered + stream.failed + sum(stream.dropped.values())
    assert stream.failed == 0
    assert [event.index for event in seen] == sorted({event.index for event in seen})


def test_a_rung_with_a_rate_slows_the_results_down(demo: Path) -> None:
    board = Board(temperature_c=90.0)
    seen: list[Event] = []
    settings = structure(
        {
            "source": "synthetic:fps=50,size=320x240",
            "model": str(demo / "bundle"),
            "backend": "litert",
            "ladder": [{"rate": 10}],
        }
    )
    pipeline = Pipeline(settings=settings, sinks=[seen.append], sensors=board)
    pipeline.start()
    until(lambda: pipeline.snapshot().streams[0].rung == 1)
    begun = len(seen)
    until(lambda: len(seen) >= begun + 8)
    pipeline.stop()
    gaps = [b.published_ns - a.published_ns for a, b in zip(seen[begun + 1 :], seen[begun + 2 :], strict=False)]
    assert sorted(gaps)[len(gaps) // 2] >= 80_000_000


def test_under_voltage_is_an_alarm_and_never_a_step() -> None:
    ladder = Ladder(3, HeatSettings(), clock := Clock())
    for _ in range(300):
        clock.now_ns += 1
        assert ladder.update({"throttled": 1.0, "under_voltage": 1.0, "temperature_c": 50.0}, 0.0) is None
    assert ladder.rung == 0


def test_alarms_name_what_somebody_should_look_at(demo: Path) -> None:
    board = Board(temperature_c=50.0, throttled=5.0)
    pipeline = Pipeline("synthetic:fps=30,size=320x240", demo / "bundle", backend="litert", sensors=board)
    pipeline.start()
    until(lambda: "under-voltage" in pipeline.snapshot().alarms)
    assert "throttled" in pipeline.snapshot().alarms
    pipeline.stop()
    assert {"under-voltage", "throttled"} <= set(pipeline.summary().verdict.reasons)


@pytest.mark.parametrize(
    ("readings", "reasons"),
    [
        ([{"temperature_c": 60.0, "throttled": 0.0}], []),
        ([{"temperature_c": None, "throttled": None}], []),
        ([{"temperature_c": 81.0}], ["hot: 81 °C, throttles from 80 °C"]),
        ([{"throttled": float(0x50000)}], []),  # it happened before this run
        ([{"throttled": 0.0}, {"throttled": float(0x40000)}], ["throttled"]),
        ([{"under_voltage": 1.0}], ["under-voltage"]),
    ],
)
def test_the_conditions_tell_what_happened_during_the_run(
    readings: list[dict[str, float | None]], reasons: list[str]
) -> None:
    conditions = Conditions()
    for each in readings:
        conditions.add(each)
    assert list(conditions.reasons()) == reasons


def test_a_history_point_each_second_is_kept_for_five_minutes(demo: Path) -> None:
    pipeline = Pipeline("synthetic:fps=30,size=320x240", demo / "bundle", backend="litert", sensors=Board())
    pipeline.start()
    until(lambda: len(pipeline.snapshot().history) >= 2)
    pipeline.stop()
    point = pipeline.snapshot().history[-1]
    assert set(point) == {"at", "temperature_c", "main.rate", "main.age_p50_ms", "main.age_p95_ms", "main.dropped"}
    assert point["temperature_c"] is None
