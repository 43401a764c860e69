"""One result for each part, in order, whatever the camera does."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from piaccel.frames import Frame
from piaccel.pipeline.parts import Part, Triggered

MS = 1_000_000
PICTURE = np.zeros((1, 1, 3), np.uint8)


class Line:
    """A triggered policy with what became of everything."""

    def __init__(self, **arguments: int) -> None:
        self.dropped: list[tuple[int, str]] = []
        self.parts: list[tuple[int, int | str]] = []
        self.policy = Triggered(
            lambda frame, cause: self.dropped.append((frame.index, cause)),
            lambda part, cause: self.parts.append((part.number, cause)),
            **arguments,
        )
        self._index = 0

    def expose(self, at: int) -> None:
        self.policy.offer(Frame(PICTURE, self._index, at * MS), at * MS)
        self._index += 1

    def take(self, at: int) -> Part | None:
        frame = self.policy.take(at * MS)
        if frame is None:
            return None
        part = self.policy.taken
        assert part is not None
        self.parts.append((part.number, frame.index))
        return part


def test_a_part_gets_the_first_frame_that_is_exposed_when_it_is_there() -> None:
    line = Line()
    line.policy.announce(100 * MS)
    for at in (33, 66, 99, 132, 165):
        line.expose(at)
    assert line.take(170) == Part(0, 100 * MS)
    assert line.parts == [(0, 3)]
    assert line.dropped == [(0, "no part"), (1, "no part"), (2, "no part"), (4, "no part")]


def test_a_frame_exposed_a_little_early_will_do_where_that_is_allowed() -> None:
    line = Line(early_ns=2 * MS)
    line.policy.announce(100 * MS)
    line.expose(99)
    line.take(100)
    assert line.parts == [(0, 0)]


def test_a_part_without_a_frame_is_given_out_as_missed_in_its_place() -> None:
    line = Line(patience_ns=50 * MS)
    for at in (0, 100, 200):
        line.policy.announce(at * MS)
    line.expose(5)
    assert line.take(6) is not None
    assert line.take(140) is None
    line.expose(205)
    assert line.take(206) is not None
    assert line.parts == [(0, 0), (1, "no frame"), (2, 1)]


def test_a_later_parts_frame_waits_for_the_part_before_it() -> None:
    line = Line(patience_ns=150 * MS)
    line.policy.announce(0)
    line.policy.announce(100 * MS)
    line.expose(160)  # too late for the first, right for the second
    assert line.policy.due_ns(160 * MS) is None or line.take(160) is not None
    assert line.parts == [(0, "no frame"), (1, 0)]


def test_parts_that_come_faster_than_they_are_answered_are_missed_oldest_first() -> None:
    line = Line(bound=2)
    for at in (0, 10, 20):
        line.policy.announce(at * MS)
    assert line.parts == [(0, "too many parts wait")]
    assert line.policy.expected == 2


def test_an_expired_parts_frame_is_dropped_and_the_part_missed() -> None:
    line = Line(deadline_ns=20 * MS)
    line.policy.announce(0)
    line.expose(1)
    assert line.take(40) is None
    assert line.parts == [(0, "expired")]
    assert line.dropped == [(0, "expired")]


def test_at_the_end_every_part_that_waits_is_missed() -> None:
    line = Line()
    line.policy.announce(0)
    line.policy.announce(10 * MS)
    line.expose(1)
    line.policy.clear("at the end")
    assert line.parts == [(0, "at the end"), (1, "at the end")]
    assert line.dropped == [(0, "at the end")]


@given(st.lists(st.tuples(st.sampled_from(["part", "frame", "take"]), st.integers(0, 80)), max_size=120))
def test_each_part_has_exactly_one_outcome_and_they_come_in_order(steps: list[tuple[str, int]]) -> None:
    line = Line(patience_ns=60 * MS, bound=5)
    now = announced = 0
    for what, wait in steps:
        now += wait
        if what == "part":
            line.policy.announce(now * MS)
            announced += 1
        elif what == "frame":
            line.expose(now)
        else:
            line.take(now)
    line.policy.clear("at the end")
    assert [number for number, _ in line.parts] == list(range(announced))
    frames = [outcome for _, outcome in line.parts if isinstance(outcome, int)]
    assert frames == sorted(set(frames))
    assert len(frames) + len(line.dropped) == line._index
