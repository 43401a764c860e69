"""A fake board says what a real one says, changes while it is read, and never overwrites anything."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import get_args

import pytest

from piaccel.device.accelerators import find as find_accelerators
from piaccel.device.board import detect
from piaccel.device.debs import Debs
from piaccel.device.permissions import groups
from piaccel.device.sensors import find
from piaccel.device.tree import Tree
from piaccel.errors import InputError, OptionError
from piaccel.testing.__main__ import main
from piaccel.testing.captures import Kind, OperatingSystem
from piaccel.testing.fake_accelerators import HEALTHY, Plugged
from piaccel.testing.fake_board import FakeBoard


def vcgencmd(board: FakeBoard, *command: str) -> tuple[int, str]:
    done = subprocess.run([board.root / "usr/bin/vcgencmd", *command], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.strip()


@pytest.mark.parametrize("kind", get_args(Kind))
@pytest.mark.parametrize("system", get_args(OperatingSystem))
def test_every_board_is_detected_with_all_it_states(tmp_path: Path, kind: Kind, system: OperatingSystem) -> None:
    board = detect(FakeBoard(tmp_path, kind, os=system).root)
    assert board.is_pi
    unknown = [name for name, value in board.to_dict().items() if value is None]
    assert unknown == []
    assert board.os_codename == system
    assert (board.cores, board.process_bits, board.architecture) == (4, 64, "aarch64")


@pytest.mark.parametrize(("kind", "clock"), [("pi4", "frequency(48)=1800404352"), ("pi5", "frequency(0)=2400009728")])
def test_vcgencmd_answers_in_the_words_of_the_real_one(tmp_path: Path, kind: Kind, clock: str) -> None:
    board = FakeBoard(tmp_path, kind)
    assert vcgencmd(board, "measure_clock", "arm") == (0, clock)
    assert vcgencmd(board, "get_throttled") == (0, "throttled=0x0")
    assert vcgencmd(board, "measure_clock", "nothing") == (0, 'error=2 error_msg="Invalid arguments"')
    assert vcgencmd(board, "no_such_command") == (0, 'error=1 error_msg="Command not registered"')
    board.close_firmware()
    code, text = vcgencmd(board, "get_throttled")
    assert code == 255
    assert text.startswith("Can't open device file: /dev/vcio_gencmd")


def test_power_rails_are_known_on_the_pi_5_only(tmp_path: Path) -> None:
    assert "EXT5V_V volt(24)=4.87894000V" in vcgencmd(FakeBoard(tmp_path / "5", "pi5"), "pmic_read_adc")[1]
    assert "not registered" in vcgencmd(FakeBoard(tmp_path / "4", "pi4"), "pmic_read_adc")[1]


def test_hwmon_numbers_do_not_follow_one_order(tmp_path: Path) -> None:
    orders = set()
    for kind in ("pi3b+", "pi4", "pi5"):
        root = FakeBoard(tmp_path / kind, kind).root
        names = [path.read_text().strip() for path in sorted(root.glob("sys/class/hwmon/*/name"))]
        orders.add(tuple(name for name in names if name in ("cpu_thermal", "rpi_volt")))
    assert len(orders) == 2


def test_a_change_is_seen_by_the_next_reading(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5")
    sensors = find(board.root)
    assert sensors["temperature_c"].read() == 48.5
    board.set(temp_c=83.4, throttled=0x20002, clock_hz=1_500_000_000, load=4.25)
    assert sensors.read() == {
        "temperature_c": 83.4,
        "clock_hz": 1.5e9,
        "throttled": 0x20002,
        "under_voltage": 0.0,
        "fan_rpm": 3112.0,
        "memory_available_bytes": sensors["memory_available_bytes"].read(),
        "load": 4.25,
    }
    board.enter("undervolted")
    assert sensors["under_voltage"].read() == 1.0


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    with pytest.raises(InputError, match="not an empty folder"):
        FakeBoard(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_an_unknown_kind_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"'pi6' is none of zero2w, pi3b\+, pi4, pi5"):
        FakeBoard(tmp_path, "pi6")  # type: ignore[arg-type]


def test_an_unknown_accelerator_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="'coral' is none of coral-usb, coral-pcie, hailo8"):
        FakeBoard(tmp_path, accelerators=["coral"])  # type: ignore[list-item]


@pytest.mark.parametrize("name", get_args(Plugged))
def test_every_accelerator_has_a_set_up_that_its_bus_shows(tmp_path: Path, name: Plugged) -> None:
    board = FakeBoard(tmp_path, "pi5", accelerators=[name])
    files = [path for path in board.root.glob("sys/bus/*/devices/*/*") if path.is_file()]
    numbers = {path.read_text().strip() for path in files}
    vendor, _, product = HEALTHY[name].id.partition(":")
    assert {vendor, product} <= {number.removeprefix("0x") for number in numbers} or name == "imx500"


def test_a_part_that_is_left_out_leaves_no_file(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5")
    board.plug("hailo8l", driver=None, library=None, firmware=None, binding=None)
    assert not list(board.root.rglob("*hailo*"))


def test_packages_are_replaced_and_taken_out(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path)
    for version in ("1:4.20.0-1", "1:4.23.0-1", None):
        board.install_deb("hailort", version)
        assert Debs(Tree(board.root)).get("hailort") == (version and version.removeprefix("1:"))
    assert Debs(Tree(board.root)).upstream("libc6") == "2.36"


def test_the_user_joins_and_leaves_groups(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path)
    board.join("apex")
    board.leave("video")
    assert {"apex", "plugdev"} <= groups(Tree(board.root), "pi")
    assert "video" not in groups(Tree(board.root), "pi")


def test_a_kernel_with_other_pages_can_be_booted(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5")
    assert detect(board.root).page_size == 16384
    board.boot("rpi-v8")
    assert (detect(board.root).page_size, board.kernel) == (4096, "6.12.47+rpt-rpi-v8")


def test_the_command_plugs_accelerators_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(tmp_path / "board")
    assert main(["fake-board", "pi5", folder, "--accelerator", "hailo8l", "--accelerator", "coral-usb"]) == 0
    assert capsys.readouterr().out.startswith(f"{folder}: pi5, cool, hailo8l, coral-usb; try:")
    assert {each.kind.name for each in find_accelerators(Tree(folder))} == {"hailo8", "coral-usb"}


def test_the_command_writes_a_board_and_refuses_a_used_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(tmp_path / "board")
    command = ["fake-board", "pi5", folder, "--state", "throttled", "--os", "trixie"]
    assert main(command) == 0
    assert detect(folder).os_codename == "trixie"
    assert find(folder)["temperature_c"].read() == 85.1
    assert main(command) == 2
    assert capsys.readouterr().err == f"piaccel.testing: {folder} is not an empty folder\n"


def test_all_cores_share_one_frequency_policy_as_on_a_real_board(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path / "pi", "pi4")
    board.set(governor="performance")
    for cpu in range(4):
        folder = board.root / f"sys/devices/system/cpu/cpu{cpu}/cpufreq"
        assert folder.resolve() == board.root / "sys/devices/system/cpu/cpufreq/policy0"
        assert (folder / "scaling_governor").read_text() == "performance\n"


def test_a_release_has_its_own_swap_watchdog_log_and_services(tmp_path: Path) -> None:
    bookworm = FakeBoard(tmp_path / "12", "pi4", os="bookworm").root
    trixie = FakeBoard(tmp_path / "13", "pi4", os="trixie").root
    assert (bookworm / "etc/dphys-swapfile").exists()
    assert (trixie / "etc/rpi/swap.conf").exists()
    assert (trixie / "usr/lib/systemd/system.conf.d/40-rpi-enable-watchdog.conf").exists()
    hciuart = "etc/systemd/system/multi-user.target.wants/hciuart.service"
    assert (bookworm / hciuart).is_symlink()
    assert not (trixie / hciuart).is_symlink()


def test_a_service_can_be_enabled(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path / "pi", "pi4")
    board.enable("multi-user.target.wants/cups.service")
    link = board.root / "etc/systemd/system/multi-user.target.wants/cups.service"
    assert str(link.readlink()) == "/usr/lib/systemd/system/cups.service"
