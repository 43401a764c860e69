"""INA219, INA226 and INA3221 asked over I2C, where no kernel driver has them and the user names chip and shunt.

Only the address pointer is ever written: after power-on these chips measure by themselves (TI SBOS448G, SBOS547B,
SBOS576A: the reset value of the configuration register is "shunt and bus, continuous").
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from piaccel.device.power.chips import CHIPS, SITS, options, place
from piaccel.device.power.source import PowerSource
from piaccel.device.tree import Tree
from piaccel.errors import OptionError, UnavailableError

_I2C_SLAVE, _I2C_RDWR, _I2C_M_RD = 0x0703, 0x0707, 0x0001  # linux/i2c-dev.h, linux/i2c.h
_READ_MS = 0.5
_FORM = re.compile(r"i2c:(?P<chip>[a-z0-9]+)(?:/(?P<channel>[123]))?@(?P<bus>\d{1,3}):(?P<address>0x[0-9a-f]{2})")
_EXAMPLE = "such as i2c:ina226@1:0x40,shunt=0.01 (bus 1, address 0x40, 0.01 Ohm)"
_MAKER, _DIE = (0xFE, 0x5449), 0xFF

Word = Callable[[int, int], int]
"""Reads the 16 bits of a register: (address, register)."""


@dataclass(frozen=True)
class _Layout:
    """Registers of shunt and bus, the bits to drop, volts for one step after that, and the number of the die."""

    shunt: int
    bus: int
    shunt_shift: int
    bus_shift: int
    shunt_v: float
    bus_v: float
    die: int | None


_LAYOUTS = {
    "ina219": _Layout(1, 2, 0, 3, 10e-6, 4e-3, None),
    "ina226": _Layout(1, 2, 0, 0, 2.5e-6, 1.25e-3, 0x2260),
    "ina3221": _Layout(1, 2, 3, 3, 40e-6, 8e-3, 0x3220),
}


class I2c(PowerSource):
    """One channel of a chip at ``address``. ``shunt_ohm`` is the resistor in the current's way."""

    def __init__(
        self, word: Word, name: str, chip: str, address: int, shunt_ohm: float, channel: int = 1, where: str = "board"
    ) -> None:
        self.name = name
        self.covers, self.leaves_out = place(where, name)
        self.how = f"registers of the {chip} at {address:#04x}, taken to sit in {SITS[where]}"
        self.uncertainty = CHIPS[chip].uncertainty
        self.accuracy = f"{CHIPS[chip].accuracy}, shunt {1000 * shunt_ohm:g} mOhm as given"
        self.cost_ms = 2 * _READ_MS
        self._word, self._address, self._shunt_ohm = word, address, shunt_ohm
        self._chip, self._layout, self._step = CHIPS[chip], _LAYOUTS[chip], 2 * (channel - 1)

    def watts(self) -> float:
        layout = self._layout
        drop_v = _signed(self._read(layout.shunt + self._step)) * layout.shunt_v / (1 << layout.shunt_shift)
        if drop_v < -0.001 * self._chip.shunt_mv / 1000:
            raise UnavailableError(f"{self.name}: the current flows backwards", hint="swap IN+ and IN-")
        if drop_v >= 0.995 * self._chip.shunt_mv / 1000:
            raise UnavailableError(
                f"{self.name} is at the end of its range, {self._chip.shunt_mv:g} mV over the shunt",
                hint="take a smaller shunt",
            )
        bus_v = (self._read(layout.bus + self._step) >> layout.bus_shift) * layout.bus_v
        if bus_v < 1:
            raise UnavailableError(f"{self.name} sees {bus_v:.2f} V: its bus input is not in the feed")
        return bus_v * drop_v / self._shunt_ohm

    def check(self) -> None:
        """Make sure that the chip named is what answers. Raises UnavailableError."""
        if self._layout.die is None:  # the INA219 has no number of its own
            self._read(0)
            return
        maker, die = self._read(_MAKER[0]), self._read(_DIE)
        if (maker, die) != (_MAKER[1], self._layout.die):
            raise UnavailableError(f"{self.name}: another chip answers there ({maker:#06x}, {die:#06x})")

    def _read(self, register: int) -> int:
        try:
            return self._word(self._address, register)
        except OSError as error:
            reason, hint = _explained(error, self._address)
            raise UnavailableError(f"{self.name}: {reason}", hint=hint) from error


class Bus:
    """/dev/i2c-N: one write of the register's number and one read, in one transfer, so that nobody comes between."""

    def __init__(self, device: Path) -> None:
        self._device = device

    def word(self, address: int, register: int) -> int:
        """Read a register of 16 bits, the high byte first. Raises OSError; EBUSY where a kernel driver has the chip."""
        descriptor = os.open(self._device, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(descriptor, _I2C_SLAVE, address)
            asked, answer = ctypes.create_string_buffer(bytes([register]), 1), ctypes.create_string_buffer(2)
            messages = (_Message * 2)(
                _Message(address, 0, 1, ctypes.addressof(asked)),
                _Message(address, _I2C_M_RD, 2, ctypes.addressof(answer)),
            )
            fcntl.ioctl(descriptor, _I2C_RDWR, _Transfer(ctypes.addressof(messages), 2))
            return int.from_bytes(answer.raw, "big")
        finally:
            os.close(descriptor)


class _Message(ctypes.Structure):  # struct i2c_msg
    _fields_ = (
        ("address", ctypes.c_uint16),
        ("flags", ctypes.c_uint16),
        ("length", ctypes.c_uint16),
        ("buffer", ctypes.c_void_p),
    )


class _Transfer(ctypes.Structure):  # struct i2c_rdwr_ioctl_data
    _fields_ = (("messages", ctypes.c_void_p), ("count", ctypes.c_uint32))


def named(tree: Tree, given: str, word: Word | None = None) -> PowerSource:
    """The chip that ``given`` names: ``i2c:ina3221/2@1:0x40,shunt=0.1,in=usb``; ``word`` stands in for the bus.

    Raises OptionError for another form, UnavailableError where that chip does not answer.
    """
    name, _, rest = given.partition(",")
    form = _FORM.fullmatch(name.lower())
    if form is None or form["chip"] not in _LAYOUTS or (form["channel"] and form["chip"] != "ina3221"):
        raise OptionError(f"power source {given} is not i2c:CHIP@BUS:ADDRESS,shunt=OHM", hint=_EXAMPLE)
    settings = options(rest, ("shunt", "in"), given)
    try:
        shunt_ohm = float(settings["shunt"])
    except (KeyError, ValueError) as error:
        raise OptionError(f"power source {given}: the shunt's resistance is not given", hint=_EXAMPLE) from error
    if not 0.0001 <= shunt_ohm <= 10:
        raise OptionError(f"power source {given}: a shunt has 0.0001 to 10 Ohm", hint=_EXAMPLE)
    source = I2c(
        word or Bus(tree.path(f"dev/i2c-{form['bus']}")).word,
        name.lower(),
        form["chip"],
        int(form["address"], 16),
        shunt_ohm,
        int(form["channel"] or 1),
        settings.get("in", "board"),
    )
    source.check()
    return source


def _explained(error: OSError, address: int) -> tuple[str, str]:
    if error.errno == errno.ENOENT:
        return "there is no such I2C bus", "dtparam=i2c_arm=on in config.txt, then reboot"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "this user may not use I2C", 'sudo usermod -aG i2c "$USER"'
    if error.errno == errno.EBUSY:
        return "a kernel driver has this chip already", "take it as hwmon: piaccel power"
    if error.errno in (errno.EREMOTEIO, errno.ENXIO, errno.EIO, errno.ETIMEDOUT):
        return f"nothing answers at {address:#04x}", "check the wiring: i2cdetect -y 1"
    return error.strerror or str(error), ""


def _signed(word: int) -> int:
    return word - 0x10000 if word & 0x8000 else word
