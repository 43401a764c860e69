"""A tree whose files are damaged, of another kind or closed: the machine is described without them, and soon."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from piaccel.device.doctor import diagnose
from piaccel.device.sensors import find
from piaccel.device.tree import Tree
from piaccel.device.vcgencmd import Vcgencmd
from piaccel.errors import UnavailableError
from piaccel.testing.captures import Kind
from piaccel.testing.fake_accelerators import Plugged
from piaccel.testing.fake_board import FakeBoard


def _garbage(path: Path) -> None:
    path.write_bytes(random.Random(path.name).randbytes(300))


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _huge(path: Path) -> None:
    os.truncate(path, 3 << 30)  # holds nothing, so it takes no room on the disk


def _endless(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def _digits(path: Path) -> None:
    path.write_text("9" * 5000)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [_garbage, _pipe, _folder, _huge, _endless, _digits, _empty])
@pytest.mark.parametrize(
    ("kind", "plugged"), [("pi3b+", ["coral-usb"]), ("pi5", ["hailo8l", "hailo10h", "imx500", "coral-pcie", "ncs2"])]
)
def test_damaged_files_never_stop_the_doctor(
    tmp_path: Path, kind: Kind, plugged: list[Plugged], damage: Callable[[Path], None]
) -> None:
    root = FakeBoard(tmp_path / "board", kind, accelerators=plugged).root
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_symlink() and not path.name.startswith("python"):
            damage(path)
    report = diagnose(root)
    json.dumps(report.to_dict(), allow_nan=False)
    assert report.board.model is None or damage is _garbage or damage is _digits


@pytest.mark.parametrize("damage", [_garbage, _pipe, _folder, _digits, _empty])
def test_one_damaged_file_of_an_accelerator_never_stops_the_doctor(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    plain = {path.relative_to(tmp_path / "plain") for path in FakeBoard(tmp_path / "plain").root.rglob("*")}
    root = FakeBoard(tmp_path / "board", accelerators=["hailo8l", "coral-usb"]).root
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.relative_to(root) not in plain:
            whole = path.read_bytes()
            damage(path)
            json.dumps(diagnose(root).to_dict(), allow_nan=False)
            path.rmdir() if path.is_dir() else path.unlink()
            path.write_bytes(whole)


def test_an_empty_folder_is_a_machine_nothing_is_known_of(tmp_path: Path) -> None:
    report = diagnose(tmp_path)
    assert report.board.model is None
    assert all(sensor.value is None for sensor in report.sensors)


@pytest.mark.parametrize("answer", ["nan", "inf", "0x", "0x" + "f" * 400, "1e999", ""])
def test_what_the_firmware_says_is_a_number_or_nothing(tmp_path: Path, answer: str) -> None:
    board = FakeBoard(tmp_path, "pi4")
    board.answer("get_throttled", f"throttled={answer}")
    board.answer("measure_clock arm", f"frequency(48)={answer}")
    (board.root / "sys/devices/platform/soc/soc:firmware/get_throttled").unlink()
    sensors = find(board.root)
    assert sensors["throttled"].read() is None
    assert sensors["throttled"].reason
    assert diagnose(board.root).board.model == "Raspberry Pi 4 Model B Rev 1.5"


def test_a_vcgencmd_for_another_machine_is_a_reason(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5")
    board.write("usr/bin/vcgencmd", "\x7fELF")
    (board.root / "usr/bin/vcgencmd").chmod(0o755)
    with pytest.raises(UnavailableError, match="Exec format error"):
        Vcgencmd(Tree(board.root)).ask("get_throttled")


def test_firmware_that_hangs_is_waited_for_only_once(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5")
    board.write("usr/bin/vcgencmd", "#!/bin/sh\nexec sleep 60\n")
    (board.root / "usr/bin/vcgencmd").chmod(0o755)
    firmware = Vcgencmd(Tree(board.root), timeout_s=0.05)
    with pytest.raises(UnavailableError, match="did not answer within"):
        firmware.ask("get_throttled")
    (board.root / "usr/bin/vcgencmd").unlink()
    before = time.monotonic()
    with pytest.raises(UnavailableError, match="did not answer within"):  # not asked: it would be missing
        firmware.ask("get_throttled")
    assert time.monotonic() - before < 10


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_closed_folders_never_stop_the_doctor(tmp_path: Path) -> None:
    root = FakeBoard(tmp_path / "board", "pi5", accelerators=["hailo8l", "coral-usb", "imx500"]).root
    names = ("boot", "proc", "sys/class", "sys/bus/pci", "sys/bus/usb/devices/2-1", "usr/bin", "usr/lib", "dev", "etc")
    closed = [root / name for name in names]
    try:
        for folder in closed:
            folder.chmod(0)
        assert diagnose(root).sensors
    finally:
        for folder in closed:
            folder.chmod(0o755)
