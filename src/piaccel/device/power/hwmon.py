"""INA219, 220, 226, 230, 231, 260 and INA3221 as the kernel's drivers show them in sysfs.

Files (kernel, Documentation/hwmon/ina2xx.rst and ina3221.rst): ``power1_input`` in uW, ``curr1_input`` in mA,
``in1_input`` (bus) in mV, ``in0_input`` (shunt) in mV, ``shunt_resistor`` in uOhm; the INA3221 has three channels
and no power, and its shunts' voltages in uV are ``in4_input`` to ``in6_input``.
"""

from __future__ import annotations

import os
from pathlib import Path

from piaccel.device.power.chips import CHIPS, SITS, options, place
from piaccel.device.power.source import PowerSource
from piaccel.device.tree import Tree, contents
from piaccel.errors import OptionError, UnavailableError

_DEFAULT_SHUNT_UOHM = 10_000
"""What the drivers take unless told (ina2xx.c, ina3221.c): many boards have 100000."""
_CHANNELS = (1, 2, 3)
_READ_MS = 0.5
"""One register over I2C at 100 kHz: about 45 bits."""
_SETUP = "echo ina226 0x40 | sudo tee /sys/bus/i2c/devices/i2c-1/new_device"


class Hwmon(PowerSource):
    """One channel of one chip; ``folder`` is its hwmon folder."""

    def __init__(self, folder: Path, chip: str, name: str, channel: int | None, where: str = "board") -> None:
        self.name = name
        self._folder = folder
        self._chip = CHIPS[chip]
        self._channel = channel
        number = channel or 1
        self._power = folder / "power1_input" if channel is None and (folder / "power1_input").exists() else None
        self._current, self._bus = folder / f"curr{number}_input", folder / f"in{number}_input"
        self._drop = folder / (f"in{number + 3}_input" if channel else "in0_input")
        self._drop_per_mv = 1000 if channel else 1
        files = self._power.name if self._power else f"{self._bus.name} x {self._current.name}"
        self.covers, self.leaves_out = place(where, name)
        self.how = f"hwmon {files}, taken to sit in {SITS[where]}"
        self.uncertainty = self._chip.uncertainty
        self.accuracy = self._chip.accuracy + self._shunt(
            folder / (f"shunt{number}_resistor" if channel else "shunt_resistor")
        )
        self.cost_ms = 3 * _READ_MS

    def watts(self) -> float:
        milliamperes = _number(self._current)
        if milliamperes < 0:
            raise UnavailableError(f"{self.name}: the current flows backwards", hint="swap IN+ and IN-")
        if self._drop.exists() and abs(_number(self._drop)) >= self._chip.shunt_mv * self._drop_per_mv * 0.995:
            raise UnavailableError(
                f"{self.name} is at the end of its range, {self._chip.shunt_mv:g} mV over the shunt",
                hint="take a smaller shunt",
            )
        if self._power is not None:
            return _number(self._power) / 1e6
        return _number(self._bus) * milliamperes / 1e6

    def _shunt(self, file: Path) -> str:
        try:
            microohm = round(_number(file))
        except UnavailableError:
            return ""
        told = f", shunt {microohm / 1000:g} mOhm"
        return told + (" (the driver's default: is it yours?)" if microohm == _DEFAULT_SHUNT_UOHM else "")


def found(tree: Tree, where: str = "board") -> list[PowerSource]:
    """A source for each chip, three for an INA3221. Raises UnavailableError where there is none."""
    chips = [(entry.parent, tree.text(entry) or "") for entry in tree.glob("sys/class/hwmon/hwmon*/name")]
    chips = [(folder, chip) for folder, chip in chips if chip in CHIPS]
    if not chips:
        raise UnavailableError(
            "the kernel knows no INA current monitor", hint=f"wire one, dtparam=i2c_arm=on, then: {_SETUP}"
        )
    kinds = [chip for _, chip in chips]
    sources: list[PowerSource] = []
    for folder, chip in chips:
        name = f"hwmon:{chip}" + (f"@{_address(folder)}" if kinds.count(chip) > 1 else "")
        for channel in _channels(tree, folder, chip):
            sources.append(Hwmon(folder, chip, f"{name}/{channel}" if channel else name, channel, where))
    return sources


def named(tree: Tree, given: str) -> PowerSource:
    """The one that ``given`` names, such as ``hwmon``, ``hwmon:ina226`` or ``hwmon:ina3221/1,in=usb``.

    Raises OptionError where it names none or several, UnavailableError where the machine has none at all.
    """
    name, _, rest = given.partition(",")
    here = found(tree, options(rest, ("in",), given).get("in", "board"))
    matching = [each for each in here if each.name == name] or [
        each for each in here if name == "hwmon" or each.name.startswith((f"{name}/", f"{name}@"))
    ]
    if len(matching) != 1:
        words = "names several" if matching else "is not here"
        raise OptionError(f"power source {given} {words}", hint=f"one of: {', '.join(each.name for each in here)}")
    return matching[0]


def _channels(tree: Tree, folder: Path, chip: str) -> list[int | None]:
    if chip != "ina3221":
        return [None]
    return [each for each in _CHANNELS if tree.number(folder / f"in{each}_enable") in (1, None)]


def _address(folder: Path) -> str:
    """The bus and the address, such as 1-0040: hwmon's own numbers change between boots."""
    link = folder / "device"
    return Path(os.readlink(link)).name if link.is_symlink() else folder.name


def _number(file: Path) -> float:
    try:
        return float(int(contents(file)))
    except OSError as error:
        raise UnavailableError(f"{file}: {error.strerror}") from error
    except (ValueError, OverflowError) as error:
        raise UnavailableError(f"{file} does not hold a number") from error
