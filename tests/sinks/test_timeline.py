"""When the output of an actuator is active, in virtual time."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from piaccel.sinks._timeline import Timeline


def timeline(
    *, pulse_ns: int = 50, tolerance_ns: int = 5, watchdog_ns: int = 0, safe: bool = False, fail_closed: bool = False
) -> Timeline:
    line = Timeline(
        pulse_ns=pulse_ns, tolerance_ns=tolerance_ns, watchdog_ns=watchdog_ns, safe=safe, fail_closed=fail_closed
    )
    line.live(0)
    return line


def levels(line: Timeline, until: int) -> list[tuple[int, bool]]:
    """The changes of the output when each time is attended to exactly: [(when, level)]."""
    found, level, now = [], False, 0
    while now <= until:
        if line.advance(now) != level:
            level = not level
            found.append((now, level))
        ahead = line.next_ns
        now = until + 1 if ahead is None else max(now + 1, ahead)
    return found


def test_a_pulse_begins_when_it_is_due_and_lasts() -> None:
    line = timeline()
    line.schedule(100, 0)
    assert levels(line, 1000) == [(100, True), (150, False)]
    assert (line.fired, line.late, line.waiting) == (1, 0, 0)


def test_pulses_are_given_in_the_order_of_their_times_not_of_their_arrival() -> None:
    line = timeline()
    line.schedule(300, 0)
    line.schedule(100, 0)
    assert levels(line, 1000) == [(100, True), (150, False), (300, True), (350, False)]


def test_pulses_that_overlap_become_one_that_is_longer() -> None:
    line = timeline()
    line.schedule(100, 0)
    line.schedule(130, 0)
    assert levels(line, 1000) == [(100, True), (180, False)]
    assert (line.fired, line.extended) == (2, 1)


def test_a_result_that_comes_too_late_fires_nothing() -> None:
    line = timeline()
    line.schedule(100, 106)
    assert levels(line, 1000) == []
    assert (line.fired, line.late) == (0, 1)


def test_within_the_tolerance_a_pulse_is_given_at_once() -> None:
    line = timeline()
    line.schedule(100, 105)
    assert line.advance(105)
    assert line.max_lateness_ns == 5


def test_a_thread_that_wakes_too_late_skips_the_pulse_and_says_by_how_much() -> None:
    line = timeline()
    line.schedule(100, 0)
    assert not line.advance(140)
    assert (line.fired, line.late, line.max_lateness_ns) == (0, 1, 40)


def test_fail_closed_gives_a_late_pulse_at_once_and_counts_it() -> None:
    line = timeline(fail_closed=True)
    line.schedule(100, 400)
    assert line.advance(400)
    assert line.advance(449)
    assert not line.advance(450)
    assert (line.fired, line.late) == (1, 1)


def test_the_watchdog_takes_the_output_to_its_safe_level_until_a_part_is_judged_again() -> None:
    line = timeline(watchdog_ns=200, safe=True)
    assert not line.advance(199)
    assert line.next_ns == 200
    assert line.advance(200)
    assert line.advance(100_000)
    assert line.watchdog_trips == 1
    line.live(100_001)
    assert not line.advance(100_001)


def test_nobody_fires_after_the_watchdog() -> None:
    line = timeline(watchdog_ns=200)
    line.schedule(300, 0)
    assert levels(line, 1000) == []
    assert (line.fired, line.suppressed) == (0, 1)


def test_with_fail_closed_the_watchdog_suppresses_no_reject() -> None:
    line = timeline(watchdog_ns=200, fail_closed=True)
    line.schedule(300, 0)
    assert levels(line, 1000) == [(300, True), (350, False)]


def test_the_output_is_safe_until_the_first_part_is_judged() -> None:
    line = Timeline(pulse_ns=50, tolerance_ns=5, safe=True)
    assert line.advance(0)
    line.live(10)
    assert not line.advance(10)


def test_what_was_forgotten_does_not_fire() -> None:
    line = timeline()
    line.schedule(100, 0)
    line.advance(100)
    line.schedule(200, 100)
    line.clear()
    assert not line.advance(200)
    assert (line.fired, line.waiting) == (1, 0)


@given(st.lists(st.integers(0, 2000), max_size=30), st.integers(1, 100))
def test_every_pulse_is_seen_at_its_time_and_nothing_else_is(due: list[int], pulse: int) -> None:
    line = timeline(pulse_ns=pulse, tolerance_ns=0)
    for each in due:
        line.schedule(each, 0)
    changes = levels(line, 5000)
    rises = [when for when, level in changes if level]
    falls = [when for when, level in changes if not level]
    assert all(rise in due for rise in rises)
    assert all(any(rise <= each < fall for rise, fall in zip(rises, falls, strict=True)) for each in due)
    assert all(fall - pulse in due for fall in falls)
    assert all(a < b for a, b in itertools.pairwise(when for when, _ in changes))
    assert line.fired == len(due)
