"""When a thread may take the next frame."""

from types import SimpleNamespace
from typing import Any

import pytest

from piaccel.pipeline.brain import Brain, Place, Seat

MS = 1_000_000


class Engine:
    """Says how long its run still takes."""

    def __init__(self) -> None:
        self.left_ns = 0
        self.when_free: list[Any] = []

    def remaining_ns(self, now_ns: int) -> int:
        return self.left_ns


@pytest.fixture
def engine() -> Any:
    return Engine()


@pytest.fixture
def seat(engine: Any) -> Seat:
    return Seat(engine, lambda: None)


def test_while_a_frame_waits_for_its_turn_no_other_is_taken(seat: Seat) -> None:
    assert seat.wait_ns(0) == 0
    seat.taken(0)
    assert seat.wait_ns(0) > 0
    seat.admitted(0)
    assert seat.wait_ns(0) == 0


def test_a_thread_that_finished_does_not_free_the_place_of_one_that_prepares(seat: Seat) -> None:
    seat.taken(0)
    seat.admitted(0)
    seat.taken(1)
    seat.answered(0, MS)
    assert seat.wait_ns(0) > 0
    seat.admitted(1)
    assert seat.wait_ns(0) == 0


def test_a_frame_that_failed_before_its_turn_frees_the_place(seat: Seat) -> None:
    seat.taken(1)
    seat.answered(1, MS)
    assert seat.wait_ns(0) == 0


def test_the_next_frame_is_taken_as_long_before_the_runs_end_as_preparing_takes(seat: Seat, engine: Any) -> None:
    seat.taken(0)
    seat.answered(0, 10 * MS)
    engine.left_ns = 50 * MS
    assert seat.wait_ns(0) == 50 * MS - 13 * MS
    engine.left_ns = 5 * MS
    assert seat.wait_ns(0) == 0


def test_models_are_given_back_once_when_the_last_thread_has_left(seat: Seat) -> None:
    released: list[bool] = []
    lane: Any = SimpleNamespace()
    brain = Brain([Place(lane, seat, 0), Place(lane, seat, 1)], released.append)
    brain.left()
    assert released == []
    brain.left()
    brain.close(broken=True)
    assert released == [False]
    assert brain.closed
