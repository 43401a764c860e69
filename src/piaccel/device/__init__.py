"""What piaccel knows of the machine it runs on: the board, its sensors, and what is wrong with it."""

from __future__ import annotations

from typing import Protocol


class Sensor(Protocol):
    """One quantity of the machine that can be read again and again."""

    @property
    def name(self) -> str:
        """The quantity with its unit, such as ``temperature_c``."""

    @property
    def unit(self) -> str:
        """The unit for people, such as ``°C``; '' for a pure number."""

    def read(self) -> float | None:
        """Return the value now; None when this machine has no such sensor or it cannot be read now, never 0.0."""
