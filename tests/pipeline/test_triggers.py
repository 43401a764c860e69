"""What announces parts, on gpiozero's mock pins where it is a pin."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from piaccel.errors import OptionError, UnavailableError
from piaccel.pipeline import triggers
from piaccel.pipeline.triggers import EveryFrame, Manual, Trigger


@pytest.fixture
def pins() -> Iterator[Any]:
    gpiozero = pytest.importorskip("gpiozero")
    from gpiozero.pins.mock import MockFactory

    before = gpiozero.Device.pin_factory
    gpiozero.Device.pin_factory = factory = MockFactory()
    yield factory
    factory.reset()
    gpiozero.Device.pin_factory = before


class Parts:
    """What was announced."""

    def __init__(self) -> None:
        self.due_ns: list[int] = []
        self._more = threading.Condition()

    def __call__(self, due_ns: int) -> None:
        with self._more:
            self.due_ns.append(due_ns)
            self._more.notify_all()

    def wait_for(self, count: int) -> None:
        with self._more:
            assert self._more.wait_for(lambda: len(self.due_ns) >= count, 20)


def started(text: str | dict[str, Any]) -> tuple[Trigger, Parts]:
    trigger, parts = triggers.make(text), Parts()
    trigger.start(parts)
    return trigger, parts


def test_a_light_barrier_announces_a_part_each_time_it_closes(pins: Any) -> None:
    trigger, parts = started("gpio:27,delay=30ms,bounce=0ms")
    before = time.monotonic_ns()
    for _ in range(3):
        pins.pin(27).drive_low()
        pins.pin(27).drive_high()
    parts.wait_for(3)
    assert all(due - before >= 30_000_000 for due in parts.due_ns)
    trigger.stop()
    trigger.stop()
    pins.pin(27).drive_low()
    assert len(parts.due_ns) == 3


def test_a_barrier_that_drives_its_pin_high_is_told_so(pins: Any) -> None:
    trigger, parts = started("gpio:22,pull_up=false,bounce=0ms")
    pins.pin(22).drive_high()
    parts.wait_for(1)
    trigger.stop()


def test_an_encoder_announces_a_part_each_so_many_steps_forward(pins: Any) -> None:
    trigger, parts = started("encoder:17+18,counts=4")
    a, b = pins.pin(17), pins.pin(18)
    for _ in range(10):
        _step_forward(a, b)
    parts.wait_for(2)
    for _ in range(6):
        _step_backward(a, b)
    for _ in range(6):
        _step_forward(a, b)
    assert len(parts.due_ns) == 2  # the belt only came back to where it was
    trigger.stop()


def _step_forward(a: Any, b: Any) -> None:
    a.drive_low(), b.drive_low(), a.drive_high(), b.drive_high()


def _step_backward(a: Any, b: Any) -> None:
    b.drive_low(), a.drive_low(), b.drive_high(), a.drive_high()


def test_a_timer_announces_on_an_absolute_schedule() -> None:
    trigger, parts = started("timer:5ms")
    parts.wait_for(10)
    trigger.stop()
    gaps = {b - a for a, b in zip(parts.due_ns, parts.due_ns[1:], strict=False)}
    assert gaps == {5_000_000}


def test_a_program_fires_now_or_for_a_moment_of_its_own() -> None:
    trigger, parts = started("manual,delay=1s")
    assert isinstance(trigger, Manual)
    trigger.fire(5)
    before = time.monotonic_ns()
    trigger.fire()
    assert parts.due_ns[0] == 1_000_000_005
    assert parts.due_ns[1] >= before + 1_000_000_000
    trigger.stop()
    trigger.fire()
    assert len(parts.due_ns) == 2


def test_a_camera_that_is_triggered_itself_needs_no_announcement() -> None:
    trigger, parts = started({"kind": "source", "patience": "1s"})
    assert isinstance(trigger, EveryFrame)
    assert trigger.chosen.patience_s == 1
    assert parts.due_ns == []


@pytest.mark.parametrize(
    "text",
    ["wish", "timer:0ms", "timer:often", "encoder:17,counts=4", "encoder:17+x,counts=4", "encoder:17+18", "gpio:1,x=2"],
)
def test_a_trigger_that_cannot_be_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(OptionError) as caught:
        triggers.make(text)
    assert caught.value.hint


def test_a_pin_that_does_not_exist_is_named(pins: Any) -> None:
    with pytest.raises(UnavailableError, match="gpio:99"):
        started("gpio:99")
