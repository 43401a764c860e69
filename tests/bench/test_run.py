"""The whole benchmark with real networks, kept short: what crashes, lies or is interrupted is a row, not the end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from piaccel.bench import Report
from piaccel.bench.conclusion import sentence, winner
from piaccel.bench.plan import make
from piaccel.bench.report import from_json, to_json
from piaccel.bench.run import Progress, Settings, Sitting, benchmark
from piaccel.bundles import Bundle
from piaccel.errors import InputError, NotFoundError, OptionError
from piaccel.testing.fake_board import FakeBoard


def quick(model: Path, **arguments: Any) -> Report:
    return benchmark(model, **{"threads": [1], "duration_s": 0.05, "repeats": 1, "backends": ["litert"], **arguments})


def test_backends_take_turns_and_each_repeat_is_kept(tiny_model: Path) -> None:
    steps: list[Progress] = []
    report = quick(tiny_model, backends=["litert", "openvino"], repeats=2, progress=steps.append)
    order = [step.text.partition("/")[0] for step in steps if "loading" in step.text]
    assert order == ["litert", "openvino", "litert", "openvino"]
    assert [len(row.repeats) for row in report.measurements] == [2, 2]
    assert (steps[0].done, steps[0].total, steps[-1].done) == (0, 5, 5)
    assert report.reference.startswith("litert/")
    assert [row.agreement.agrees for row in report.measurements if row.agreement] == [True, True]
    starts = [row.repeats[0].started_ns for row in report.measurements]
    assert 0 < starts[0] < starts[1]
    assert not report.interrupted


def test_a_report_survives_the_way_to_json_and_back(tiny_model: Path, picture: Path) -> None:
    report = quick(tiny_model, images=[picture])
    assert from_json(to_json(report)) == report


def test_a_backend_that_crashes_is_a_row_with_the_signal(tiny_model: Path, strange_backends: None) -> None:
    report = quick(tiny_model, backends=["crashes", "litert"], repeats=2)
    rows = {row.backend: row for row in report.measurements}
    assert "SIGSEGV" in rows["crashes"].error
    assert rows["crashes"].verdict.reasons == ("not measured",)
    assert len(rows["litert"].repeats) == 2


def test_a_fast_wrong_answer_is_marked_wrong_and_never_wins(
    tiny_model: Path, demo: Path, strange_backends: None
) -> None:
    # Several pictures: one that always answers the same is right about one of them.
    report = quick(tiny_model, backends=["lies", "litert"], images=sorted((demo / "images").glob("nut_*.jpg")))
    rows = {row.backend: row for row in report.measurements}
    lies = rows["lies"]
    assert max(lies.repeats[0].latency_ns[:5]) < min(rows["litert"].repeats[0].latency_ns)
    assert lies.agreement is not None
    assert not lies.agreement.agrees
    assert "top-1" in lies.agreement.detail
    assert winner(report) is not lies
    assert "lies" not in sentence(report).partition(" is fastest")[0]


def test_a_model_nobody_can_load_is_an_error_in_every_row(shared: Path) -> None:
    report = benchmark(shared / "models/broken/unknown_custom_op.tflite", duration_s=0.05, repeats=1, threads=[1])
    assert report.measurements
    assert all(row.error for row in report.measurements)
    assert winner(report) is None
    assert sentence(report) == "Nothing could be measured."


INTERRUPTED = """
import os, signal, sys, threading
from pathlib import Path
from piaccel.bench.run import benchmark

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background has it ignored

def interrupt(step):
    if step.done == 2 and step.text.endswith(": measuring"):
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()

report = benchmark(
    sys.argv[1], backends=["litert", "openvino"], threads=[1], duration_s=4.0, repeats=1, progress=interrupt
)
assert report.interrupted
done, missing = report.measurements
assert len(done.repeats) == 1
assert missing.error == "interrupted before it was measured"
assert not Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
"""


def test_ctrl_c_keeps_what_was_finished_and_leaves_no_child(tiny_model: Path) -> None:
    command = [sys.executable, "-c", INTERRUPTED, str(tiny_model)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_a_throttled_board_makes_every_row_invalid(tiny_model: Path, tmp_path: Path) -> None:
    board = FakeBoard(tmp_path / "pi", "pi4", os="trixie", state="throttled")
    report = quick(tiny_model, root=board.root, duration_s=0.3)
    row = report.measurements[0]
    assert not row.verdict.valid
    assert {"throttled", "clock capped"} & set(row.verdict.reasons)
    assert winner(report) is None
    names = {series.name for series in row.repeats[0].series}
    assert {"temperature_c", "clock_hz", "throttled"} <= names
    assert report.environment["board"]["model"].startswith("Raspberry Pi 4")


def test_the_server_scenario_reports_one_rate_for_all_repeats(tiny_model: Path) -> None:
    report = quick(tiny_model, scenario="server", latency_bound_ms=5000, repeats=2)
    row = report.measurements[0]
    assert row.server is not None
    assert row.server["rate_per_s"] in [repeat.server["rate_per_s"] for repeat in row.repeats if repeat.server]
    assert row.server["latency_bound_ns"] == 5_000_000_000


def test_the_conditions_say_what_was_fed(tiny_model: Path, picture: Path) -> None:
    assert Settings().conditions()["inputs"] == "3 made-up pictures of 640x480, seed 0"
    assert Settings(images=(picture,)).conditions()["inputs"] == "washer_good.jpg"


def test_the_conditions_hold_what_was_said_instead_of_the_manifest_as_json_does() -> None:
    said = Settings(overrides={"size": (96, 128), "mean": None, "labels": Path("labels.txt")}).conditions()
    assert said["overrides"] == {"size": [96, 128]}
    assert "overrides" not in Settings(overrides={"mean": None}).conditions()


def test_what_is_wrong_with_the_request_is_said_before_anything_runs(tiny_model: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.jpg"
    empty.write_bytes(b"")
    with pytest.raises(NotFoundError):
        benchmark(tmp_path / "absent.tflite")
    with pytest.raises(InputError):
        quick(tiny_model, images=[empty])
    with pytest.raises(OptionError, match="needs a latency bound"):
        quick(tiny_model, scenario="server")
    with pytest.raises(OptionError, match="for the scenario server"):
        quick(tiny_model, latency_bound_ms=5)
    with pytest.raises(OptionError, match="streaming"):
        quick(tiny_model, scenario="streaming")
    with pytest.raises(OptionError, match="repeats"):
        quick(tiny_model, repeats=0)
    for seconds in (0, -1, float("nan"), float("inf")):
        with pytest.raises(OptionError):
            quick(tiny_model, duration_s=seconds)


def test_the_sensors_cover_the_end_to_end_part_too(tiny_model: Path, picture: Path, tmp_path: Path) -> None:
    board = FakeBoard(tmp_path / "pi", "pi5", os="trixie")
    report = quick(tiny_model, root=board.root, images=[picture], duration_s=1.0)
    repeat = report.measurements[0].repeats[0]
    assert repeat.series[0].at_ns[-1] > repeat.started_ns + repeat.duration_ns


def test_a_second_sitting_does_not_ask_the_reference_again(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make(Bundle.open(tiny_model), ["litert"], threads=[1])
    settings = Settings(duration_s=0.05, repeats=1)
    first = Sitting(plan, settings)
    assert next(iter([step.text for step in first.steps()])) == "asking the reference"
    monkeypatch.setattr("piaccel.isolation.call", None)  # it would be asked with this
    second = Sitting(plan, settings, reference=first.reference)
    list(second.steps())
    assert second.report().reference == first.report().reference
    agreement = second.report().measurements[0].agreement
    assert agreement is not None
    assert agreement.agrees
