"""An outlet shields everything else from its sink, and every event offered is sent, waits, or is given up by name."""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from piaccel.errors import InputError, NotFoundError, OptionError, UnavailableError, WriteError
from piaccel.pipeline._dead_letters import DeadLetters
from piaccel.pipeline.outlet import Outlet, OutletNumbers
from piaccel.sinks import Delivery, Event, Options, Sink
from piaccel.tasks import Classification

QUICK = (0.001, 0.004)


def event(number: int, label: str = "crack") -> Event:
    now = time.monotonic_ns()
    answer = Classification(np.asarray([0.9], np.float32), (label,))
    return Event(f"pi/boot/{number}", "line", number, now, now, 1.7e9, answer, image=np.zeros((2, 2, 3), np.uint8))


class Recorder(Sink):
    """Keeps what it gets; ``troubles`` are raised first, one a call; while ``gate`` is closed it blocks."""

    tick_s = 0.01

    def __init__(self, options: Options | None = None, delivery: Delivery = "at least once") -> None:
        super().__init__("", options or Options())
        self.delivery = delivery
        self.opening: list[Exception] = []
        self.troubles: list[Exception] = []
        self.ticking: list[Exception] = []
        self.gate = threading.Event()
        self.gate.set()
        self.got: list[Event] = []
        self.opened = self.closed = 0

    def open(self) -> None:
        self.opened += 1
        if self.opening:
            raise self.opening.pop(0)

    def deliver(self, event: Event) -> None:
        self.gate.wait(30)
        if self.troubles:
            raise self.troubles.pop(0)
        self.got.append(event)

    def tick(self) -> None:
        if self.ticking:
            raise self.ticking.pop(0)

    def close(self) -> None:
        self.closed += 1

    @property
    def ids(self) -> list[int]:
        return [int(each.id.rpartition("/")[2]) for each in self.got]


class Postman(Recorder):
    """Its deliveries are safe only once somebody confirms them; what is on the way is lost when it fails."""

    def __init__(self, options: Options | None = None, delivery: Delivery = "at least once") -> None:
        super().__init__(options, delivery)
        self.confirmed = 0

    def open(self) -> None:
        del self.got[self.confirmed :]
        super().open()

    def facts(self) -> Mapping[str, float]:
        return {"unconfirmed": len(self.got) - self.confirmed}

    def flush(self, timeout_s: float) -> int:
        time.sleep(min(timeout_s, 0.01))
        return len(self.got) - self.confirmed


def until(met: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 20
    while not met():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.002)


def settled(outlet: Outlet) -> OutletNumbers:
    numbers = outlet.numbers()
    assert numbers.offered == numbers.sent + sum(numbers.given_up.values()) + numbers.queued, numbers
    return numbers


@pytest.fixture
def started() -> Iterator[Callable[[Sink], Outlet]]:
    outlets: list[Outlet] = []

    def start(sink: Sink) -> Outlet:
        outlets.append(Outlet(sink, patience_s=QUICK))
        outlets[-1].start()
        return outlets[-1]

    yield start
    for outlet in outlets:
        if isinstance(outlet.sink, Recorder):
            outlet.sink.gate.set()
        outlet.stop(0.0)


Start = Callable[[Sink], Outlet]


def test_events_arrive_in_their_order_without_pictures_and_are_counted(started: Start) -> None:
    sink = Recorder()
    outlet = started(sink)
    for number in range(50):
        outlet.offer(event(number))
    outlet.stop()
    assert sink.ids == list(range(50))
    assert all(each.image is None for each in sink.got)
    numbers = settled(outlet)
    assert (numbers.offered, numbers.sent, numbers.queued, numbers.state) == (50, 50, 0, "closed")
    assert numbers.lag_s is not None
    assert sink.closed == 1


def test_only_events_that_its_rule_lets_through_are_offered(started: Start) -> None:
    sink = Recorder(Options(on="crack"))
    outlet = started(sink)
    outlet.offer(event(1, "good"))
    outlet.offer(event(2, "crack"))
    outlet.stop()
    assert sink.ids == [2]
    assert settled(outlet).offered == 1


def test_a_blocked_sink_does_not_hold_up_who_offers_and_the_oldest_are_given_up(started: Start) -> None:
    sink = Recorder(Options(queue=3))
    sink.gate.clear()
    outlet = started(sink)
    outlet.offer(event(0))
    until(lambda: outlet.numbers().queued == 1 and not outlet._queue, "the first event is under way")
    for number in range(1, 10):
        outlet.offer(event(number))  # would never return if it waited for the sink
    numbers = settled(outlet)
    assert (numbers.queued, numbers.given_up) == (4, {"queue full": 6})
    sink.gate.set()
    outlet.stop()
    assert sink.ids == [0, 7, 8, 9]
    assert settled(outlet).sent == 4


def test_at_least_once_keeps_the_order_through_failures(started: Start) -> None:
    sink = Recorder()
    sink.opening = [UnavailableError("not yet"), WriteError("not yet either")]
    sink.troubles = [UnavailableError("gone"), WriteError("full"), UnavailableError("gone")]
    outlet = started(sink)
    for number in range(5):
        outlet.offer(event(number))
    until(lambda: len(sink.got) == 5, "all are delivered")
    outlet.stop()
    assert sink.ids == [0, 1, 2, 3, 4]
    numbers = settled(outlet)
    assert (numbers.sent, numbers.retries, numbers.given_up, numbers.error) == (5, 3, {}, "")
    assert sink.opened == 6


def test_at_most_once_gives_up_what_failed_and_goes_on(started: Start) -> None:
    sink = Recorder(delivery="at most once")
    sink.troubles = [UnavailableError("gone")]
    outlet = started(sink)
    for number in range(3):
        outlet.offer(event(number))
    until(lambda: len(sink.got) == 2, "the others are delivered")
    outlet.stop()
    assert sink.ids == [1, 2]
    assert settled(outlet).given_up == {"failed": 1}


def test_an_event_that_the_sink_refuses_costs_itself_alone_and_says_why(
    started: Start, caplog: pytest.LogCaptureFixture
) -> None:
    sink = Recorder()
    sink.troubles = [InputError("410: gone for good"), KeyError("a bug")]
    outlet = started(sink)
    with caplog.at_level(logging.WARNING, "piaccel"):
        outlet.offer(event(0))
        until(lambda: outlet.numbers().error == "410: gone for good", "the reason is shown")
        assert outlet.numbers().state == "open"
        for number in range(1, 4):
            outlet.offer(event(number))
        outlet.stop()
    assert sink.ids == [2, 3]
    assert settled(outlet).given_up == {"failed": 2}
    assert "410: gone for good" in caplog.text
    assert "KeyError: 'a bug'" in caplog.text
    assert sink.opened == 1, "the connection is as good as before"


@pytest.mark.parametrize("error", [OptionError("topic has a wildcard"), NotFoundError("ca.pem: no such file")])
def test_what_never_mends_itself_ends_it_as_broken_and_says_why(started: Start, error: Exception) -> None:
    sink = Recorder()
    sink.opening = [error]
    outlet = Outlet(sink, patience_s=QUICK)
    outlet.offer(event(0))
    outlet.start()
    until(lambda: outlet.numbers().state == "broken", "it is broken")
    outlet.offer(event(1))
    outlet.stop()
    assert outlet.fatal is error
    numbers = settled(outlet)
    assert (numbers.state, numbers.error) == ("broken", str(error))
    assert numbers.given_up == {"not delivered by the end": 1, "sink closed": 1}
    assert sink.closed == 1


def test_a_sink_that_ends_by_a_bug_of_its_own_is_broken_and_not_silent(started: Start) -> None:
    sink = Recorder()
    sink.ticking = [ZeroDivisionError("division by zero")]
    outlet = started(sink)
    until(lambda: outlet.numbers().state == "broken", "it is broken")
    outlet.stop()
    assert "ZeroDivisionError: division by zero" in str(outlet.fatal)
    assert sink.closed == 1


def test_stopping_drains_what_waits(started: Start) -> None:
    sink = Recorder()
    sink.gate.clear()
    outlet = started(sink)
    for number in range(20):
        outlet.offer(event(number))
    threading.Timer(0.05, sink.gate.set).start()
    outlet.stop(20)
    assert sink.ids == list(range(20))


def test_stopping_a_slow_sink_ends_in_time_and_what_is_left_is_counted(started: Start) -> None:
    class Slow(Recorder):
        def deliver(self, event: Event) -> None:
            time.sleep(0.02)
            super().deliver(event)

    sink = Slow()
    outlet = started(sink)
    for number in range(500):
        outlet.offer(event(number))
    outlet.stop(0.1)
    assert not outlet._thread.is_alive()
    numbers = settled(outlet)
    assert numbers.sent == len(sink.got) < 500
    assert numbers.given_up == {"not delivered by the end": 500 - numbers.sent}


def test_stopping_a_sink_that_never_opens_ends_in_time(started: Start) -> None:
    sink = Recorder()
    sink.opening = [UnavailableError("nobody there")] * 10_000
    outlet = started(sink)
    outlet.offer(event(0))
    until(lambda: outlet.numbers().state == "failing", "it fails")
    outlet.stop(0.05)
    assert settled(outlet).given_up == {"not delivered by the end": 1}
    outlet.stop(0.05)
    assert sink.closed == 1, "stopping twice closes once"


def test_what_is_not_confirmed_is_not_counted_as_sent(started: Start) -> None:
    sink = Postman()
    outlet = started(sink)
    for number in range(4):
        outlet.offer(event(number))
    until(lambda: len(sink.got) == 4, "all are under way")
    sink.confirmed = 3
    until(lambda: outlet.numbers().sent == 3, "three are confirmed")
    assert settled(outlet).queued == 1
    outlet.stop(0.05)
    assert settled(outlet).given_up == {"not confirmed": 1}


def test_what_was_under_way_when_the_sink_failed_is_delivered_again_in_order(started: Start) -> None:
    sink = Postman()
    outlet = started(sink)
    for number in range(4):
        outlet.offer(event(number))
    until(lambda: len(sink.got) == 4, "all are under way")
    sink.confirmed = 1
    until(lambda: outlet.numbers().sent == 1, "one is confirmed")
    sink.ticking = [UnavailableError("the connection was lost")]
    until(lambda: sink.opened == 2 and len(sink.got) == 4, "the three are under way again")
    sink.confirmed = 4
    outlet.stop()
    assert sink.ids == [0, 1, 2, 3]
    numbers = settled(outlet)
    assert (numbers.sent, numbers.retries, numbers.given_up) == (4, 3, {})


def test_at_most_once_gives_up_what_was_under_way_when_the_sink_failed(started: Start) -> None:
    sink = Postman(delivery="at most once")
    outlet = started(sink)
    outlet.offer(event(0))
    until(lambda: len(sink.got) == 1, "it is under way")
    sink.ticking = [UnavailableError("the connection was lost")]
    until(lambda: outlet.numbers().given_up == {"failed": 1}, "it is given up")
    until(lambda: sink.opened == 2, "it is open again")
    outlet.stop(0.01)
    assert sink.got == []


def test_a_failure_while_draining_still_delivers_again(started: Start) -> None:
    sink = Postman()
    outlet = started(sink)
    outlet.offer(event(0))
    until(lambda: len(sink.got) == 1, "it is under way")
    outlet.finish(20)
    sink.ticking = [UnavailableError("the connection was lost")]
    until(lambda: sink.opened == 2 and len(sink.got) == 1, "it is under way again")
    sink.confirmed = 1
    outlet.stop()
    assert settled(outlet).sent == 1


def test_a_sink_that_tells_only_at_the_end_has_its_unconfirmed_taken_off_the_sent(started: Start) -> None:
    class Batch(Recorder):
        def flush(self, timeout_s: float) -> int:
            return 2

    outlet = started(Batch())
    for number in range(5):
        outlet.offer(event(number))
    outlet.stop()
    numbers = settled(outlet)
    assert (numbers.sent, numbers.given_up) == (3, {"not confirmed": 2})


def test_pauses_grow_with_jitter_and_honour_what_the_other_side_asked_for(
    started: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    def noted(outlet: Outlet, pause_s: float) -> bool:
        pauses.append(pause_s)
        return False

    monkeypatch.setattr(Outlet, "_pause", noted)
    sink = Recorder()
    busy = UnavailableError("busy")
    busy.retry_after_s = 7.0
    sink.troubles = [UnavailableError("gone"), UnavailableError("gone"), busy, UnavailableError("gone")]
    outlet = started(sink)
    outlet.offer(event(0))
    until(lambda: len(sink.got) == 1, "it arrives")
    shortest, longest = QUICK
    assert shortest / 2 <= pauses[0] <= shortest
    assert shortest <= pauses[1] <= 2 * shortest
    assert pauses[2] == 7.0
    assert longest / 2 <= pauses[3] <= longest
    assert len({round(pause / longest, 6) for pause in pauses}) == 4, "no two boards come back at the same instant"


def test_a_server_that_stays_away_is_logged_once_and_so_is_its_return(
    started: Start, caplog: pytest.LogCaptureFixture
) -> None:
    sink = Recorder()
    sink.troubles = [UnavailableError("nobody there")] * 20
    outlet = started(sink)
    with caplog.at_level(logging.WARNING, "piaccel"):
        outlet.offer(event(0))
        until(lambda: len(sink.got) == 1, "it arrives")
        outlet.stop()
    assert caplog.text.count("nobody there") == 1
    assert caplog.text.count("works again") == 1


def letters(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_text(encoding="utf-8").splitlines()]


def test_events_given_up_for_whatever_cause_are_in_the_dead_letter_file(started: Start, tmp_path: Path) -> None:
    path = tmp_path / "dead.jsonl"
    sink = Postman(Options(dead_letter=str(path), queue=2))
    sink.troubles = [InputError("refused")]
    outlet = started(sink)
    outlet.offer(event(0))
    until(lambda: outlet.numbers().given_up == {"failed": 1}, "it is refused")
    outlet.offer(event(1))
    until(lambda: len(sink.got) == 1, "the next is under way")
    sink.gate.clear()
    outlet.offer(event(2))
    until(lambda: not outlet._queue, "one more blocks")
    for number in range(3, 6):
        outlet.offer(event(number))
    sink.troubles = [UnavailableError("gone")] * 10_000
    sink.gate.set()
    outlet.stop(0.05)
    numbers = settled(outlet)
    assert numbers.sent == 0
    assert sum(numbers.given_up.values()) == 6
    assert sorted(letters(path)) == [f"pi/boot/{number}" for number in range(6)]
    assert numbers.facts["dead_letters"] == 6


def test_a_dead_letter_file_that_cannot_be_written_is_counted(started: Start, tmp_path: Path) -> None:
    sink = Recorder(Options(dead_letter=str(tmp_path / "no" / "such" / "folder")))
    sink.troubles = [InputError("refused")]
    outlet = started(sink)
    outlet.offer(event(0))
    outlet.offer(event(1))
    outlet.stop()
    assert sink.ids == [1]
    assert settled(outlet).facts["dead_letters_lost"] == 1


def test_the_dead_letter_file_does_not_fill_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "dead.jsonl"
    dead_letters = DeadLetters(str(path), 1000, most_bytes=1500)
    for number in range(10):
        dead_letters.put(event(number))
    dead_letters.close()
    facts = dead_letters.facts()
    assert path.stat().st_size <= 1500
    assert 0 < facts["dead_letters"] == len(letters(path))
    assert facts["dead_letters"] + facts["dead_letters_lost"] == 10
