"""Revision codes, against the table in Raspberry Pi's documentation (revision-codes.adoc)."""

from __future__ import annotations

import pytest

from piaccel.device.revision import Revision, decode

MIB = 1 << 20


@pytest.mark.parametrize(
    ("codes", "model", "soc", "mib"),
    [
        ("a02082", "3 Model B", "BCM2837", 1024),
        ("a020d3 a020d4", "3 Model B Plus", "BCM2837", 1024),
        ("902120", "Zero 2 W", "BCM2837", 512),
        ("a03111", "4 Model B", "BCM2711", 1024),
        ("b03111 b03112 b03114 b03115", "4 Model B", "BCM2711", 2048),
        ("c03111 c03112 c03114 c03115", "4 Model B", "BCM2711", 4096),
        ("d03114 d03115", "4 Model B", "BCM2711", 8192),
        ("c03130", "400", "BCM2711", 4096),
        ("a03140", "Compute Module 4", "BCM2711", 1024),
        ("a04171", "5 Model B", "BCM2712", 1024),
        ("b04170 b04171", "5 Model B", "BCM2712", 2048),
        ("c04170 c04171", "5 Model B", "BCM2712", 4096),
        ("d04170 d04171", "5 Model B", "BCM2712", 8192),
        ("e04171", "5 Model B", "BCM2712", 16384),
        ("b04180", "Compute Module 5", "BCM2712", 2048),
        ("d04190", "500", "BCM2712", 8192),
        ("e04190", "500", "BCM2712", 16384),
        ("b041a0", "Compute Module 5 Lite", "BCM2712", 2048),
    ],
)
def test_a_code_states_model_soc_and_memory(codes: str, model: str, soc: str, mib: int) -> None:
    for code in codes.split():
        assert decode(code) == Revision(model, f"1.{code[-1]}", soc, mib * MIB)


def test_flags_above_the_fields_do_not_change_the_answer() -> None:
    assert decode("2a02082") == decode("a02082")  # the warranty bit
    assert decode("c0a03111") == decode("a03111")  # overvoltage disallowed, OTP not readable


def test_the_memory_field_seven_says_unknown() -> None:
    assert decode("f04171") == Revision("5 Model B", "1.1", "BCM2712", None)


@pytest.mark.parametrize("code", ["000e", "100000e"])
def test_an_old_sequential_code_is_looked_up(code: str) -> None:
    assert decode(code) == Revision("B", "2.0", "BCM2835", 512 * MIB)


def test_an_old_code_made_with_two_memory_sizes_does_not_guess() -> None:
    assert decode("0015") == Revision("A+", "1.1", "BCM2835", None)


@pytest.mark.parametrize("code", ["", "0000", "pi"])
def test_what_is_no_code_is_none(code: str) -> None:
    assert decode(code) is None


def test_a_board_type_from_the_future_keeps_the_fields_that_are_known() -> None:
    assert decode("d05ff3") == Revision(None, "1.3", None, 8192 * MIB)
