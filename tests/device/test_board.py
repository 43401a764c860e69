"""Board detection on fake boards, small trees and this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from piaccel.device.board import detect
from piaccel.errors import NotFoundError
from piaccel.testing.captures import Kind
from piaccel.testing.fake_board import FakeBoard

GIB = 1 << 30


@pytest.mark.parametrize(
    ("kind", "model", "soc", "cpu", "ram", "hertz", "page", "dotprod"),
    [
        ("zero2w", "Raspberry Pi Zero 2 W Rev 1.0", "BCM2837", "Cortex-A53", GIB // 2, 1.0e9, 4096, False),
        ("pi3b+", "Raspberry Pi 3 Model B Plus Rev 1.3", "BCM2837", "Cortex-A53", GIB, 1.4e9, 4096, False),
        ("pi4", "Raspberry Pi 4 Model B Rev 1.5", "BCM2711", "Cortex-A72", 4 * GIB, 1.8e9, 4096, False),
        ("pi5", "Raspberry Pi 5 Model B Rev 1.0", "BCM2712", "Cortex-A76", 8 * GIB, 2.4e9, 16384, True),
    ],
)
def test_a_raspberry_pi_is_described(
    tmp_path: Path, kind: Kind, model: str, soc: str, cpu: str, ram: int, hertz: float, page: int, dotprod: bool
) -> None:
    board = detect(FakeBoard(tmp_path, kind).root)
    assert (board.model, board.soc, board.cpu) == (model, soc, cpu)
    assert (board.ram_bytes, board.max_freq_hz, board.page_size) == (ram, hertz, page)
    assert (board.dotprod, board.fp16) == (dotprod, dotprod)
    assert board.memory_total_bytes is not None
    assert board.memory_total_bytes < ram
    assert board.governor == "ondemand"
    assert board.os_name == "Raspberry Pi OS (Debian GNU/Linux 12 (bookworm))"


def test_a_pi_5_on_the_4k_kernel_has_4k_pages(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5")
    board.write("proc/sys/kernel/osrelease", "6.12.47+rpt-rpi-v8\n")
    assert detect(board.root).page_size == 4096


def test_the_kernel_is_found_in_proc_version_too(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5")
    (board.root / "proc/sys/kernel/osrelease").unlink()
    assert detect(board.root).kernel == "6.12.47+rpt-rpi-2712"


def test_the_firmwares_word_on_memory_beats_the_revision_code(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5")
    (board.root / "proc/device-tree/chosen").mkdir(exist_ok=True)
    (board.root / "proc/device-tree/chosen/rpi-sdram-size-gbit").write_bytes((128).to_bytes(4, "big"))
    assert detect(board.root).ram_bytes == 16 * GIB


def test_device_tree_is_also_found_in_sysfs(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi4")
    (board.root / "sys/firmware/devicetree").mkdir(parents=True)
    (board.root / "proc/device-tree").rename(board.root / "sys/firmware/devicetree/base")
    assert detect(board.root).model == "Raspberry Pi 4 Model B Rev 1.5"


def test_without_device_tree_the_revision_code_names_the_board(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("processor\t: 0\nHardware\t: BCM2835\nRevision\t: c03112\n")
    board = detect(tmp_path)
    assert (board.model, board.soc, board.cores) == ("Raspberry Pi 4 Model B", "BCM2711", 1)
    assert board.is_pi


def test_a_32_bit_system_on_a_64_bit_kernel_is_told_apart(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi4")
    (board.root / "lib/ld-linux-aarch64.so.1").unlink()
    board.write("lib/ld-linux-armhf.so.3", "")
    found = detect(board.root)
    assert (found.architecture, found.process_bits) == ("aarch64", 32)


def test_a_32_bit_kernel_is_named(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi3b+")
    board.write("proc/sys/kernel/osrelease", "6.12.47+rpt-rpi-v7\n")
    assert detect(board.root).architecture == "armv7l"
    assert detect(board.root).page_size == 4096


def test_an_empty_root_knows_nothing_and_claims_nothing(tmp_path: Path) -> None:
    stated = {key: value for key, value in detect(tmp_path).to_dict().items() if value is not None}
    assert stated == {"is_pi": False, "cpu_features": []}


def test_this_machine_is_described_from_its_own_kernel() -> None:
    board = detect("/")
    assert board.kernel == os.uname().release
    assert board.architecture == os.uname().machine
    assert board.page_size == os.sysconf("SC_PAGESIZE")
    assert board.process_bits == (64 if sys.maxsize > 2**32 else 32)
    assert board.cores is not None
    assert board.cores >= 1
    assert board.cpu_features


def test_the_fingerprint_differs_when_the_conditions_differ(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5")
    before = detect(board.root).fingerprint()
    assert before == detect(board.root).fingerprint()
    board.set(governor="performance")
    after = detect(board.root).fingerprint()
    assert {key for key in before if before[key] != after[key]} == {"governor"}
    assert json.loads(json.dumps(before)) == before


def test_a_missing_root_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="nowhere: no such folder"):
        detect(tmp_path / "nowhere")


def test_the_device_seam_loads_only_the_standard_library() -> None:
    code = (
        "import sys, piaccel.device, piaccel.device.board, piaccel.device.sensors\n"
        "print([name for name in ('psutil', 'rich', 'typer', 'cv2', 'msgspec') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
