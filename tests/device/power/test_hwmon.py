"""INA current monitors as the kernel shows them, and the PoE+ HAT."""

from pathlib import Path

import pytest

from piaccel.device import power
from piaccel.device.power.source import PowerSource
from piaccel.errors import OptionError, UnavailableError
from piaccel.testing.fake_board import FakeBoard
from piaccel.testing.fake_power import Monitor

INPUT_W = 1.1451 * 4.0 + 0.5879


@pytest.fixture
def board(tmp_path: Path) -> FakeBoard:
    board = FakeBoard(tmp_path / "pi", "pi5")
    board.set(power_w=4.0)
    return board


def named(board: FakeBoard, given: str) -> PowerSource:
    source = power.find(board.root, given)
    assert source is not None
    return source


@pytest.mark.parametrize(
    ("monitor", "shunt_uohm", "exact"),
    [("ina219", 100_000, 0.0173), ("ina226", 10_000, 0.0101), ("ina3221", 50_000, 0.0106)],
)
def test_each_chip_reads_what_the_board_takes_in(
    board: FakeBoard, monitor: Monitor, shunt_uohm: int, exact: float
) -> None:
    board.wire(monitor, shunt_uohm=shunt_uohm)
    source = named(board, f"hwmon:{monitor}")
    assert source.read() == pytest.approx(INPUT_W, rel=0.002)
    assert source.uncertainty == pytest.approx(exact, rel=0.01)
    assert f"shunt {shunt_uohm / 1000:g} mOhm" in source.accuracy
    assert "TI SBOS" in source.accuracy


def test_it_sees_what_usb_draws_and_the_regulator_does_not(board: FakeBoard) -> None:
    board.wire()
    ina, pmic = named(board, "hwmon"), named(board, "pmic")
    before = pmic.read()
    board.set(beyond_w=2.0)
    assert ina.read() == pytest.approx(INPUT_W + 2, rel=0.002)
    assert pmic.read() == before
    assert power.refusal(ina, power.used_by("litert"), power.used_by("edgetpu")) is None


def test_the_monitor_in_the_feed_is_preferred_to_the_regulator(board: FakeBoard) -> None:
    assert [each.name for each in power.sources(board.root)] == ["pmic"]
    board.wire()
    assert [each.name for each in power.sources(board.root)] == ["hwmon:ina226", "pmic"]
    assert named(board, "auto").name == "hwmon:ina226"


def test_of_several_monitors_none_is_chosen_unasked(board: FakeBoard) -> None:
    board.wire("ina226")
    board.wire("ina219", shunt_uohm=100_000)
    assert named(board, "auto").name == "pmic"
    with pytest.raises(OptionError, match="names several") as caught:
        power.find(board.root, "hwmon")
    assert "hwmon:ina219" in caught.value.hint


def test_two_of_one_kind_are_told_apart_by_bus_and_address(board: FakeBoard) -> None:
    for address in ("1-0040", "1-0041"):
        board.wire()
        folder = sorted(board.root.glob("sys/class/hwmon/hwmon*"))[-1]
        (folder / "device").symlink_to(f"../../../{address}")
    assert {each.name for each in power.sources(board.root)} >= {"hwmon:ina226@1-0040", "hwmon:ina226@1-0041"}
    assert named(board, "hwmon:ina226@1-0041").read() is not None
    with pytest.raises(OptionError, match="names several"):
        power.find(board.root, "hwmon:ina226")


def test_of_an_ina3221_only_enabled_channels_are_sources(board: FakeBoard) -> None:
    board.wire("ina3221", shunt_uohm=50_000)
    assert power.sources(board.root)[0].name == "hwmon:ina3221/1"
    with pytest.raises(OptionError, match="is not here"):
        power.find(board.root, "hwmon:ina3221/2")


def test_a_monitor_at_the_end_of_its_range_is_a_failure_not_a_low_reading(board: FakeBoard) -> None:
    board.wire("ina219", shunt_uohm=100_000)
    source = named(board, "hwmon:ina219")
    board.set(power_w=14.0)  # 3.26 A through 0.1 Ohm
    assert source.read() is None
    assert "end of its range" in source.reason
    assert "smaller shunt" in source.hint


def test_a_monitor_wired_the_wrong_way_round_is_named(board: FakeBoard) -> None:
    board.wire()
    source = named(board, "hwmon")
    next(board.root.glob("sys/class/hwmon/hwmon*/curr1_input")).write_text("-900\n")
    assert source.read() is None
    assert source.hint == "swap IN+ and IN-"


def test_the_drivers_default_shunt_is_doubted(board: FakeBoard) -> None:
    board.wire("ina226", shunt_uohm=10_000)
    assert "is it yours?" in named(board, "hwmon").accuracy


def test_a_monitor_that_is_unplugged_fails_with_its_file(board: FakeBoard) -> None:
    board.wire()
    source = named(board, "hwmon")
    next(board.root.glob("sys/class/hwmon/hwmon*/power1_input")).unlink()
    assert source.read() is None
    assert "power1_input" in source.reason


def test_in_the_lead_of_a_usb_device_it_holds_that_device_alone(board: FakeBoard) -> None:
    board.wire()
    source = named(board, "hwmon:ina226,in=usb")
    assert source.covers == {"usb"}
    assert "taken to sit in a USB device's lead" in source.how
    assert power.refusal(source, power.used_by("litert"), power.used_by("edgetpu", "usb")) is not None
    for wrong in ("hwmon,in=roof", "hwmon,at=usb", "hwmon,in"):
        with pytest.raises(OptionError, match="power source"):
            power.find(board.root, wrong)


def test_without_a_monitor_the_way_to_one_is_told(board: FakeBoard) -> None:
    with pytest.raises(UnavailableError, match="no INA") as caught:
        power.find(board.root, "hwmon:ina226")
    assert "new_device" in caught.value.hint


def test_a_poe_hat_tells_a_current_and_the_voltage_is_said_to_be_assumed(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path / "pi", "pi4")
    board.write("sys/class/power_supply/rpi-poe/current_now", "577000\n")
    source = named(board, "auto")
    assert source.name == "poe"
    assert source.read() == pytest.approx(2.885)
    assert source.uncertainty is None
    assert "assumed" in source.accuracy
    board.write("sys/class/power_supply/rpi-poe/current_now", "0\n")
    assert source.read() is None
    assert power.find(board.root) is None


def test_what_is_missing_is_listed_with_its_reason(board: FakeBoard) -> None:
    missing = {each.name: each.reason for each in power.look(board.root).missing}
    assert set(missing) == {"hwmon", "poe", "hailo"}
    assert all(missing.values())
