"""Every board and both releases, from the first plan to the way back."""

from __future__ import annotations

import shutil
import subprocess
from itertools import product
from pathlib import Path
from typing import get_args

import pytest

from piaccel.device import bootconfig, tuning
from piaccel.device.board import detect
from piaccel.device.revision import decode
from piaccel.errors import OptionError
from piaccel.testing.captures import PROFILES, Kind, OperatingSystem
from piaccel.testing.fake_accelerators import Plugged
from piaccel.testing.fake_board import FakeBoard
from tests.device.tuning.trees import snapshot

BOARDS = list(product(get_args(Kind), get_args(OperatingSystem)))


def lever(root: Path, name: str) -> tuning.Lever:
    return next(each for each in tuning.levers(root) if each.name == name)


def config(root: Path) -> str:
    return (root / "boot/firmware/config.txt").read_text()


@pytest.mark.parametrize(("kind", "release"), BOARDS)
def test_apply_changes_a_board_once_and_revert_restores_it_byte_for_byte(
    tmp_path: Path, kind: Kind, release: OperatingSystem
) -> None:
    root = FakeBoard(tmp_path / "pi", kind, os=release).root
    before = snapshot(root)
    plan = tuning.plan(root)
    assert snapshot(root) == before, "a plan changes nothing"
    assert not plan.empty
    assert plan.apply().failed == ()
    applied = snapshot(root)
    assert applied != before
    again = tuning.plan(root)
    assert again.empty
    again.apply()
    assert snapshot(root) == applied, "the journal too"
    assert tuning.revert(root).refused == {}
    assert snapshot(root) == before


@pytest.mark.parametrize(("kind", "release"), BOARDS)
def test_every_lever_that_is_not_refused_can_be_asked_for_and_taken_back(
    tmp_path: Path, kind: Kind, release: OperatingSystem
) -> None:
    root = FakeBoard(tmp_path / "pi", kind, os=release).root
    before = snapshot(root)
    names = [each.name for each in tuning.levers(root) if not each.refused]
    tuning.plan(root, names).apply()
    still = [each.name for each in tuning.levers(root) if each.name in names and not each.refused]
    assert set(names) - set(still) <= {"log-size"}, "of no use beside logs in memory"
    assert tuning.plan(root, still).empty
    tuning.revert(root)
    assert snapshot(root) == before


@pytest.mark.parametrize(("kind", "release"), BOARDS)
def test_every_lever_says_why_and_where_that_is_from(tmp_path: Path, kind: Kind, release: OperatingSystem) -> None:
    root = FakeBoard(tmp_path / "pi", kind, os=release).root
    found = tuning.levers(root)
    assert len({each.name for each in found}) == len(found)
    for each in found:
        assert each.what
        assert each.why
        assert each.source
        assert not (each.refused and each.changes)


@pytest.mark.parametrize("kind", get_args(Kind))
def test_a_board_is_what_its_revision_code_says(kind: Kind) -> None:
    profile = PROFILES[kind]
    revision = decode(profile.revision)
    assert revision is not None
    assert revision.model is not None
    assert revision.model in profile.model
    assert revision.soc in ("BCM2837", profile.compatible[1].removeprefix("brcm,").upper())


@pytest.mark.parametrize("kind", ["pi4", "pi400", "pi5", "cm5"])
def test_gpu_mem_128_is_refused_with_the_reason(tmp_path: Path, kind: Kind) -> None:
    root = FakeBoard(tmp_path / "pi", kind).root
    assert ("no effect" if kind in ("pi5", "cm5") else "can harm") in lever(root, "gpu-mem").refused
    with pytest.raises(OptionError, match="gpu-mem is refused here"):
        tuning.plan(root, ["gpu-mem"])


def test_gpu_mem_128_that_somebody_set_is_commented_out_on_a_pi_4_where_it_holds(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path / "pi", "pi4")
    board.write(
        "boot/firmware/config.txt", "# mine\n[pi3]\ngpu_mem=512\n[pi4]\n  gpu_mem=128 # AI\n[all]\ngpu_mem_1024=76\n"
    )
    assert lever(board.root, "gpu-mem").now == "gpu_mem=128, gpu_mem_1024=76"
    tuning.plan(board.root, ["gpu-mem"]).apply()
    assert config(board.root) == "# mine\n[pi3]\ngpu_mem=512\n[pi4]\n#  gpu_mem=128 # AI\n[all]\ngpu_mem_1024=76\n"


def test_overclocking_is_printed_and_never_done(tmp_path: Path) -> None:
    root = FakeBoard(tmp_path / "pi", "pi5").root
    assert "arm_freq=" in lever(root, "overclock").refused
    assert lever(root, "overclock").changes == ()


def test_swappiness_goes_by_the_kind_of_swap(tmp_path: Path) -> None:
    card = FakeBoard(tmp_path / "card", "pi4", os="bookworm")
    zram = FakeBoard(tmp_path / "zram", "pi4", os="trixie")
    assert lever(card.root, "swappiness").recommended == "1"
    assert lever(zram.root, "swappiness").recommended == "100"
    assert "zram" in lever(zram.root, "swappiness-1").refused
    zram.write("proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n")
    assert "no effect" in lever(zram.root, "swappiness").refused
    zram.write("proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n/dev/nvme0n1p3 partition 1 0 -2\n")
    assert lever(zram.root, "swappiness").recommended is None


def test_swap_grows_on_a_small_bookworm_board_and_keeps_the_comments(tmp_path: Path) -> None:
    root = FakeBoard(tmp_path / "pi", "zero2w", os="bookworm").root
    before = (root / "etc/dphys-swapfile").read_text()
    tuning.plan(root, ["swap"]).apply()
    assert (root / "etc/dphys-swapfile").read_text() == before.replace("=512", "=1024")
    assert lever(FakeBoard(tmp_path / "big", "pi5").root, "swap").recommended is None


def test_a_bare_swap_file_on_trixie_becomes_compressed_memory_by_a_drop_in(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path / "pi", "pi3b+", os="trixie")
    assert lever(board.root, "swap").recommended is None
    board.write("etc/rpi/swap.conf.d/10-mine.conf", "[Main]\nMechanism=swapfile\n")
    assert lever(board.root, "swap").now == "swapfile"
    tuning.plan(board.root, ["swap"]).apply()
    assert lever(board.root, "swap").now == "auto"
    assert (board.root / "etc/rpi/swap.conf.d/10-mine.conf").exists()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_accepts_the_governors_service(tmp_path: Path) -> None:
    root = FakeBoard(tmp_path / "pi", "pi5").root
    tuning.plan(root, ["governor"]).apply()
    unit = root / "etc/systemd/system/piaccel-governor.service"
    said = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert (said.returncode, said.stderr) == (0, "")


def test_a_hailo_at_generation_2_gets_generation_3_and_one_at_3_is_left(tmp_path: Path) -> None:
    slow = FakeBoard(tmp_path / "slow", "pi5")
    slow.plug("hailo8", speed="5.0 GT/s PCIe")
    tuning.plan(slow.root, ["pcie-gen"]).apply()
    assert config(slow.root).endswith("[all]\ndtparam=pciex1_gen=3\n")
    fast = FakeBoard(tmp_path / "fast", "pi5", accelerators=["hailo8"])
    assert lever(fast.root, "pcie-gen").recommended is None
    assert "no PCIe" in lever(FakeBoard(tmp_path / "old", "pi4").root, "pcie-gen").refused


def test_usb_current_is_raised_only_when_asked_for(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path / "pi", "pi5")
    assert tuning.plan(board.root, ["usb-current"]).empty
    board.set(supply_ma=3000)
    assert lever(board.root, "usb-current").now == "600 mA"
    assert "usb-current" not in [each.name for each in tuning.plan(board.root).levers]
    tuning.plan(board.root, ["usb-current"]).apply()
    assert ("usb_max_current_enable", "1") in bootconfig.settings(config(board.root), detect(board.root))


def test_contiguous_memory_grows_for_a_camera_on_a_small_board_and_never_on_a_pi_5(tmp_path: Path) -> None:
    small = FakeBoard(tmp_path / "small", "zero2w", accelerators=["imx500"])
    assert lever(small.root, "cma").recommended == "128 MiB"
    tuning.plan(small.root, ["cma"]).apply()
    assert "dtoverlay=cma,cma-128\n" in config(small.root)
    assert "gains nothing" in lever(FakeBoard(tmp_path / "5", "pi5", accelerators=["imx500"]).root, "cma").refused
    assert lever(FakeBoard(tmp_path / "4", "pi4").root, "cma").recommended is None


@pytest.mark.parametrize(
    ("kind", "now", "word"),
    [("hailo8", "powersave", "pcie_aspm.policy=performance"), ("coral-pcie", "pcie_aspm=off", "pcie_aspm=off")],
)
def test_the_sleep_of_pcie_is_a_matter_of_purpose_where_an_accelerator_is_on_it(
    tmp_path: Path, kind: Plugged, now: str, word: str
) -> None:
    root = FakeBoard(tmp_path / "pi", "pi5", accelerators=[kind]).root
    sleep = lever(root, "pcie-aspm")
    assert (sleep.now, sleep.recommended, sleep.opt_in) == (now, word, True)
    tuning.plan(root, ["pcie-aspm"]).apply()
    assert word in (root / "boot/firmware/cmdline.txt").read_text().split()
    assert "pcie-aspm" not in {each.name for each in tuning.levers(FakeBoard(tmp_path / "bare", "pi5").root)}


def test_pages_of_4_kib_are_recommended_only_for_a_coral_on_pcie(tmp_path: Path) -> None:
    plain = FakeBoard(tmp_path / "plain", "pi5").root
    assert lever(plain, "page-size").recommended is None
    assert lever(plain, "page-size").opt_in
    coral = FakeBoard(tmp_path / "coral", "pi5", accelerators=["coral-pcie"]).root
    (coral / "boot/firmware/config.txt").write_text("[cm5]\notg_mode=1")
    assert lever(coral, "page-size").recommended == "4 KiB"
    tuning.plan(coral).apply()
    assert config(coral) == "[cm5]\notg_mode=1\n[all]\nkernel=kernel8.img\n"
    assert "always" in lever(FakeBoard(tmp_path / "4", "pi4").root, "page-size").refused


def test_matters_of_purpose_are_shown_but_not_in_the_plan(tmp_path: Path) -> None:
    root = FakeBoard(tmp_path / "pi", "pi4").root
    purposes = {each.name for each in tuning.levers(root) if each.opt_in and not each.refused}
    assert {"isolation", "irq-affinity", "watchdog", "logs"} <= purposes
    assert not purposes & {each.name for each in tuning.plan(root).levers}
    assert {each.name for each in tuning.plan(root, ["isolation", "logs"]).levers} == {"isolation", "logs"}


def test_isolation_names_its_price_and_nohz_full_needs_a_kernel_that_has_it(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path / "pi", "pi5")
    assert "25 %" in lever(board.root, "isolation").risk
    assert "CONFIG_NO_HZ_FULL" in lever(board.root, "nohz-full").refused
    board.write(f"boot/config-{board.kernel}", "CONFIG_NO_HZ=y\nCONFIG_NO_HZ_FULL=y\n")
    tuning.plan(board.root, ["isolation", "irq-affinity", "nohz-full"]).apply()
    line = (board.root / "boot/firmware/cmdline.txt").read_text()
    assert line.endswith(" rootwait isolcpus=3 irqaffinity=0-2 nohz_full=3\n")
    assert line.count("\n") == 1


def test_a_watchdog_and_a_volatile_log_that_the_system_has_are_left(tmp_path: Path) -> None:
    bookworm = FakeBoard(tmp_path / "12", "pi4", os="bookworm").root
    trixie = FakeBoard(tmp_path / "13", "pi4", os="trixie").root
    assert lever(bookworm, "watchdog").now == "off"
    assert lever(trixie, "watchdog").now == "1m"
    assert tuning.plan(trixie, ["watchdog", "logs"]).empty
    tuning.plan(bookworm, ["watchdog", "logs", "log-size"]).apply()
    assert lever(bookworm, "watchdog").now == "1m"
    assert lever(bookworm, "logs").now == "volatile"


def test_a_service_without_a_published_cost_is_named_but_not_recommended(tmp_path: Path) -> None:
    root = FakeBoard(tmp_path / "pi", "pi4", os="bookworm").root
    services = [each for each in tuning.levers(root) if each.name.startswith("service-")]
    assert {each.name for each in services} >= {"service-bluetooth", "service-modemmanager"}
    assert all(each.recommended is None and each.opt_in and "not published" in each.why for each in services)


def test_a_command_on_another_machines_tree_is_written_down_and_not_run(tmp_path: Path) -> None:
    root = FakeBoard(tmp_path / "pi", "pi4").root
    before = snapshot(root)
    plan = tuning.plan(root, ["service-bluetooth"])
    assert plan.to_dict()["commands"][0]["run"] is False
    assert plan.apply().not_run == ("systemctl disable --now bluetooth.service",)
    assert tuning.status(root).not_run == ("systemctl disable --now bluetooth.service",)
    assert tuning.plan(root, ["service-bluetooth"]).empty
    tuning.revert(root)
    assert snapshot(root) == before


def test_a_board_without_its_boot_partition_is_told_so(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path / "pi", "pi5")
    (board.root / "boot/firmware/config.txt").unlink()
    (board.root / "boot/firmware/cmdline.txt").unlink()
    assert "not mounted" in lever(board.root, "psi").refused
    assert "not mounted" in lever(board.root, "page-size").refused
    assert not [each for each in tuning.plan(board.root).files if each.path.startswith("boot")]


def test_a_machine_that_is_no_raspberry_pi_has_no_levers_of_the_firmware(tmp_path: Path) -> None:
    (tmp_path / "pc/proc").mkdir(parents=True)
    names = {each.name for each in tuning.levers(tmp_path / "pc")}
    assert not names & {"gpu-mem", "cma", "pcie-gen", "psi", "isolation"}
    assert "governed" in lever(tmp_path / "pc", "governor").refused


@pytest.mark.parametrize("data", [b"", b"\xff\xfe\0\n[", b"9" * 5000, b"= \n[\n/dev/zram0 x y z\nCONF_SWAPSIZE=\n" * 3])
def test_files_full_of_nonsense_are_told_or_passed_over(tmp_path: Path, data: bytes) -> None:
    root = FakeBoard(tmp_path / "pi", "pi5", accelerators=["hailo8", "imx500"]).root
    inside = [each for each in root.rglob("*") if each.is_file() and not each.is_symlink()]  # links lead out of it
    for path in [each for each in inside if "device-tree/model" not in str(each)]:
        path.write_bytes(data)
    before = snapshot(root)
    for only in (None, [each.name for each in tuning.levers(root) if not each.refused]):
        tuning.plan(root, only).apply()
        tuning.revert(root)
        assert snapshot(root) == before


def test_an_unknown_lever_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no lever is called 'gouvernor'") as caught:
        tuning.plan(FakeBoard(tmp_path / "pi", "pi5").root, ["gouvernor"])
    assert "governor, " in caught.value.hint
