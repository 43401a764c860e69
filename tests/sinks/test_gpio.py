"""The reject actuator, on gpiozero's mock pins."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from piaccel import sinks
from piaccel.errors import OptionError, UnavailableError
from piaccel.pipeline.outlet import Outlet
from piaccel.testing.sink_compliance import SinkCompliance
from tests.sinks.events import classified, event
from tests.sinks.waiting import until

gpiozero = pytest.importorskip("gpiozero", reason="gpiozero is not installed")
mock = pytest.importorskip("gpiozero.pins.mock")


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    factory = mock.MockFactory()
    monkeypatch.setattr(gpiozero.Device, "pin_factory", factory)
    yield factory
    factory.reset()


@pytest.fixture
def opened(board: Any) -> Iterator[Any]:
    made: list[sinks.Sink] = []

    def open_(text: str) -> sinks.Sink:
        sink = sinks.make(text)
        made.append(sink)
        sink.open()
        return sink

    yield open_
    for sink in made:
        sink.close()


class TestGpio(SinkCompliance):
    @pytest.fixture(autouse=True)
    def on_mock_pins(self, board: Any) -> None:
        pass

    def spec(self, folder: Path) -> str:
        return "gpio:17,reject=crack,pulse=10ms,heartbeat=27"


def history(pin: Any) -> list[bool]:
    return [bool(state.state) for state in pin.states]


def test_a_crack_pulses_the_pin_and_a_good_part_does_not(board: Any, opened: Any) -> None:
    sink = opened("gpio:17,reject=crack|hole,delay=60ms,pulse=10ms,tolerance=1s")
    pin = board.pin(17)
    sink.deliver(event(1, result=classified("good")))
    sink.deliver(event(2, result=classified("hole")))
    until(lambda: history(pin) == [False, True, False])
    assert sink.facts()["fired"] == 1


def test_the_pulse_never_begins_before_the_exposure_plus_the_delay(board: Any, opened: Any) -> None:
    sink = opened("gpio:17,reject=*,delay=80ms,pulse=1s,tolerance=5s")
    exposed_ns = time.monotonic_ns()
    sink.deliver(event(exposed_ns=exposed_ns))
    until(lambda: board.pin(17).state)
    assert time.monotonic_ns() >= exposed_ns + 80_000_000


def test_a_lamp_without_a_delay_needs_no_exposure_time(board: Any, opened: Any) -> None:
    opened("gpio:17,on=crack,pulse=10ms").deliver(event(exposed_ns=None))
    until(lambda: history(board.pin(17)) == [False, True, False])


def test_what_comes_too_late_is_counted_and_skipped(board: Any, opened: Any) -> None:
    sink = opened("gpio:17,reject=crack,delay=10ms")
    sink.deliver(event(exposed_ns=time.monotonic_ns() - 10**9))
    assert sink.facts()["late"] == 1
    sink.close()
    assert history(board.pin(17)) == [False]


@pytest.mark.parametrize(
    ("changes", "counted"),
    [
        ({"held": True}, "held"),
        ({"result": None, "cause": "expired"}, "unjudged"),
        ({"exposed_ns": None}, "untimed"),
        ({"exposed_ns": time.monotonic_ns() + 10**18}, "untimed"),
    ],
    ids=["held", "no result", "no time", "time of another clock"],
)
def test_a_part_that_cannot_be_answered_for_passes_or_is_rejected_as_was_asked(
    board: Any, opened: Any, changes: dict[str, Any], counted: str
) -> None:
    sink = opened("gpio:17,reject=crack,delay=0ms,tolerance=1s,pulse=10ms")
    sink.deliver(event(**changes))
    assert sink.facts()[counted] == 1
    sink.close()
    assert history(board.pin(17)) == [False]
    closed = opened("gpio:18,reject=crack,delay=0ms,tolerance=1s,pulse=10ms,fail_closed=true")
    closed.deliver(event(**changes))
    assert closed.facts()[counted] == 1
    until(lambda: history(board.pin(18)) == [False, True, False])


def test_fail_closed_rejects_a_good_part_whose_deadline_was_missed(board: Any, opened: Any) -> None:
    closed = opened("gpio:17,reject=crack,delay=10s,tolerance=60s,fail_closed=true")
    closed.deliver(event(result=classified("good"), deadline_ns=1))
    assert closed.facts()["waiting"] == 1
    sink = opened("gpio:18,reject=crack,delay=10s,tolerance=60s")
    sink.deliver(event(result=classified("good"), deadline_ns=1))
    assert sink.facts()["waiting"] == 0


def test_an_output_that_is_active_low_rests_high(board: Any, opened: Any) -> None:
    sink = opened("gpio:17,reject=crack,delay=30ms,tolerance=1s,pulse=10ms,active_high=false")
    pin = board.pin(17)
    until(lambda: pin.state)
    sink.deliver(event())
    until(lambda: history(pin)[-3:] == [True, False, True])


def test_the_output_is_at_its_safe_level_before_the_first_result_and_after_the_last(board: Any, opened: Any) -> None:
    sink = opened("gpio:17,reject=crack,delay=30ms,safe=on")
    pin = board.pin(17)
    assert pin.state
    sink.deliver(event(result=classified("good")))
    until(lambda: not pin.state)
    sink.close()
    assert pin.state
    assert pin.function == "output"
    sink.close()


def test_the_watchdog_makes_the_output_safe_until_results_come_again(board: Any, opened: Any) -> None:
    sink = opened("gpio:17,reject=crack,delay=30ms,safe=on,watchdog=40ms")
    pin = board.pin(17)
    sink.deliver(event(result=classified("good")))
    until(lambda: sink.facts()["watchdog_trips"] == 1)
    until(lambda: pin.state)
    claimed = [False, True]  # a mock pin is low before it is claimed
    assert history(pin) == [*claimed, False, True]
    sink.deliver(event(result=None, cause="expired"))
    assert sink.facts()["alive"] == 0, "an event that nobody judged is no sign of life"
    sink.deliver(event(result=classified("good")))
    until(lambda: history(pin)[:5] == [*claimed, False, True, False])


def test_the_heartbeat_changes_with_each_new_result_and_with_nothing_else(board: Any, opened: Any) -> None:
    sink = opened("gpio:17,reject=crack,delay=30ms,heartbeat=27")
    pin = board.pin(27)
    for beats in (1, 2, 3):
        sink.deliver(event(result=classified("good")))
        until(partial(lambda beats: len(history(pin)) == 1 + beats, beats))
    sink.deliver(event(held=True))
    sink.deliver(event(result=None, cause="expired"))
    sink.close()
    assert history(pin) == [False, True, False, True, False]


def test_a_pin_that_fails_leaves_the_output_safe_and_is_opened_again(board: Any) -> None:
    class Weak(mock.MockPin):  # type: ignore[misc,name-defined]
        broken = False

        def _set_state(self, value: int) -> None:
            if self.broken and value:
                raise OSError("the chip is gone")
            super()._set_state(value)

    pin = board.pin(17, pin_class=Weak)
    outlet = Outlet(sinks.make("gpio:17,reject=crack,pulse=10ms"), patience_s=(0.01, 0.02))
    outlet.start()
    try:
        until(lambda: outlet.numbers().state == "open")
        pin.broken = True
        outlet.offer(event(1))
        until(lambda: outlet.numbers().state == "failing" or outlet.numbers().error)
        assert "the chip is gone" in outlet.numbers().error
        assert not pin.state
        pin.broken = False
        until(lambda: outlet.numbers().state == "open")
        outlet.offer(event(2))
        until(lambda: history(pin) == [False, True, False])
    finally:
        outlet.stop()
    assert outlet.numbers().facts["alive"] == 1


def test_an_orderly_end_still_rejects_the_parts_that_are_on_the_belt(board: Any) -> None:
    outlet = Outlet(sinks.make("gpio:17,reject=crack,delay=300ms,tolerance=5s,pulse=20ms"))
    outlet.start()
    until(lambda: outlet.numbers().state == "open")
    outlet.offer(event(exposed_ns=time.monotonic_ns()))
    outlet.stop(drain_s=20)
    assert history(board.pin(17)) == [False, True, False]
    assert outlet.numbers().given_up == {}


def test_pulses_for_which_no_time_is_left_are_counted(board: Any) -> None:
    outlet = Outlet(sinks.make("gpio:17,reject=crack,delay=1h"))
    outlet.start()
    until(lambda: outlet.numbers().state == "open")
    outlet.offer(event())
    until(lambda: outlet.numbers().sent == 1)
    outlet.stop(drain_s=0)
    assert outlet.numbers().given_up == {"not confirmed": 1}
    assert history(board.pin(17)) == [False]


def test_after_close_nothing_fires_and_a_delivery_says_so(board: Any, opened: Any) -> None:
    sink = opened("gpio:17,reject=crack,delay=200ms,tolerance=5s")
    sink.deliver(event())
    sink.close()
    with pytest.raises(UnavailableError, match="closed"):
        sink.deliver(event())
    with pytest.raises(UnavailableError):
        sink.tick()
    assert history(board.pin(17)) == [False]
    assert not [thread for thread in threading.enumerate() if "gpio" in thread.name]


def test_threads_take_turns_sooner_while_an_actuator_must_be_on_time(board: Any, opened: Any) -> None:
    usual = sys.getswitchinterval()
    first, second = opened("gpio:17,reject=crack"), opened("gpio:18,reject=crack")
    until(lambda: sys.getswitchinterval() < usual)
    first.close()
    assert sys.getswitchinterval() < usual
    second.close()
    assert sys.getswitchinterval() == usual


def test_two_outputs_cannot_share_a_pin(board: Any, opened: Any) -> None:
    first = opened("gpio:17,reject=crack")
    with pytest.raises(OptionError, match="already used"):
        opened("gpio:17,reject=hole")
    with pytest.raises(OptionError, match="already used"):
        opened("gpio:22,reject=hole,heartbeat=GPIO17")
    first.close()
    opened("gpio:17,reject=hole")


def test_a_pin_that_the_board_has_not_is_named(board: Any, opened: Any) -> None:
    with pytest.raises(OptionError, match="'99' is no pin"):
        opened("gpio:99,reject=crack")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gpio:17", "not told what fires it"),
        ("gpio:,reject=crack", "needs a pin"),
        ("gpio:17,on=crack,watchdog=1s", "does not see the other events"),
        ("gpio:17,on=crack,fail_closed=true", "does not see the other events"),
        ("gpio:17,min_score=0.5,heartbeat=27", "does not see the other events"),
        ("gpio:17,reject=crack,heartbeat=17", "both pin 17"),
        ("gpio:17,reject=crack,pulse=0ms", "longer than 0"),
        ("gpio:17,reject=crack,safe=high", "safe"),
        ("gpio:17,reject=crack,delay=120", "not a duration"),
    ],
)
def test_options_that_cannot_be_are_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(OptionError, match=said) as caught:
        sinks.make(text)
    assert "\n" not in str(caught.value)


def test_a_machine_without_gpio_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    if Path("/dev/gpiochip0").exists():
        pytest.skip("this machine has GPIO pins")
    monkeypatch.delenv("GPIOZERO_PIN_FACTORY", raising=False)
    with pytest.raises(OptionError, match=r"gives no access to GPIO pins|needs lgpio"):
        sinks.make("gpio:17,reject=crack").open()


@pytest.mark.parametrize("level", [0, 1])
def test_a_real_pin_is_claimed_with_its_level(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, level: int) -> None:
    monkeypatch.chdir(tmp_path)  # lgpio leaves a pipe in the working directory
    lgpio = pytest.importorskip("lgpio")
    from gpiozero.pins.local import LocalPiFactory

    from piaccel.sinks import _pins

    said: list[tuple[str, tuple[Any, ...]]] = []
    monkeypatch.setattr(LocalPiFactory, "_get_revision", lambda self: 0xC03114)
    monkeypatch.setattr(LocalPiFactory, "pins", {})
    monkeypatch.setattr(lgpio, "gpiochip_open", lambda chip: 7)
    for name in ("gpio_claim_input", "gpio_claim_output", "gpio_write"):
        monkeypatch.setattr(lgpio, name, lambda *given, name=name: said.append((name, given)))
    _pins._board.cache_clear()
    try:
        line = _pins.Line("17", active_high=True, active=bool(level))
        line.release()
    finally:
        _pins._board.cache_clear()
    assert said[1:] == [("gpio_claim_output", (7, 17, level))]


END = """
import os, signal, sys, threading, time
os.environ["GPIOZERO_PIN_FACTORY"] = "mock"
from piaccel import sinks
from tests.sinks.events import classified, event
import gpiozero

sink = sinks.make("gpio:17,reject=crack,delay=0ms,tolerance=60s,pulse=60s,safe={safe}")
sink.open()
pin = gpiozero.Device.pin_factory.pin(17)
sink.deliver(event(result=classified("good")))
sink.deliver(event())
while sink.facts()["fired"] == 0 or not pin.state:
    time.sleep(0.001)
real = pin._set_state
def told(value):
    real(value)
    print("level", int(value), flush=True)
pin._set_state = told
{ending}
"""


@pytest.mark.parametrize("safe", ["off", "on"])
@pytest.mark.parametrize(
    "ending",
    [
        "",
        "raise RuntimeError('the program is broken')",
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); os.kill(os.getpid(), signal.SIGTERM); time.sleep(9)",
    ],
    ids=["the end of the program", "an exception", "SIGTERM"],
)
def test_a_program_that_ends_leaves_the_output_at_its_safe_level(ending: str, safe: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", END.format(safe=safe, ending=ending)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        timeout=60,
        check=False,
    )
    assert done.stdout.split()[-1:] == [str(int(safe == "on"))], done.stderr


RUN = """
import os, sys
os.environ["GPIOZERO_PIN_FACTORY"] = "mock"
from gpiozero.pins.mock import MockPin
real = MockPin._set_state
def told(pin, value):
    real(pin, value)
    print("level", int(value), file=sys.stderr, flush=True)
MockPin._set_state = told
from piaccel.cli import main
sink = "gpio:17,reject=gear good,reject_min_score=1,safe=on"
model = [sys.argv[1], "--backend", "litert"]
sys.exit(main(["run", "--source", "synthetic:fps=20", "--model", *model, "--sink", sink]))
"""


def test_a_run_that_is_terminated_leaves_the_output_at_its_safe_level(demo: Path) -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", RUN, str(demo / "bundle")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "default"},
    )
    assert run.stderr is not None
    try:
        for line in run.stderr:
            if line.strip() == "level 0":  # the first part was judged
                break
        run.terminate()
        said = run.stderr.read()  # communicate() would leave out what was read ahead
    finally:
        run.kill()
        run.wait()
        run.stderr.close()
    levels = [line for line in said.splitlines() if line.startswith("level")]
    assert levels[-1:] == ["level 1"], said
