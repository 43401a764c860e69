"""The machine's own clock repeats in a thread and stops when it is left; a pace does not make up for what is late."""

from __future__ import annotations

import threading

import pytest

from piaccel.soak.clock import WallClock
from piaccel.soak.load import Pace


def test_what_is_repeated_runs_in_another_thread_until_it_is_left() -> None:
    names: list[str] = []
    thrice = threading.Event()

    def note() -> None:
        names.append(threading.current_thread().name)
        if len(names) == 3:
            thrice.set()

    with WallClock().every(0.01, note):
        assert thrice.wait(30)
    count = len(names)
    assert set(names) == {"piaccel-soak-sensors"}
    assert not any(thread.name == "piaccel-soak-sensors" for thread in threading.enumerate())
    assert len(names) == count


def test_a_pace_spaces_questions_evenly() -> None:
    pace = Pace(10.0, 0)
    assert [pace.wait_s(0) for _ in range(3)] == pytest.approx([0.0, 0.1, 0.2])


def test_a_pace_that_was_missed_is_no_burst_afterwards() -> None:
    pace = Pace(10.0, 0)
    pace.wait_s(0)
    now = 5_000_000_000
    waits = [pace.wait_s(now) for _ in range(4)]
    assert waits == pytest.approx([0.0, 0.0, 0.1, 0.2])


def test_without_a_rate_every_question_is_due_at_once() -> None:
    pace = Pace(None, 0)
    assert [pace.wait_s(5) for _ in range(3)] == [0.0, 0.0, 0.0]
