"""Workers that keep asking."""

import threading
import time

import pytest

from piaccel.soak.clock import WallClock
from piaccel.soak.load import drive
from piaccel.soak.recorder import Recorder


def test_a_worker_whose_connection_is_closed_after_the_end_complains_to_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("piaccel.soak.load._PATIENCE_S", 0.0)
    closed, over = threading.Event(), threading.Event()
    trouble: list[object] = []
    monkeypatch.setattr(threading, "excepthook", trouble.append)

    def slow() -> None:
        closed.wait(30)
        try:
            raise AttributeError("'NoneType' object has no attribute 'readline'")
        finally:
            over.set()

    def quick() -> None:
        time.sleep(0.01)

    clock = WallClock()
    recorder = Recorder([], clock.now_ns, 1.0)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "join", interrupt)
    with pytest.raises(KeyboardInterrupt):
        drive([slow, quick], clock, recorder, 30.0)
    monkeypatch.undo()
    monkeypatch.setattr(threading, "excepthook", trouble.append)
    closed.set()
    assert over.wait(30)
    for thread in threading.enumerate():
        if "ask" in thread.name:
            thread.join(30)
    assert not trouble
