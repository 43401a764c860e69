"""Every finding of the doctor, provoked on a fake board or a small tree; and silence on healthy ones."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from piaccel.device.doctor import Report, diagnose
from piaccel.device.findings import Finding, Runtime
from piaccel.testing.captures import Kind, OperatingSystem, State
from piaccel.testing.fake_board import FakeBoard
from tests.device.examined import expect, trouble

MakeBoard = Callable[..., FakeBoard]


@pytest.fixture
def board(tmp_path: Path) -> MakeBoard:
    def make(kind: Kind = "pi5", system: OperatingSystem = "bookworm", state: State = "cool") -> FakeBoard:
        return FakeBoard(tmp_path / "board", kind, os=system, state=state)

    return make


def finding(report: Report, words: str) -> Finding:
    found = [each for each in report.findings if words in each.what]
    assert len(found) == 1, [each.what for each in report.findings]
    return found[0]


@pytest.mark.parametrize(
    ("kind", "system"),
    [
        ("zero2w", "trixie"),
        ("pi3b+", "trixie"),
        ("pi4", "bookworm"),
        ("pi4", "trixie"),
        ("pi5", "bookworm"),
        ("pi5", "trixie"),
    ],
)  # on Bookworm the boards with 1 GiB or less swap to the card, which is rightly a warning
def test_a_healthy_board_raises_no_alarm(board: MakeBoard, kind: Kind, system: OperatingSystem) -> None:
    report = diagnose(board(kind, system).root)
    assert report.of("warning", "problem") == ()
    assert report.healthy


def test_this_machine_has_no_problem_and_no_advice_for_a_raspberry_pi_unless_it_is_one() -> None:
    report = diagnose("/", [Runtime("litert", ok=True, version="2.3.0")])
    assert report.healthy
    if not report.board.is_pi:
        assert [each for each in report.findings if "/boot" in each.command or "vcgencmd" in each.what] == []


def test_every_section_states_its_fact(board: MakeBoard) -> None:
    report = diagnose(board().root, [Runtime("litert", ok=True, version="2.3.0")])
    facts = {each.section: each.what for each in report.of("ok")}
    assert facts["board"] == "Raspberry Pi 5 Model B Rev 1.0 (d04170), BCM2712, 8 GiB"
    assert "aarch64" in facts["OS"]
    assert facts["Python"] == "3.11, 64-bit (the system's)"
    assert facts["page size"] == "16 KiB"
    assert facts["CPU"] == "4 x Cortex-A76, at most 2400 MHz, int8 dot product: yes, float16: yes"
    assert facts["runtimes"].startswith("litert 2.3.0")
    assert "48.5 °C; clock 2400 MHz; throttled: no" in facts["sensors"]


def test_an_empty_root_is_described_as_unknown_and_not_as_broken(tmp_path: Path) -> None:
    report = diagnose(tmp_path)
    assert report.of("note", "warning", "problem") == ()
    missing = finding(report, "not measurable here")
    assert "temperature" in missing.what


def test_the_report_is_json(board: MakeBoard) -> None:
    report = diagnose(board().root, [Runtime("ncnn", ok=False, installed=False, reason="gone", hint="pip")])
    document = json.loads(json.dumps(report.to_dict()))
    assert document["schema"] == "piaccel.doctor/1"
    assert document["healthy"] is False
    assert document["board"]["model"] == "Raspberry Pi 5 Model B Rev 1.0"
    assert {each["name"]: each["value"] for each in document["sensors"]}["temperature_c"] == 48.5
    assert {each["severity"] for each in document["findings"]} == {"ok", "note", "problem"}


# Supply, heat, clock.


def test_under_voltage_now_names_the_boards_own_supply(board: MakeBoard) -> None:
    found = trouble(board("pi5", "trixie", "undervolted").root)
    assert [each.severity for each in found] == ["problem", "problem"]
    assert found[0].what == "under-voltage now"
    assert "5 A" in found[0].fix
    assert found[1].fix == "Mend the supply first."


@pytest.mark.parametrize(("kind", "amperes"), [("pi4", "3 A"), ("pi3b+", "2.5 A")])
def test_under_voltage_since_boot_is_a_warning(board: MakeBoard, kind: Kind, amperes: str) -> None:
    made = board(kind, "trixie")
    made.set(throttled=0x10000)
    assert amperes in expect(made.root, "warning", "under-voltage has happened since boot").fix


def test_throttling_now_says_how_hot_and_how_slow(board: MakeBoard) -> None:
    found = expect(board("pi4", "trixie", "throttled").root, "problem", "slowed down now")
    assert "clock capped at 80.6 °C, 1140 of 1800 MHz" in found.what
    assert "heat sink" in found.fix


def test_throttling_since_boot_is_a_warning(board: MakeBoard) -> None:
    made = board()
    made.set(throttled=0x60000)
    expect(made.root, "warning", "has been slowed down since boot: clock capped, throttled")


def test_the_soft_limit_of_a_3b_plus_has_its_own_cure(board: MakeBoard) -> None:
    found = expect(board("pi3b+", "trixie", "throttled").root, "problem", "soft temperature limit at 63.4 °C")
    assert "temp_soft_limit=70" in found.command


def test_a_hot_board_is_warned_before_it_throttles(board: MakeBoard) -> None:
    made = board()
    made.set(temp_c=76.4)
    expect(made.root, "warning", "76.4 °C")
    made.set(temp_c=74.0)
    assert trouble(made.root) == []


def test_a_low_clock_matters_only_under_load(board: MakeBoard) -> None:
    made = board()
    made.set(clock_hz=1_500_000_000)
    assert trouble(made.root) == []
    made.set(load=4.1)
    assert "arm_freq" in expect(made.root, "warning", "1500 of 2400 MHz under load").command


def test_a_low_clock_under_the_performance_governor_is_suspicious(board: MakeBoard) -> None:
    made = board("pi4", "trixie")
    made.set(clock_hz=600_000_000, governor="performance")
    expect(made.root, "warning", "600 of 1800 MHz")


def test_a_requested_clock_is_no_evidence(board: MakeBoard) -> None:
    made = board("pi4", "trixie")
    made.set(load=4.1)
    (made.root / "usr/bin/vcgencmd").unlink()
    made.write("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "600000\n")
    assert trouble(made.root) == []
    assert "clock 600 MHz (requested)" in finding(diagnose(made.root), "clock").what


def test_a_user_outside_the_group_video_gets_the_command(board: MakeBoard) -> None:
    made = board()
    made.close_firmware()
    found = expect(made.root, "warning", "throttling cannot be seen")
    assert found.command == 'sudo usermod -aG video "$USER"'
    assert "log out" in found.fix


def test_a_missing_vcgencmd_gets_the_command(board: MakeBoard) -> None:
    made = board()
    (made.root / "usr/bin/vcgencmd").unlink()
    assert expect(made.root, "warning", "vcgencmd is not installed").command == "sudo apt install raspi-utils"


# Operating system, CPU, page size.


def test_a_32_bit_userland_below_a_64_bit_kernel_is_a_problem(board: MakeBoard) -> None:
    made = board("pi4", "trixie")
    (made.root / "lib/ld-linux-aarch64.so.1").unlink()
    made.write("lib/ld-linux-armhf.so.3", "")
    assert "64-bit" in expect(made.root, "problem", "32-bit (below a 64-bit kernel)").fix


@pytest.mark.parametrize(
    ("version", "severity", "words"),
    [
        ("2.31-13+deb11u11", "warning", "glibc 2.31 is too old for the wheels of OpenVINO"),
        ("2.24-11+deb9u4", "problem", "glibc 2.24 is too old for the wheels of LiteRT"),
    ],
)
def test_an_old_glibc_names_the_wheels_that_will_not_install(
    board: MakeBoard, version: str, severity: str, words: str
) -> None:
    made = board()
    made.write("var/lib/dpkg/status", f"Package: libc6\nStatus: install ok installed\nVersion: {version}\n\n")
    expect(made.root, severity, words)


def test_a_foreign_cpuinfo_below_arm64_programs_is_a_problem(board: MakeBoard) -> None:
    made = board()
    made.write("proc/cpuinfo", "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Xeon\nflags\t\t: fpu sse2\n")
    assert "ONNX Runtime" in expect(made.root, "problem", "/proc/cpuinfo is not that of an ARM CPU").why


def test_16k_pages_are_a_note(board: MakeBoard) -> None:
    found = finding(diagnose(board().root), "16 KiB pages")
    assert found.severity == "note"
    assert "kernel=kernel8.img" in found.command


@pytest.mark.parametrize(
    ("governor", "severity"), [("ondemand", "note"), ("schedutil", "note"), ("powersave", "warning")]
)
def test_a_governor_that_moves_the_clock_gets_the_command(board: MakeBoard, governor: str, severity: str) -> None:
    made = board()
    made.set(governor=governor)
    found = finding(diagnose(made.root), f"governor {governor}" if severity == "warning" else f"is {governor}")
    assert found.severity == severity
    assert found.command.startswith("echo performance | sudo tee /sys/devices/system/cpu/cpufreq/")


def test_the_performance_governor_is_left_alone(board: MakeBoard) -> None:
    made = board()
    made.set(governor="performance")
    assert not [each for each in diagnose(made.root).findings if "governor" in each.what]


# Boot configuration and memory.


def test_gpu_mem_is_a_warning_where_it_takes_memory(board: MakeBoard) -> None:
    made = board("pi4", "trixie")
    made.write("boot/firmware/config.txt", "arm_64bit=1\n[all]\ngpu_mem=128\n")
    assert "memory.adoc" in expect(made.root, "warning", "gpu_mem=128 in config.txt takes memory").why


def test_the_cure_for_gpu_mem_comments_out_that_line_only(board: MakeBoard) -> None:
    made = board("pi4", "trixie")
    made.write("boot/firmware/config.txt", "gpu_mem=128\ngpu_mem_1024=16\n")
    command = expect(made.root, "warning", "gpu_mem=128").command
    file = made.root / "boot/firmware/config.txt"
    subprocess.run(
        command.removeprefix("sudo ").replace("/boot/firmware/config.txt", str(file)), shell=True, check=True
    )
    assert file.read_text() == "#gpu_mem=128\ngpu_mem_1024=16\n"


@pytest.mark.parametrize(
    "text", ["#gpu_mem=128\n", "gpu_mem=76\n", "[pi3]\ngpu_mem=128\n[all]\n", "[none]\ngpu_mem=256\n"]
)
def test_gpu_mem_that_is_small_or_does_not_apply_is_left_alone(board: MakeBoard, text: str) -> None:
    made = board("pi4", "trixie")
    made.write("boot/firmware/config.txt", text)
    assert trouble(made.root) == []


@pytest.mark.parametrize(
    ("kind", "section"),
    [("pi4", "pi4"), ("pi3b+", "pi3"), ("pi3b+", "pi3+"), ("zero2w", "pi0"), ("zero2w", "pi02"), ("pi4", "all")],
)
def test_a_setting_below_the_boards_own_filter_counts(board: MakeBoard, kind: Kind, section: str) -> None:
    made = board(kind, "trixie")
    made.write("boot/firmware/config.txt", f"[none]\n[{section}]\ngpu_mem=128\n")
    expect(made.root, "warning", "gpu_mem=128")


def test_gpu_mem_on_a_pi_5_is_a_note(board: MakeBoard) -> None:
    made = board("pi5")
    made.write("boot/firmware/config.txt", "gpu_mem=128\n")
    assert finding(diagnose(made.root), "gpu_mem=128 in config.txt has no effect").severity == "note"


def test_settings_in_the_old_config_file_are_a_warning(board: MakeBoard) -> None:
    made = board()
    made.write("boot/config.txt", "DO NOT EDIT THIS FILE\n\nThe file you are looking for has moved to ...\n")
    assert trouble(made.root) == []
    made.write("boot/config.txt", "dtparam=i2c_arm=on\n")
    expect(made.root, "warning", "/boot/config.txt has settings (dtparam=i2c_arm=on) that nothing reads")


def test_before_bookworm_the_old_config_file_is_the_right_one(board: MakeBoard) -> None:
    made = board("pi4", "trixie")
    (made.root / "boot/firmware/config.txt").unlink()
    made.write("boot/config.txt", "gpu_mem=256\n")
    assert expect(made.root, "warning", "gpu_mem=256").command.endswith(" /boot/config.txt")


def test_an_unmounted_boot_partition_is_a_warning(board: MakeBoard) -> None:
    made = board()
    (made.root / "boot/firmware/config.txt").unlink()
    assert expect(made.root, "warning", "no /boot/firmware/config.txt").command == "sudo mount /boot/firmware"


def test_pressure_figures_that_are_off_are_a_note(board: MakeBoard) -> None:
    made = board()
    assert "psi=1" in finding(diagnose(made.root), "(PSI) are off").command
    made.write("proc/pressure/memory", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n")
    assert not [each for each in diagnose(made.root).findings if "PSI" in each.what]


def test_memory_limits_that_do_not_bind_are_a_note(board: MakeBoard) -> None:
    made = board()
    assert finding(diagnose(made.root), "do not bind").severity == "note"
    made.write("proc/cmdline", "cgroup_disable=memory console=tty1 cgroup_enable=memory\n")
    assert not [each for each in diagnose(made.root).findings if "do not bind" in each.what]


def test_little_memory_left_is_a_warning(board: MakeBoard) -> None:
    made = board("zero2w", "trixie")
    made.set(memory_available_bytes=90 << 20)
    expect(made.root, "warning", "only 90 MiB")


@pytest.mark.parametrize(("kind", "mib"), [("zero2w", 512), ("pi3b+", 1024)])
def test_a_small_board_that_swaps_to_its_card_is_a_warning(board: MakeBoard, kind: Kind, mib: int) -> None:
    found = expect(board(kind, "bookworm").root, "warning", f"{mib} MiB of memory, and swap lies on the SD card")
    assert "zram" in found.command


def test_swap_on_the_card_of_a_trixie_board_is_cured_by_rpi_swap(board: MakeBoard) -> None:
    made = board("zero2w", "trixie")
    made.write("proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n/var/swap\tfile\t524272\t0\t-2\n")
    assert "/etc/rpi/swap.conf.d" in expect(made.root, "warning", "(/var/swap)").command


def test_swap_on_a_disk_is_left_alone(board: MakeBoard) -> None:
    made = board("pi3b+", "bookworm")
    made.write("proc/mounts", "/dev/sda2 / ext4 rw 0 0\n")
    assert trouble(made.root) == []


# Python, packages, runtimes.


@pytest.mark.parametrize(("version", "severity"), [("3.9", "problem"), ("3.14", "note")])
def test_a_python_without_wheels_is_told(board: MakeBoard, version: str, severity: str) -> None:
    made = board()
    (made.root / "usr/bin/python3").unlink()
    (made.root / "usr/bin/python3").symlink_to(f"python{version}")
    assert finding(diagnose(made.root), f"Python {version} is").severity == severity


def test_the_wrong_pycoral_is_recognised_and_googles_is_not(board: MakeBoard) -> None:
    made = board()
    made.install("pycoral", "0.2.0")
    assert "Allen Coral Atlas" in expect(made.root, "warning", "pycoral 0.2.0").what


def test_googles_pycoral_is_left_alone(board: MakeBoard) -> None:
    made = board()
    made.install("pycoral", "2.0.3")
    assert trouble(made.root) == []


def test_what_a_broken_uninstall_left_behind_is_passed_over(board: MakeBoard) -> None:
    made = board()
    made.write("usr/local/lib/python3.11/dist-packages/pycoral-0.2.0.dist-info/RECORD", "")
    assert trouble(made.root) == []


def test_tflite_runtime_without_its_successor_is_a_warning(board: MakeBoard) -> None:
    made = board()
    made.install("tflite-runtime", "2.14.0")
    expect(made.root, "warning", "only tflite-runtime 2.14.0")
    made.install("ai-edge-litert", "2.3.0")
    assert trouble(made.root) == []


def test_openvino_dev_is_a_warning(board: MakeBoard) -> None:
    made = board()
    made.install("openvino-dev", "2024.6.0")
    expect(made.root, "warning", "openvino-dev 2024.6.0")


def test_numpy_2_in_front_of_bookworms_camera_packages_is_a_problem(board: MakeBoard) -> None:
    made = board("pi5", "bookworm")
    made.install("numpy", "2.4.6")
    found = expect(made.root, "problem", "NumPy 2.4.6 does not go with the system's simplejpeg 1.8.1")
    assert "simplejpeg" in found.command
    made.install("simplejpeg", "1.9.0")
    assert trouble(made.root) == []


def test_numpy_2_on_trixie_goes_with_its_camera_packages(board: MakeBoard) -> None:
    made = board("pi5", "trixie")
    made.install("numpy", "2.5.5")
    assert trouble(made.root) == []
