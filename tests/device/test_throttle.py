"""Throttle flags in words."""

from __future__ import annotations

from piaccel.device.throttle import Throttled


def test_a_clean_board_says_no() -> None:
    flags = Throttled(0)
    assert not flags
    assert str(flags) == "no"
    assert (flags.now, flags.since_boot) == ((), ())


def test_each_bit_has_its_word() -> None:
    flags = Throttled(0xF000F)
    words = ("under-voltage", "clock capped", "throttled", "soft temperature limit")
    assert flags.now == flags.since_boot == words
    assert (flags.under_voltage, flags.capped, flags.throttled, flags.soft_limit) == (True,) * 4


def test_a_field_capture_reads_as_a_sentence() -> None:
    assert str(Throttled(0x60002)) == "clock capped now, throttled since boot"
    assert str(Throttled(0x50000)) == "under-voltage since boot, throttled since boot"


def test_what_had_happened_before_the_baseline_does_not_count() -> None:
    assert not Throttled(0x50000).new_since(Throttled(0x50000))
    assert Throttled(0x70000).new_since(Throttled(0x50000)) == Throttled(0x20000)


def test_what_holds_now_counts_even_when_it_held_at_the_baseline() -> None:
    assert Throttled(0x20002).new_since(Throttled(0x20002)) == Throttled(0x2)
