"""The service's log."""

import io
import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from piaccel.serving import outlet
from piaccel.serving.log import BURST, WINDOW_S, Log
from piaccel.serving.outlet import MOST
from piaccel.serving.snapshot import Happening


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Lines:
    """A log into memory, on a virtual clock."""

    def __init__(self, stream: io.StringIO | None = None, **options: Any) -> None:
        self.now = 0.0
        self.stream = io.StringIO() if stream is None else stream
        self.log = Log(self.stream, clock=lambda: self.now, **options)

    @property
    def text(self) -> list[str]:
        return self.stream.getvalue().splitlines()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text]


@pytest.fixture
def lines() -> Iterator[Lines]:
    made = Lines()
    yield made
    made.log.stop()


def test_a_request_is_a_line_with_who_asked_and_what_came_of_it(lines: Lines) -> None:
    lines.log.request(status=200, ms=12.34567, model="parts", version="3", request_id="a1", key="line-4")
    (line,) = lines.lines
    time = datetime.fromisoformat(line.pop("time"))
    assert time.utcoffset() is not None
    assert line == {
        "level": "info", "event": "request", "model": "parts", "version": "3", "request_id": "a1", "key": "line-4",
        "status": 200, "ms": 12.346,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("status", "level"), [(200, "info"), (404, "warning"), (503, "warning"), (504, "warning"), (500, "error")]
)
def test_the_level_follows_the_status(status: int, level: str, lines: Lines) -> None:
    lines.log.request(status=status, ms=1.0)
    assert lines.lines[0]["level"] == level


def test_what_the_service_says_of_itself_is_a_line(lines: Lines) -> None:
    lines.log.happening(Happening(at=0.0, what="quarantined", model="parts", version="4", reason="output x holds NaN"))
    (line,) = lines.lines
    assert (line["level"], line["event"], line["version"]) == ("warning", "quarantined", "4")
    assert line["reason"] == "output x holds NaN"


def test_repetition_is_counted_and_not_written(lines: Lines) -> None:
    for _ in range(1000):
        lines.log.request(status=200, ms=1.0, model="parts")
    lines.log.request(status=503, ms=1.0, model="parts")  # another kind
    assert len(lines.text) == BURST + 1
    lines.now += WINDOW_S
    lines.log.request(status=200, ms=1.0, model="parts")
    assert lines.lines[-2]["repeated"] == 1000 - BURST
    assert "repeated" not in lines.lines[-1]


def test_what_was_left_out_is_told_at_the_end() -> None:
    lines = Lines()
    for _ in range(BURST + 5):
        lines.log.request(status=200, ms=1.0, model="parts")
    lines.log.stop()
    lines.log.stop()
    assert [line.get("repeated") for line in lines.lines][-2:] == [None, 5]


def test_kinds_without_end_do_not_take_memory_without_end(lines: Lines) -> None:
    for n in range(5000):
        lines.log.request(status=404, ms=1.0, model=f"m{n}")
    assert len(lines.log._counts) <= 1000


@pytest.mark.parametrize("hostile", ["a\nb", "\x1b[31mred", "\u2028", "\x9b0m", "\udc80", "\x00"])
def test_a_name_from_outside_cannot_forge_a_line_or_command_a_terminal(hostile: str) -> None:
    for stream in (io.StringIO(), Terminal()):
        lines = Lines(stream)
        lines.log.request(status=404, ms=1.0, model=hostile, request_id=hostile)
        assert len(lines.text) == 1
        assert all(each.isprintable() for each in lines.text)


@pytest.mark.parametrize(
    "words",
    [
        "rtsp://user:hunter2@camera failed",
        "Authorization: Bearer hunter2",
        "GET /v2?token=hunter2 failed",
        "the header said api_key: hunter2",
        "?password=hunter2&x=1",
    ],
)
def test_secrets_do_not_reach_the_log(words: str, lines: Lines) -> None:
    lines.log.event("warning", "message", reason=words)
    assert "hunter2" not in lines.stream.getvalue()
    assert "***" in lines.stream.getvalue()


def test_a_terminal_gets_text_for_people() -> None:
    lines = Lines(Terminal())
    lines.log.request(status=200, ms=2.0, model="parts", reason="two words")
    (line,) = lines.text
    assert line.endswith("info    request model=parts status=200 ms=2.0 reason='two words'")


def test_without_json_a_file_gets_text_too() -> None:
    lines = Lines(as_json=False)
    lines.log.request(status=200, ms=2.0)
    assert not lines.text[0].startswith("{")


def test_what_piaccel_s_modules_log_comes_here_and_nowhere_else(
    lines: Lines, capsys: pytest.CaptureFixture[str]
) -> None:
    lines.log.start()
    logging.getLogger("piaccel").warning("HEAT %s", "parts")
    logging.getLogger("piaccel.serving").info("a part of it")
    lines.log.stop()
    logging.getLogger("piaccel").debug("after the end")
    assert [(line["level"], line["event"], line["reason"]) for line in lines.lines] == [
        ("warning", "message", "HEAT parts"),
        ("info", "message", "a part of it"),
    ]
    assert capsys.readouterr().err == ""


def test_a_stderr_that_is_gone_costs_no_request() -> None:
    lines = Lines()
    lines.stream.close()
    lines.log.request(status=200, ms=1.0)


def test_nobody_waits_for_a_reader_that_does_not_read_and_the_gap_is_told() -> None:
    reading, writing = os.pipe()
    stream = os.fdopen(writing, "w")
    log = Log(stream, clock=iter(range(0, 10**9, 100)).__next__)

    def work() -> None:
        log.start()
        for number in range(3 * MOST):
            log.event("info", "message", reason=f"{number} {'x' * 500}")

    writer = threading.Thread(target=work, daemon=True)
    writer.start()
    writer.join(60)
    assert not writer.is_alive()
    read: list[bytes] = []

    def look() -> None:
        with os.fdopen(reading, "rb") as lines:
            read.extend(lines)  # grows line by line

    reader = threading.Thread(target=look)
    reader.start()
    while len(read) < MOST:
        time.sleep(0.01)
    log.event("info", "message", reason="afterwards")
    log.stop()
    stream.close()
    reader.join(60)
    lines = [json.loads(line)["reason"] for line in read]
    assert lines[-1] == "afterwards"
    missing = int(lines[-2].split()[0])
    assert "are missing here" in lines[-2]
    assert lines[:3] == [f"{number} {'x' * 500}" for number in range(3)]
    assert missing + len(lines) - 2 == 3 * MOST


def test_a_log_that_nobody_reads_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlet, "PATIENCE_S", 0.05)
    reading, writing = os.pipe()
    stream = os.fdopen(writing, "w")
    log = Log(stream)
    log.start()
    log.event("info", "message", reason="x" * 1000)
    for number in range(2 * MOST):
        log.event("info", f"kind {number}", reason="x" * 1000)
    log.stop()
    os.close(reading)  # the thread's writes fail now
    while not log._outlet._lines.empty():
        time.sleep(0.01)
    stream.close()
