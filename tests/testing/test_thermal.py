"""The board that grows hot follows its equations, throttles as the firmware does, and its files say the same."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from piaccel.device.sensors import find
from piaccel.errors import OptionError
from piaccel.testing.captures import PROFILES
from piaccel.testing.thermal import HEAT, ThermalBoard


@pytest.mark.parametrize("kind", HEAT)
def test_the_highest_clock_of_the_model_is_that_of_the_board(kind: str) -> None:
    assert HEAT[kind].clocks_mhz[0] * 1000 == PROFILES[kind].max_khz  # type: ignore[index]


def test_it_warms_exactly_as_the_equation_of_one_capacity_and_one_resistance_says(tmp_path: Path) -> None:
    board = ThermalBoard(tmp_path / "pi", start_c=25.0)
    last = 25.0 + 7.24 * 9.0
    board.advance(120.0, 1.0)
    assert board.temp_c == pytest.approx(last + (25.0 - last) * math.exp(-120.0 / (9.0 * 25.0)))


def test_many_small_steps_warm_it_as_much_as_a_large_one(tmp_path: Path) -> None:
    one, many = ThermalBoard(tmp_path / "one"), ThermalBoard(tmp_path / "many")
    one.advance(60.0, 0.5)
    for _ in range(600):
        many.advance(0.1, 0.5)
    assert many.temp_c == pytest.approx(one.temp_c)
    assert many.now_ns() == pytest.approx(60e9)


def test_a_bare_pi_5_meets_80_degrees_when_the_equation_says_and_throttles_then(tmp_path: Path) -> None:
    board = ThermalBoard(tmp_path / "pi")
    expected = board.reaches_s(80.0, 1.0)
    assert expected is not None
    board.advance(expected - 2, 1.0)
    assert board.throttled == 0
    board.advance(4.0, 1.0)
    assert board.throttled == 0x60006
    assert board.clock_hz < 2_400_000_000
    board.advance(1800.0, 1.0)
    assert 80.0 < board.temp_c < 85.0
    board.advance(300.0, 0.0)
    assert (board.throttled, board.clock_hz) == (0x60000, 2_400_000_000)


def test_at_85_degrees_the_clock_is_at_its_lowest(tmp_path: Path) -> None:
    board = ThermalBoard(tmp_path / "pi", start_c=86.0)
    assert board.clock_hz == 1_500_000_000


def test_an_inference_takes_longer_at_a_lower_clock_and_the_board_draws_less(tmp_path: Path) -> None:
    cool, hot = ThermalBoard(tmp_path / "cool"), ThermalBoard(tmp_path / "hot", start_c=86.0)
    assert hot.power_w(1.0) < cool.power_w(1.0)
    cool.work()
    hot.work()
    assert cool.now_ns() == pytest.approx(40e6)
    assert hot.now_ns() == pytest.approx(40e6 * 2400 / 1500)


def test_the_active_cooler_speeds_up_with_the_heat_and_keeps_a_pi_5_below_70_degrees(tmp_path: Path) -> None:
    board = ThermalBoard(tmp_path / "pi", cooling="active")
    slow = board.fan_rpm
    board.advance(1800.0, 1.0)
    assert board.fan_rpm > slow
    assert board.temp_c < 70.0
    assert board.throttled == 0


def test_a_3b_plus_meets_its_soft_limit_at_60_degrees(tmp_path: Path) -> None:
    board = ThermalBoard(tmp_path / "pi", "pi3b+", cooling="heatsink", start_c=55.0)
    board.advance(600.0, 1.0)
    assert board.clock_hz == 1_200_000_000
    assert board.throttled & 0xF == 8


def test_a_weak_supply_sets_the_bits_of_under_voltage_and_they_stay_since_boot(tmp_path: Path) -> None:
    board = ThermalBoard(tmp_path / "pi")
    board.undervolt()
    assert board.throttled == 0x50005
    board.undervolt(False)
    assert board.throttled == 0x50000


def test_the_files_say_what_the_board_says(tmp_path: Path) -> None:
    board = ThermalBoard(tmp_path / "pi", cooling="active")
    sensors = find(board.root)
    board.advance(600.0, 1.0)
    read = sensors.read()
    for gauge in board.gauges():
        value = gauge.read()
        assert value is not None
        assert read[gauge.name] == pytest.approx(value, abs=0.06)


def test_sensors_that_are_lost_read_none_in_the_files_too(tmp_path: Path) -> None:
    board = ThermalBoard(tmp_path / "pi", cooling="active")
    sensors = find(board.root)
    board.lose_sensors()
    board.advance(10.0, 1.0)
    assert all(gauge.read() is None for gauge in board.gauges())
    assert sensors["temperature_c"].read() is None
    assert sensors["throttled"].read() is None


def test_what_is_repeated_is_called_at_once_and_each_period(tmp_path: Path) -> None:
    board = ThermalBoard(tmp_path / "pi")
    seen: list[int] = []
    with board.every(1.0, lambda: seen.append(board.now_ns())):
        board.sleep(3.5)
    board.sleep(5.0)
    assert seen == pytest.approx([0, 1e9, 2e9, 3e9])


def test_noise_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    def series(name: str, seed: int) -> list[float | None]:
        board = ThermalBoard(tmp_path / name, noise_c=0.5, seed=seed)
        return [board.gauges()[0].read() for _ in range(5)]

    assert series("a", 1) == series("b", 1) != series("c", 2)


def test_an_active_cooler_is_refused_on_a_board_that_has_none(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="only a Pi 5"):
        ThermalBoard(tmp_path / "pi", "pi4", cooling="active")
    with pytest.raises(OptionError, match="none of none, heatsink, active"):
        ThermalBoard(tmp_path / "pi", cooling="ice")  # type: ignore[arg-type]


def test_a_board_whose_heat_nobody_measured_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="how a cm5 warms up is not known"):
        ThermalBoard(tmp_path / "pi", "cm5")
