"""What a Raspberry Pi 5 and its supply have agreed on, and what that leaves for USB."""

from __future__ import annotations

from pathlib import Path

from piaccel.device.doctor import diagnose
from piaccel.testing.fake_board import FakeBoard
from tests.device.examined import expect, mentioned, trouble


def test_five_amperes_are_a_fact(tmp_path: Path) -> None:
    (found,) = mentioned(FakeBoard(tmp_path, "pi5").root, "supply 5 A, USB 1600 mA")
    assert found.severity == "ok"


def test_three_amperes_limit_usb_which_matters_to_a_coral(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5")
    board.set(supply_ma=3000)
    assert trouble(board.root) == []
    assert [each.severity for each in mentioned(board.root, "600 mA, because")] == ["note"]
    board.plug("coral-usb")
    found = expect(board.root, "warning", "all USB devices together may draw 600 mA")
    assert "900 mA" in found.why
    assert "usb_max_current_enable=1" in found.command


def test_a_limit_that_was_lifted_by_hand_is_a_note(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5")
    board.set(supply_ma=3000)
    board.write_bytes("proc/device-tree/chosen/power/usb_max_current_enable", (1).to_bytes(4, "big"))
    board.write("boot/firmware/config.txt", "camera_auto_detect=1\nusb_max_current_enable=1\n")
    assert [each.severity for each in mentioned(board.root, "USB may draw 1.6 A")] == ["note"]


def test_a_supply_of_a_telephone_is_a_warning(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5")
    board.set(supply_ma=900)
    assert "27 W" in expect(board.root, "warning", "promises 0.9 A only").fix


def test_usb_that_was_cut_off_is_a_warning(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5")
    board.write_bytes("proc/device-tree/chosen/power/usb_over_current_detected", (1).to_bytes(4, "big"))
    assert "hub" in expect(board.root, "warning", "USB devices drew too much current").fix


def test_boards_that_do_not_tell_are_not_asked(tmp_path: Path) -> None:
    assert "power" not in {each.section for each in diagnose(FakeBoard(tmp_path, "pi4").root).findings}
