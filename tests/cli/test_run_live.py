from __future__ import annotations

import io
import time
from dataclasses import replace

import pytest
from rich.console import Console, Group

from piaccel.bench import Verdict
from piaccel.cli import _run_live, _run_summary
from piaccel.errors import OptionError
from piaccel.pipeline.runner import Summary
from piaccel.pipeline.snapshot import Snapshot
from tests.pipeline import snapshots


def text(seen: Snapshot, height: int = 23) -> str:
    return "\n".join(line.plain for line in _run_live.lines(seen, height))


def test_what_people_look_for_is_there() -> None:
    seen = snapshots.snapshot(alarms=("under-voltage",), steps=("12:00 main: rung 0 to 1: throttled",))
    shown = text(seen)
    for words in (
        "1:02:05", "62 °C", "1500 MHz", "throttled: throttled now, under-voltage since boot", "! under-voltage",
        "main  running  27.4/s  litert/int8  latest  rung 1 of 2", "p50 31.0  p95 40.3  p99 46.5  late 4",
        "answered 1190 of 1300  failed 1  dropped 108 (99 overwritten, 9 expired)",
        "source usb:0  running  30.0/s  1280x720  lost 2  reconnects 1  restamped 3",
        "sink   jsonl:results.jsonl  open  sent 1180  queued 3  lag 0.4 s  given up 7 (7 queue full)",
        "heat   12:00 main: rung 0 to 1: throttled",
    ):  # fmt: skip
        assert words in shown


def test_what_is_not_known_is_no_number() -> None:
    empty = snapshots.spread(None)
    stream = snapshots.stream(rate=None, recent_age=empty, rung=None, deadline_ms=None, backend="", variant="")
    shown = text(snapshots.snapshot(streams=(stream,), board={"temperature_c": None}))
    assert "main  waiting  -/s  no model yet" in shown
    assert "age ms p50 -  p95 -  p99 -  waiting 1" in shown
    assert "°C" not in shown
    assert "rung" not in shown


def test_many_streams_and_alarms_fit_24_lines_of_80_columns() -> None:
    seen = snapshots.snapshot(
        streams=tuple(snapshots.stream(f"stream{n}" * 20) for n in range(30)), alarms=tuple(str(n) for n in range(50))
    )
    screen = io.StringIO()
    console = Console(file=screen, width=80, height=24, force_terminal=True, color_system=None)
    console.print(Group(*_run_live.lines(seen, 23)))
    rows = screen.getvalue().splitlines()
    assert len(rows) == 23
    assert max(map(len, rows)) <= 80
    assert "and 47 more alarms" in screen.getvalue()
    assert "more lines" in rows[-1]


def test_names_cannot_speak_to_the_terminal_and_passwords_are_hidden() -> None:
    shown = text(snapshots.snapshot(cameras=(snapshots.camera(name="rtsp://me:secret@cam/\x1b[2J"),)))
    assert "\x1b" not in shown
    assert "secret" not in shown


def test_it_is_shown_in_a_terminal_while_the_block_runs() -> None:
    screen = io.StringIO()
    console = Console(file=screen, width=80, height=24, force_terminal=True, force_interactive=True, color_system=None)
    with _run_live.live(snapshots.snapshot, console):
        time.sleep(0.1)
    assert "main  running" in screen.getvalue()


def test_nothing_is_shown_where_there_is_no_terminal() -> None:
    screen = io.StringIO()
    with _run_live.live(snapshots.snapshot, Console(file=screen)):
        pass
    assert screen.getvalue() == ""


def test_a_snapshot_that_is_not_there_yet_does_not_end_the_run() -> None:
    def fails() -> Snapshot:
        raise OptionError("the pipeline has not been started")

    screen = io.StringIO()
    console = Console(file=screen, width=80, height=24, force_terminal=True, force_interactive=True, color_system=None)
    with _run_live.live(fails, console):
        time.sleep(0.1)
    assert "has not been started" in screen.getvalue()


def summed(seen: Snapshot, verdict: Verdict, hottest: float | None) -> str:
    screen = io.StringIO()
    summary = Summary(seen, verdict, "seconds", hottest_c=hottest)
    _run_summary.show(summary, Console(file=screen, width=160, color_system=None))
    return " ".join(screen.getvalue().split())


def test_a_summary_holds_ages_stages_drops_sinks_temperature_and_verdict() -> None:
    shown = summed(snapshots.snapshot(), Verdict(True, ()), 63.0)
    for words in (
        "main litert/int8 1190", "30.0 39.0 45.0 60.0", "inference 20.0", "108 (99 overwritten, 9 expired)",
        "jsonl:results.jsonl at least once 1180 3 7 (7 queue full)", "temperature 49 to 63 °C",
        "ages count from the sensor time, frames lost: 2", "ended: seconds", " valid",
    ):  # fmt: skip
        assert words in shown
    assert "not valid" not in shown


def test_a_verdict_that_is_not_valid_says_every_reason() -> None:
    shown = summed(snapshots.snapshot(), Verdict(False, ("throttled", "late: 4 of 1190 [x]")), None)
    assert "not valid: throttled; late: 4 of 1190 [x]" in shown
    assert "temperature not measurable here" in shown


@pytest.mark.parametrize("nothing", [snapshots.spread(None)])
def test_a_run_without_results_has_a_summary(nothing: object) -> None:
    stream = replace(snapshots.stream(stages={}), age=nothing, gap=nothing, answered=0, dropped={})  # type: ignore[arg-type]
    shown = summed(snapshots.snapshot(streams=(stream,), sinks=(), cameras=()), Verdict(False, ("few",)), None)
    assert "main litert/int8 0 - - - - - - -" in shown
