"""INA chips asked over I2C by their registers."""

import ctypes
import errno
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from piaccel.device import power
from piaccel.device.power import i2c
from piaccel.device.power.source import PowerSource
from piaccel.device.tree import Tree
from piaccel.errors import OptionError, UnavailableError

Registers = dict[int, int]


def chip(registers: Registers) -> Callable[[int, int], int]:
    """A bus with one chip at 0x40."""

    def word(address: int, register: int) -> int:
        if address != 0x40:
            raise OSError(errno.EREMOTEIO, "Remote I/O error")
        return registers[register]

    return word


def named(given: str, registers: Registers, root: Path = Path("/")) -> PowerSource:
    return i2c.named(Tree(root), given, chip(registers))


def test_an_ina219_reads_steps_of_10_microvolts_and_4_millivolts() -> None:
    registers = {0: 0x399F, 1: 8000, 2: 1275 << 3 | 0b10}  # 80 mV, 5.1 V, "conversion ready"
    source = named("i2c:ina219@1:0x40,shunt=0.1", registers)
    assert source.read() == pytest.approx(0.8 * 5.1)
    assert source.uncertainty == pytest.approx(0.0173, rel=0.01)
    assert "shunt 100 mOhm as given" in source.accuracy


def test_an_ina226_reads_steps_of_2_5_microvolts_and_1_25_millivolts() -> None:
    source = named("i2c:ina226@1:0x40,shunt=0.01", {0xFE: 0x5449, 0xFF: 0x2260, 1: 4000, 2: 4080})
    assert source.read() == pytest.approx(1.0 * 5.1)


def test_an_ina3221_reads_the_channel_that_is_named() -> None:
    registers = {0xFE: 0x5449, 0xFF: 0x3220, 3: 1250 << 3, 4: 640 << 3, 1: 0, 2: 0}
    source = named("i2c:ina3221/2@1:0x40,shunt=0.1", registers)
    assert source.read() == pytest.approx(0.5 * 5.12)


def test_another_chip_at_the_address_is_not_taken_for_it() -> None:
    with pytest.raises(UnavailableError, match="another chip"):
        named("i2c:ina226@1:0x40,shunt=0.01", {0xFE: 0x5449, 0xFF: 0x3220})


@pytest.mark.parametrize(
    ("shunt", "bus", "words"),
    [(0x10000 - 800, 1275 << 3, "backwards"), (32000, 1275 << 3, "end of its range"), (800, 0, "not in the feed")],
)
def test_a_reading_that_cannot_be_is_none(shunt: int, bus: int, words: str) -> None:
    source = named("i2c:ina219@1:0x40,shunt=0.1", {0: 0, 1: shunt, 2: bus})
    assert source.read() is None
    assert words in source.reason


def test_an_address_where_nothing_answers_is_told() -> None:
    with pytest.raises(UnavailableError, match="nothing answers at 0x41") as caught:
        named("i2c:ina219@1:0x41,shunt=0.1", {})
    assert "i2cdetect" in caught.value.hint


@pytest.mark.parametrize(
    ("code", "words"), [(errno.EBUSY, "kernel driver"), (errno.EACCES, "may not"), (errno.ENOTTY, "Inappropriate")]
)
def test_each_refusal_of_the_system_has_words(code: int, words: str) -> None:
    def word(address: int, register: int) -> int:
        raise OSError(code, os.strerror(code))

    with pytest.raises(UnavailableError, match=words):
        i2c.named(Tree("/"), "i2c:ina219@1:0x40,shunt=0.1", word)


def test_a_bus_that_is_not_there_and_one_that_is_no_bus_are_told(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="no such I2C bus") as caught:
        power.find(tmp_path, "i2c:ina219@1:0x40,shunt=0.1")
    assert "i2c_arm" in caught.value.hint
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/i2c-1").write_text("")
    with pytest.raises(UnavailableError, match="Inappropriate ioctl"):
        power.find(tmp_path, "i2c:ina219@1:0x40,shunt=0.1")


@pytest.mark.parametrize(
    "given",
    [
        "i2c:ina219@1:0x40",
        "i2c:ina219@1:0x40,shunt=small",
        "i2c:ina219@1:0x40,shunt=100",
        "i2c:ina219@1:0x40,shunt=nan",
        "i2c:ina219/2@1:0x40,shunt=0.1",
        "i2c:ina999@1:0x40,shunt=0.1",
        "i2c:ina219",
        "i2c:ina219@1:0x40,shunt=0.1,in=roof",
    ],
)
def test_a_chip_that_is_not_fully_named_is_refused(given: str) -> None:
    with pytest.raises(OptionError, match="power source"):
        power.find("/", given)


def test_the_transfer_is_one_byte_out_and_two_in_as_the_kernel_expects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/i2c-1").write_text("")
    registers = {0: 0x399F, 1: 8000, 2: 1275 << 3}
    addressed: list[int] = []

    def ioctl(descriptor: int, request: int, argument: object) -> int:
        """What the kernel does with struct i2c_rdwr_ioctl_data, read from memory byte by byte."""
        if request == 0x0703:
            assert isinstance(argument, int)
            addressed.append(argument)
            return 0
        assert request == 0x0707
        pointer, count = struct.unpack("@PI", bytes(argument)[: struct.calcsize("@PI")])  # type: ignore[call-overload]
        size = struct.calcsize("@HHHP")
        assert count == 2
        out, back = (struct.unpack("@HHHP", ctypes.string_at(pointer + number * size, size)) for number in range(2))
        assert out[:3] == (0x40, 0, 1)
        assert back[:3] == (0x40, 1, 2)
        register = ctypes.string_at(out[3], 1)[0]
        ctypes.memmove(back[3], registers[register].to_bytes(2, "big"), 2)
        return 2

    monkeypatch.setattr("fcntl.ioctl", ioctl)
    source = power.find(tmp_path, "i2c:ina219@1:0x40,shunt=0.1")
    assert source is not None
    assert source.read() == pytest.approx(0.8 * 5.1)
    assert set(addressed) == {0x40}
