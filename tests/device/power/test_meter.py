"""The meter, energy, and the constant that a user states."""

import math
import threading
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piaccel.device import power
from piaccel.device.power.source import PowerSource
from piaccel.errors import OptionError, UnavailableError


class Scripted(PowerSource):
    """Reads what a function of the time says; None is a failure."""

    name = how = "scripted"
    accuracy, uncertainty = "1 %", 0.01
    leaves_out, covers = "", power.EVERYTHING
    cost_ms = 0.0

    def __init__(self, watts: Callable[[], float | None]) -> None:
        self._read = watts

    def watts(self) -> float:
        value = self._read()
        if value is None:
            raise UnavailableError("the wire is off")
        return value


class Clock:
    """Time that only moves when somebody sleeps."""

    def __init__(self) -> None:
        self.ns = 5_000_000_000

    def __call__(self) -> int:
        return self.ns

    def sleep(self, seconds: float) -> None:
        self.ns += round(seconds * 1e9)

    @property
    def s(self) -> float:
        return (self.ns - 5_000_000_000) / 1e9


def metered(clock: Clock, watts: Callable[[], float | None], seconds: float, hz: float = 10) -> power.Meter:
    meter = power.Meter(Scripted(watts), hz, clock=clock)
    meter.sample()
    for _ in range(round(seconds * hz)):
        clock.sleep(1 / hz)
        meter.sample()
    return meter


def found(given: str) -> PowerSource:
    source = power.find("/", given)
    assert source is not None
    return source


def test_a_steady_power_gives_watts_times_seconds() -> None:
    energy = metered(Clock(), lambda: 4.0, 10).energy
    assert energy.joules == pytest.approx(40)
    assert energy.seconds == 10
    assert (energy.samples, energy.missing, energy.unseen_s, energy.reason) == (101, 0, 0, "")
    assert energy.uncertainty_j == pytest.approx(0.4)  # 1 % of the source, nothing from sampling
    assert energy.mean_w == pytest.approx(4)


def test_a_ramp_is_integrated_exactly_by_trapezoids() -> None:
    clock = Clock()
    assert metered(clock, lambda: clock.s, 8).energy.joules == pytest.approx(32)


def test_a_part_is_cut_out_at_its_ends_between_two_readings() -> None:
    clock = Clock()
    meter = metered(clock, lambda: clock.s, 4, hz=2)
    part = meter.between(5_000_000_000 + 1_250_000_000, 5_000_000_000 + 2_750_000_000)
    assert part.joules == pytest.approx((2.75**2 - 1.25**2) / 2)
    assert part.seconds == 1.5


def test_a_reading_that_fails_is_counted_and_widens_the_uncertainty_and_is_never_zero() -> None:
    clock = Clock()
    whole = metered(Clock(), lambda: 4.0, 10).energy
    energy = metered(clock, lambda: None if 4.95 < clock.s < 5.05 else 4.0 + math.sin(clock.s), 10).energy
    assert energy.missing == 1
    assert energy.samples == 100
    assert energy.unseen_s == pytest.approx(0.2)
    assert "wire" in energy.reason
    assert energy.joules is not None
    assert energy.joules > 35
    assert energy.uncertainty_j is not None
    assert whole.uncertainty_j is not None
    assert energy.uncertainty_j > whole.uncertainty_j


def test_a_source_that_is_lost_half_way_gives_no_energy_but_the_reason() -> None:
    clock = Clock()
    energy = metered(clock, lambda: 4.0 if clock.s < 5 else None, 10).energy
    assert energy.joules is None
    assert energy.uncertainty_j is None
    assert energy.mean_w is None
    assert energy.missing == 51
    assert "not seen for 5." in energy.reason
    assert "wire" in energy.reason


def test_a_source_that_never_answers_gives_no_energy() -> None:
    energy = metered(Clock(), lambda: None, 1).energy
    assert (energy.joules, energy.samples, energy.missing) == (None, 0, 11)
    assert "wire" in energy.reason


def test_a_source_that_raises_something_unforeseen_is_a_missing_reading_with_its_words() -> None:
    def torn() -> float:
        raise KeyError("rail")

    energy = metered(Clock(), torn, 1).energy
    assert energy.joules is None
    assert "KeyError" in energy.reason


def test_readings_far_apart_leave_the_time_between_them_unseen() -> None:
    clock = Clock()
    meter = power.Meter(Scripted(lambda: 3.0), 10, clock=clock)
    meter.sample()
    clock.sleep(5)
    meter.sample()
    assert meter.energy.joules is None
    assert meter.energy.missing == 0


def test_the_idle_power_is_subtracted_and_the_share_of_the_source_stays() -> None:
    clock = Clock()
    idle = power.measure_idle(Scripted(lambda: 3.0), 5, 10, clock=clock, sleep=clock.sleep)
    assert idle.watts == pytest.approx(3)
    assert idle.seconds == pytest.approx(5)
    assert idle.samples == 51
    net = metered(clock, lambda: 5.0, 10).energy.above(idle)
    assert net.joules == pytest.approx(20)
    assert net.uncertainty_j == pytest.approx(0.2)


def test_an_unsteady_idle_power_widens_what_is_left_after_it() -> None:
    clock = Clock()
    shaky = power.measure_idle(Scripted(lambda: 3 + math.sin(7 * clock.s)), 5, clock=clock, sleep=clock.sleep)
    energy = metered(clock, lambda: 5.0, 10).energy
    assert shaky.sampling_w > 0.05
    assert energy.above(shaky).sampling_j == pytest.approx(shaky.sampling_w * 10)


def test_an_idle_power_that_cannot_be_read_is_refused_with_the_reason() -> None:
    clock = Clock()
    with pytest.raises(UnavailableError, match="wire"):
        power.measure_idle(Scripted(lambda: None), 1, clock=clock, sleep=clock.sleep)


def test_the_meter_samples_in_a_thread_of_its_own() -> None:
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        clock.sleep(seconds)
        return len(waits) > 20

    clock = Clock()
    meter = power.Meter(Scripted(lambda: 2.0), 10, clock=clock, wait=wait)
    meter.start()
    while len(waits) <= 20:
        pass
    meter.stop()
    meter.stop()
    assert meter.energy.joules == pytest.approx(4.2)
    assert meter.energy.samples == 22
    assert waits[0] == 0.1


def test_the_real_clock_gives_an_energy_for_as_long_as_the_block_took() -> None:
    with power.Meter(found("constant:4.2W"), 100) as meter:
        sum(range(1000))
    energy = meter.energy
    assert energy.joules == pytest.approx(4.2 * energy.seconds)
    assert energy.uncertainty_j is None
    assert energy.samples >= 2


@pytest.mark.parametrize("hz", [0, -1, float("nan"), 10_000])
def test_a_rate_that_makes_no_sense_is_refused(hz: float) -> None:
    with pytest.raises(OptionError, match="readings a second"):
        power.Meter(Scripted(lambda: 1.0), hz)


def test_a_constant_says_what_the_user_stated() -> None:
    source = found("constant:4.2W,idle=2.7,accuracy=5%")
    assert source.read() == 4.2
    assert source.idle_w == 2.7
    assert source.uncertainty == pytest.approx(0.05)
    assert source.accuracy == "±5 %, as stated by the user"
    assert power.measure_idle(source).watts == 2.7
    assert found("constant:4W").uncertainty is None


def test_a_constant_without_an_idle_power_has_none() -> None:
    with pytest.raises(UnavailableError, match="idle") as caught:
        power.measure_idle(found("constant:4.2W"))
    assert "idle=" in caught.value.hint


@pytest.mark.parametrize("words", ["", "-4W", "4.2V", "nan", "0W", "4W,idle=5W", "4W,hum=3", "4W,accuracy=5", "4W,"])
def test_a_constant_of_another_form_is_refused(words: str) -> None:
    with pytest.raises(OptionError, match="constant:") as caught:
        power.find("/", f"constant:{words}")
    assert "constant:4.2W" in caught.value.hint


def test_a_word_that_names_no_source_is_refused() -> None:
    with pytest.raises(OptionError, match="no power source"):
        power.find("/", "moonlight")


def comparing(covers: Sequence[power.Part], *used: frozenset[power.Part]) -> str | None:
    source = Scripted(lambda: 1.0)
    source.covers = frozenset(covers)
    source.leaves_out = "what hangs on 5 V"
    return power.refusal(source, *used)


def test_a_source_that_leaves_the_accelerator_out_cannot_compare_it_with_the_processor() -> None:
    reason = comparing(["cpu"], power.used_by("litert"), power.used_by("hailo"))
    assert reason is not None
    assert "PCIe" in reason
    assert "what hangs on 5 V" in reason
    assert comparing(["cpu"], power.used_by("litert"), power.used_by("ncnn")) is None
    assert comparing(["cpu", "usb", "pcie"], power.used_by("litert"), power.used_by("edgetpu")) is None
    assert comparing(["pcie"], power.used_by("hailo"), power.used_by("hailo")) is not None


def test_a_constant_compares_nothing() -> None:
    reason = power.refusal(found("constant:4W"), power.used_by("litert"), power.used_by("ncnn"))
    assert reason is not None
    assert "given" in reason


def test_where_an_accelerator_sits_is_told_by_the_device_or_taken_as_either() -> None:
    assert power.used_by("edgetpu") == {"cpu", "usb", "pcie"}
    assert power.used_by("edgetpu", "usb:0") == {"cpu", "usb"}
    assert power.used_by("edgetpu", "/dev/apex_0") == {"cpu", "pcie"}
    assert power.used_by("openvino", "MYRIAD") == {"cpu", "usb"}
    assert power.used_by("openvino", "CPU") == {"cpu"}
    assert power.used_by("imx500") == {"cpu", "camera"}


@given(
    st.lists(st.floats(0.1, 30), min_size=2, max_size=40),
    st.integers(0, 4_000_000_000),
    st.integers(1, 4_000_000_000),
    st.floats(0, 1),
)
def test_two_parts_of_a_time_use_as_much_as_the_whole(
    watts: list[float], start_ns: int, long_ns: int, cut: float
) -> None:
    readings = [power.Reading(100_000_000 * number, value) for number, value in enumerate(watts)]
    middle_ns, end_ns = start_ns + round(cut * long_ns), start_ns + long_ns
    edges = [(start_ns, middle_ns), (middle_ns, end_ns), (start_ns, end_ns)]
    # a period so long that nothing is unseen
    parts = [power.integrate(readings, *edge, period_s=10, relative=None).joules for edge in edges]
    assert (parts[0] or 0) + (parts[1] or 0) == pytest.approx(parts[2])
    assert min(watts) * long_ns / 1e9 <= (parts[2] or 0) * (1 + 1e-9) <= max(watts) * long_ns / 1e9 * (1 + 2e-9)


def test_a_reading_that_hangs_is_left_behind_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("piaccel.device.power.meter._LONGEST_READ_S", 0.05)
    hanging, ended = threading.Event(), threading.Event()

    def watts() -> float:
        if threading.current_thread() is not threading.main_thread():
            hanging.set()
            ended.wait(60)
        return 3.0

    meter = power.Meter(Scripted(watts), 100)
    meter.start()
    assert hanging.wait(60)
    meter.stop()
    ended.set()
    for thread in threading.enumerate():
        if thread.name == "piaccel-power":
            thread.join(60)
    assert "hangs" in meter.energy.reason
    assert len(meter.readings) == 2
    assert meter.energy.missing == 1
