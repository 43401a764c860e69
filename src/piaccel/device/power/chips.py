"""The current monitors of Texas Instruments' INA family: what they measure, how exactly, and where they are put."""

from __future__ import annotations

import math
from dataclasses import dataclass

from piaccel.device.power.source import EVERYTHING, Part
from piaccel.errors import OptionError

SHUNT_TOLERANCE = 0.01
"""Of the resistor on most boards with such a chip: 1 %. It outweighs the chip."""

PLACES: dict[str, tuple[frozenset[Part], str]] = {
    "board": (EVERYTHING, "what the power supply itself loses"),
    "usb": (frozenset({"usb"}), "all but the USB device whose lead it sits in"),
    "pcie": (frozenset({"pcie"}), "all but the module whose supply it sits in"),
}
"""Where the shunt sits: what a reading holds then, and what it leaves out."""

SITS = {"board": "the board's 5 V feed", "usb": "a USB device's lead", "pcie": "a module's supply"}
"""The same in words: nothing but the user's word tells it."""


@dataclass(frozen=True)
class Chip:
    """``current`` and ``bus`` are the data sheet's largest errors as shares; None where we have not read it."""

    shunt_mv: float
    """The largest voltage over the shunt; beyond it the chip shows just that."""
    current: float | None
    bus: float | None
    sheet: str

    @property
    def uncertainty(self) -> float | None:
        """Shunt, current and voltage together (root of the sum of squares)."""
        if self.current is None or self.bus is None:
            return None
        return math.hypot(SHUNT_TOLERANCE, self.current, self.bus)

    @property
    def accuracy(self) -> str:
        """In words, with the source."""
        if self.uncertainty is None:
            return "not looked up for this chip"
        return f"±{self.uncertainty:.1%} with a shunt of 1 % ({self.sheet})"


CHIPS: dict[str, Chip] = {
    # "over temperature", grade A: current 1 %, bus voltage 1 %; the driver and the reset value take PGA /8
    "ina219": Chip(320.0, 0.01, 0.01, "TI SBOS448G"),
    "ina220": Chip(320.0, None, None, ""),
    "ina226": Chip(81.92, 0.001, 0.001, "TI SBOS547B"),  # gain errors; offset at most 10 uV
    "ina230": Chip(81.92, None, None, ""),
    "ina231": Chip(81.92, None, None, ""),
    "ina260": Chip(math.inf, None, None, ""),  # its shunt is inside
    "ina3221": Chip(163.8, 0.0025, 0.0025, "TI SBOS576A"),  # gain errors; offset at most 80 uV
}


def place(words: str, given: str) -> tuple[frozenset[Part], str]:
    """What ``in=...`` means. Raises OptionError for another word."""
    if words not in PLACES:
        raise OptionError(f"power source {given}: in={words} is none of {', '.join(PLACES)}")
    return PLACES[words]


def options(text: str, known: tuple[str, ...], given: str) -> dict[str, str]:
    """``key=value,key=value`` as a mapping. Raises OptionError for another key or form."""
    pairs = [each.partition("=") for each in text.split(",")] if text else []
    for key, _, value in pairs:
        if key not in known or not value:
            raise OptionError(
                f"power source {given}: {key!r} is not {' or '.join(f'{name}=...' for name in known)}",
                hint="such as hwmon:ina226,in=usb or i2c:ina226@1:0x40,shunt=0.01",
            )
    return {key: value for key, _, value in pairs}
