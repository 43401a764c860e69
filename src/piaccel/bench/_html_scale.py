"""Axes: where a value lies, at which round values the grid stands, and how a number is written."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LOG_FROM = 20.0
"""An axis whose ends differ by more than this factor is logarithmic."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scale:
    """Maps values to 0..1 between ``low`` and ``high``."""

    low: float
    high: float
    log: bool = False

    @classmethod
    def over(cls, low: float, high: float) -> Scale:
        """An axis that holds both values with a little room; logarithmic where they are far apart."""
        if low > 0 and high / low > LOG_FROM:
            room = (high / low) ** 0.03
            return cls(low / room, high * room, log=True)
        room = (high - low or abs(high) or 1.0) * 0.06
        return cls(max(0.0, low - room) if low >= 0 else low - room, high + room)

    def at(self, values: Floats | float) -> Floats:
        """Where values lie, clipped to 0..1."""
        inside = np.clip(np.asarray(values, dtype=np.float64), self.low, self.high)
        if self.log:
            return np.asarray(np.log(inside / self.low) / math.log(self.high / self.low))
        return np.asarray((inside - self.low) / (self.high - self.low))

    def edges(self, count: int) -> Floats:
        """The edges of ``count`` bins that are equally wide on the axis."""
        return np.geomspace(self.low, self.high, count + 1) if self.log else np.linspace(self.low, self.high, count + 1)

    def ticks(self, count: int = 5) -> list[float]:
        """About ``count`` round values on the axis: 1, 2 or 5 times a power of ten."""
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            round_values = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
        else:
            rough = (self.high - self.low) / count
            power = 10.0 ** math.floor(math.log10(rough))
            step = next(digit * power for digit in (1, 2, 5, 10) if digit * power >= rough * 0.999)
            first = math.ceil(self.low / step - 1e-9)
            round_values = [index * step for index in range(first, math.floor(self.high / step + 1e-9) + 1)]
        return [value for value in round_values if self.low <= value <= self.high]


def number(value: float) -> str:
    """Write a number with three significant digits and no exponent: 0.0412, 4.12, 41.2, 412, 4,120."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value)) + 1e-12))
    return f"{value:,.{digits}f}" if abs(value) < 1e9 else f"{value:.3g}"


def brief(value: float) -> str:
    """Write a tick's value without the zeros at its end."""
    text = number(value)
    return text.rstrip("0").rstrip(".") if "." in text else text
