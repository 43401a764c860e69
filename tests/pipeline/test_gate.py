"""Fair turns at what is shared."""

import threading
import time

import pytest

from piaccel.pipeline.gate import Gate


def test_two_that_want_it_all_the_time_get_the_same_time_though_one_works_longer() -> None:
    now = 0
    gate = Gate(1, lambda: now)
    order: list[str] = []
    waiting = threading.Barrier(3)

    # Both are always waiting: the gate is held while the two queue up, then each turn is followed by another wish.
    def work(who: str, takes: int, turns: int) -> None:
        nonlocal now
        waiting.wait()
        for _ in range(turns):
            with gate.turn(who):
                order.append(who)
                now += takes
                while sum(1 for _ in gate._waiting) == 0 and len(order) < 20:
                    time.sleep(0.0005)

    threads = [threading.Thread(target=work, args=arguments) for arguments in (("slow", 30, 40), ("fast", 10, 40))]
    for thread in threads:
        thread.daemon = True
        thread.start()
    waiting.wait()
    while len(order) < 20:
        time.sleep(0.001)
    first = order[:20]
    assert first.count("fast") >= 2 * first.count("slow")
    for thread in threads:
        thread.join(10)
    used = gate.used_ns()
    assert set(used) == {"slow", "fast"}


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
