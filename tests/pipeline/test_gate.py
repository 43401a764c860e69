"""Fair turns at what is shared."""

import threading
import time

import pytest

from piaccel.pipeline.gate import Gate


def test_two_that_always_have_work_waiting_get_the_same_time_though_one_takes_longer() -> None:
    now = 0
    gate = Gate(1, lambda: now)
    order: list[str] = []

    def work(who: str, takes: int) -> None:
        nonlocal now
        while len(order) < 80:
            with gate.turn(who):
                while len(gate._waiting) < 3 and len(order) < 80:  # two threads each: the other three queue up
                    time.sleep(0.0002)
                order.append(who)
                now += takes

    wanted = (("slow", 30), ("slow", 30), ("fast", 10), ("fast", 10))
    threads = [threading.Thread(target=work, args=each, daemon=True) for each in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    first = order[:80]
    assert 50 <= first.count("fast") <= 70
    assert first.count("slow") >= 10


def test_so_much_is_let_in_at_once_as_there_is_room_for() -> None:
    gate = Gate(4)
    inside, most, lock = 0, 0, threading.Lock()

    def work(units: int) -> None:
        nonlocal inside, most
        for _ in range(20):
            with gate.turn(f"by {units}", units):
                with lock:
                    inside += units
                    most = max(most, inside)
                time.sleep(0.0005)
                with lock:
                    inside -= units

    threads = [threading.Thread(target=work, args=(units,)) for units in (1, 2, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert 0 < most <= 4


def test_more_than_there_is_takes_all_of_it() -> None:
    gate = Gate(2)
    with gate.turn("big", 8):
        assert gate._free == 0
    assert gate._free == 2


def test_a_turn_is_given_back_after_an_error() -> None:
    gate = Gate(1)
    with pytest.raises(ValueError, match="inside"), gate.turn("one"):
        raise ValueError("inside")
    with gate.turn("two"):
        pass


def test_who_comes_back_after_a_pause_has_saved_nothing_up() -> None:
    now = 0
    gate = Gate(1, lambda: now)
    with gate.turn("busy"):
        now += 1000
    entered = threading.Event()
    with gate.turn("busy"):
        thread = threading.Thread(target=lambda: _enter(gate, "late", entered))
        thread.start()
        while not gate._waiting:
            time.sleep(0.001)
    assert entered.wait(10)
    thread.join(10)
    assert gate.used_ns()["late"] >= 1000


def _enter(gate: Gate, who: str, entered: threading.Event) -> None:
    with gate.turn(who):
        entered.set()
