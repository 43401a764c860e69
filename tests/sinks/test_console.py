"""Results as lines of text."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from piaccel import sinks
from piaccel.errors import OptionError, WriteError
from piaccel.sinks import Sink
from piaccel.testing.sink_compliance import SinkCompliance
from tests.sinks.events import detected, event, unanswered


class TestConsole(SinkCompliance):
    def spec(self, folder: Path) -> str:
        return "console"


def opened(text: str) -> Sink:
    sink = sinks.make(text)
    sink.open()
    return sink


def test_a_line_tells_time_stream_frame_age_and_findings(capsys: pytest.CaptureFixture[str]) -> None:
    sink = opened("console")
    sink.deliver(event(7, result=detected("crack", "hole"), deadline_ns=1, held=True, part=3))
    words = capsys.readouterr().out.rstrip("\n").split("  ")
    expected = ["2026-11-23T01:13:29.123Z", "line1", "#7", "part 3", "31.0 ms", "late", "held", "crack 0.90, hole 0.60"]
    assert words == expected


def test_what_is_unknown_is_said_so(capsys: pytest.CaptureFixture[str]) -> None:
    sink = opened("console")
    sink.deliver(unanswered(1, exposed_ns=None))
    assert capsys.readouterr().out.endswith("age unknown  no result: expired\n")


def test_many_findings_are_cut_short(capsys: pytest.CaptureFixture[str]) -> None:
    opened("console").deliver(event(result=detected(*["crack"] * 20)))
    assert capsys.readouterr().out.endswith(", and 12 more\n")


def test_a_name_cannot_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    opened("console").deliver(event(stream="line\x1b[2J\nroot# "))
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert out.count("\n") == 1


def test_every_prints_the_first_of_so_many_of_each_stream(capsys: pytest.CaptureFixture[str]) -> None:
    sink = opened("console:stderr,every=3")
    for number in range(7):
        sink.deliver(event(number, stream="a"))
        sink.deliver(event(number, stream="b"))
    captured = capsys.readouterr()
    assert not captured.out
    for stream in ("a", "b"):
        lines = [each for each in captured.err.splitlines() if f"  {stream}  " in each]
        assert [each.split("  ")[2] for each in lines] == ["#0", "#3", "#6"]


def test_changes_prints_only_when_other_labels_are_found(capsys: pytest.CaptureFixture[str]) -> None:
    sink = opened("console,changes=true")
    for number, label in enumerate(["good", "good", "crack", "crack", "good"]):
        sink.deliver(event(number, label))
    assert [each.split("  ")[2] for each in capsys.readouterr().out.splitlines()] == ["#0", "#2", "#4"]
    assert sink.facts() == {"printed": 3}


def test_an_output_that_cannot_show_a_letter_gets_a_question_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, "ascii"))
    opened("console").deliver(event(stream="Straße"))
    assert b"Stra?e" in raw.getvalue()


def test_a_reader_that_left_is_a_write_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Left(io.StringIO):
        encoding = "utf-8"

        def flush(self) -> None:
            raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(sys, "stdout", Left())
    with pytest.raises(WriteError, match="Broken pipe"):
        opened("console").deliver(event())


@pytest.mark.parametrize("text", ["console:printer", "console:every=0"])
def test_what_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(OptionError):
        sinks.make(text)
