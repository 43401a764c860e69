"""Where frames wait: many threads, one order, and nothing uncounted."""

import threading

import numpy as np
import pytest

from piaccel.frames import Frame
from piaccel.pipeline.mailbox import Mailbox, Taken
from piaccel.pipeline.policies import Every, Latest

PICTURE = np.zeros((1, 1, 3), np.uint8)


def frame(index: int) -> Frame:
    return Frame(PICTURE, index, index)


def test_what_is_offered_is_what_is_taken_or_counted_under_a_cause() -> None:
    mailbox = Mailbox(Latest)
    for index in range(3):
        assert mailbox.offer(frame(index))
    taken = mailbox.take()
    assert taken is not None
    assert taken.frame.index == 2
    counts, dropped, waiting = mailbox.numbers()
    assert (counts.offered, counts.in_work, dropped, waiting) == (3, 1, {"overwritten": 2}, 1)
    mailbox.done(taken, answered=True)
    counts, dropped, waiting = mailbox.numbers()
    assert (counts.answered, waiting) == (1, 0)


def test_a_source_waits_while_the_queue_is_full_and_goes_on_when_there_is_room() -> None:
    mailbox = Mailbox(lambda drop: Every(drop, bound=1))
    mailbox.offer(frame(0))
    offered = threading.Event()

    def offer() -> None:
        mailbox.offer(frame(1))
        offered.set()

    thread = threading.Thread(target=offer)
    thread.start()
    assert not offered.wait(0.05)
    assert mailbox.take() is not None
    assert offered.wait(10)
    thread.join(10)


def test_tickets_are_given_in_the_order_of_the_frames() -> None:
    mailbox = Mailbox(Every)
    taken = []
    for index in range(3):
        mailbox.offer(frame(index))
        taken.append(mailbox.take())
    assert [(each.frame.index, each.ticket) for each in taken if each] == [(0, 0), (1, 1), (2, 2)]


def test_after_the_limit_nothing_more_is_taken_and_what_waits_is_counted() -> None:
    mailbox = Mailbox(Every, limit=1)
    mailbox.offer(frame(0))
    mailbox.offer(frame(1))
    assert isinstance(mailbox.take(), Taken)
    assert mailbox.take() is None
    assert not mailbox.offer(frame(2))
    assert mailbox.numbers()[1] == {"at the end": 1}


@pytest.mark.parametrize(("policy", "left"), [(Latest, 0), (Every, 2)])
def test_closing_drops_what_may_be_dropped_and_leaves_what_must_be_answered(policy: type, left: int) -> None:
    mailbox = Mailbox(policy)
    mailbox.offer(frame(0))
    mailbox.offer(frame(1))
    mailbox.close()
    assert mailbox.policy.waiting == left
    rest = 0
    while mailbox.take() is not None:
        rest += 1
    assert rest == left


@pytest.mark.parametrize("policy", [Latest, Every])
def test_when_the_source_has_ended_the_last_frame_is_still_answered(policy: type) -> None:
    mailbox = Mailbox(policy)
    mailbox.offer(frame(0))
    mailbox.end()
    taken = mailbox.take()
    assert taken is not None
    assert mailbox.take() is None


def test_who_waits_for_a_frame_is_woken_by_the_end() -> None:
    mailbox = Mailbox(Latest)
    ended = threading.Event()

    def take() -> None:
        mailbox.take()
        ended.set()

    thread = threading.Thread(target=take)
    thread.start()
    mailbox.close()
    assert ended.wait(10)
    thread.join(10)


def test_a_frame_is_not_taken_too_early_and_the_newest_is_when_it_is_time() -> None:
    mailbox = Mailbox(Latest)
    early = True
    mailbox.offer(frame(0))
    found: list[Taken | None] = []
    thread = threading.Thread(target=lambda: found.append(mailbox.take(lambda now: 10**9 if early else 0)))
    thread.start()
    mailbox.offer(frame(1))
    early = False
    mailbox.wake()
    thread.join(10)
    assert found[0] is not None
    assert found[0].frame.index == 1


def test_many_takers_get_every_frame_once() -> None:
    mailbox = Mailbox(lambda drop: Every(drop, bound=4))
    seen: list[int] = []
    lock = threading.Lock()

    def work() -> None:
        while (taken := mailbox.take()) is not None:
            with lock:
                seen.append(taken.frame.index)
            mailbox.done(taken, answered=True)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for index in range(500):
        mailbox.offer(frame(index))
    mailbox.close()
    for thread in threads:
        thread.join(30)
    assert sorted(seen) == list(range(500))
    counts, dropped, waiting = mailbox.numbers()
    assert (counts.offered, counts.answered, dropped, waiting) == (500, 500, {}, 0)
