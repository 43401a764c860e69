"""Sensors on fake boards: what they read, from where, and what they say when they cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from piaccel.device.sensors import find
from piaccel.device.tree import Tree
from piaccel.device.vcgencmd import Vcgencmd
from piaccel.errors import UnavailableError
from piaccel.testing.captures import Kind
from piaccel.testing.fake_board import FakeBoard


def test_every_sensor_of_a_pi_5_reads(tmp_path: Path) -> None:
    sensors = find(FakeBoard(tmp_path, "pi5", state="throttled").root)
    values = sensors.read()
    assert (values["temperature_c"], values["clock_hz"], values["throttled"]) == (85.1, 1500039168.0, 0xE0006)
    assert (values["under_voltage"], values["fan_rpm"], values["load"]) == (0.0, 7980.0, 0.12)
    assert values["memory_available_bytes"]
    assert [sensor.unit for sensor in sensors] == ["°C", "Hz", "", "", "rpm", "B", ""]


@pytest.mark.parametrize("kind", ["zero2w", "pi3b+", "pi4"])
def test_a_board_without_a_fan_reads_none_and_says_why(tmp_path: Path, kind: Kind) -> None:
    fan = find(FakeBoard(tmp_path, kind).root)["fan_rpm"]
    assert fan.read() is None
    assert fan.reason == "no fan with a tachometer"


def test_a_stopped_fan_is_zero_and_not_none(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5")
    board.set(fan_rpm=0)
    assert find(board.root)["fan_rpm"].read() == 0.0


def test_the_older_name_of_the_fan_driver_is_known(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5")
    name = next(path for path in board.root.glob("sys/class/hwmon/*/name") if path.read_text() == "pwmfan\n")
    name.write_text("cooling_fan\n")
    assert find(board.root)["fan_rpm"].read() == 3112.0


def test_the_measured_clock_beats_the_requested_one(tmp_path: Path) -> None:
    clock = find(FakeBoard(tmp_path, "pi4", state="throttled").root)["clock_hz"]
    assert clock.read() == 1140039680.0
    assert clock.source == "vcgencmd measure_clock arm"


def test_without_the_firmware_the_clock_is_marked_as_requested(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi4", state="throttled")
    board.close_firmware()
    clock = find(board.root)["clock_hz"]
    assert clock.read() == 1.8e9
    assert "requested" in clock.source


def test_a_sensor_never_changes_its_source(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi4")
    clock = find(board.root)["clock_hz"]
    board.close_firmware()
    assert clock.read() is None
    assert "group video" in clock.reason


def test_without_vcgencmd_the_deprecated_file_tells_the_throttle_flags(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi4", state="undervolted")
    (board.root / "usr/bin/vcgencmd").unlink()
    throttled = find(board.root)["throttled"]
    assert throttled.read() == 0x50005
    assert throttled.source.endswith("get_throttled")


def test_a_pi_5_without_vcgencmd_says_how_to_get_it(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5")
    (board.root / "usr/bin/vcgencmd").unlink()
    throttled = find(board.root)["throttled"]
    assert throttled.read() is None
    assert (throttled.reason, throttled.hint) == ("vcgencmd is not installed", "sudo apt install raspi-utils")


def test_a_user_outside_the_group_video_is_told(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5")
    board.close_firmware()
    throttled = find(board.root)["throttled"]
    assert throttled.read() is None
    assert throttled.hint == 'sudo usermod -aG video "$USER"'
    (board.root / "dev/vcio").unlink()
    assert throttled.read() is None
    assert "container" in throttled.reason


@pytest.mark.parametrize(("state", "alarm"), [("cool", 0.0), ("undervolted", 1.0)])
def test_a_board_without_rpi_volt_takes_under_voltage_from_the_flags(tmp_path: Path, state: str, alarm: float) -> None:
    sensor = find(FakeBoard(tmp_path, "zero2w", state=state).root)["under_voltage"]  # type: ignore[arg-type]
    assert sensor.read() == alarm
    assert "bit 0" in sensor.source


def test_an_empty_root_reads_nothing_but_none(tmp_path: Path) -> None:
    sensors = find(tmp_path)
    assert set(sensors.read().values()) == {None}
    assert all(sensor.reason for sensor in sensors)


def test_broken_files_read_none_with_a_reason(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5")
    sensors = find(board.root)
    board.write("proc/meminfo", "nothing of use\n")
    board.write("sys/class/thermal/thermal_zone0/temp", "hot\n")
    (board.root / "proc/loadavg").unlink()
    for name in ("memory_available_bytes", "temperature_c", "load"):
        assert sensors[name].read() is None
        assert sensors[name].reason


def test_the_cpus_own_hwmon_serves_where_there_is_no_thermal_zone(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5")
    board.write("sys/class/thermal/thermal_zone0/type", "iwlwifi_1\n")
    assert find(board.root)["temperature_c"].read() == 48.5


def test_slow_sensors_state_their_cost(tmp_path: Path) -> None:
    sensors = find(FakeBoard(tmp_path, "pi5").root)
    assert sensors["clock_hz"].cost_ms > 10 > sensors["temperature_c"].cost_ms


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("throttled=0x50000", 0x50000),
        ("temp=48.5'C", 48.5),
        ("volt=0.8563V", 0.8563),
        ("frequency(48)=1500398464", 1500398464),
        ("frequency(0)=0", 0),
    ],
)
def test_an_answer_is_what_stands_behind_the_equals_sign(tmp_path: Path, answer: str, value: float) -> None:
    board = FakeBoard(tmp_path)
    board.answer("anything", answer)
    assert Vcgencmd(Tree(board.root)).number("anything") == value


@pytest.mark.parametrize("answer", ["", "vc_gencmd_read_response returned 5", "temp=warm", "no equals sign"])
def test_a_strange_answer_is_a_reason_and_not_a_number(tmp_path: Path, answer: str) -> None:
    board = FakeBoard(tmp_path)
    board.answer("anything", answer)
    with pytest.raises(UnavailableError, match="vcgencmd anything answered"):
        Vcgencmd(Tree(board.root)).number("anything")


def test_an_unknown_command_is_a_reason(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="error=1"):
        Vcgencmd(Tree(FakeBoard(tmp_path).root)).ask("no_such_command")


def test_a_vcgencmd_that_hangs_is_given_up(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path)
    (board.root / "usr/bin/vcgencmd").write_text("#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(UnavailableError, match=r"did not answer within 0\.2 s"):
        Vcgencmd(Tree(board.root), timeout_s=0.2).ask("get_throttled")


def test_a_vcgencmd_that_may_not_be_run_is_a_reason(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path)
    (board.root / "usr/bin/vcgencmd").chmod(0o644)
    with pytest.raises(UnavailableError, match="may not be run"):
        Vcgencmd(Tree(board.root)).ask("get_throttled")
