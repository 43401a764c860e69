"""What a power source is: where watts come from, how exact they are, and what they leave out."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Literal, get_args

from piaccel.errors import UnavailableError

Part = Literal["cpu", "usb", "pcie", "camera", "supply_losses"]
"""What draws power: the processor with its memory and GPU, devices on USB, a module on PCIe or a HAT, a camera on the
board's own connector, and what the board's converters lose between its 5 V and its rails."""

EVERYTHING: frozenset[Part] = frozenset(get_args(Part))


class PowerSource(ABC):
    """Reads watts. ``reason`` and ``hint`` tell why the last reading was None."""

    name: str
    """As the user names it: ``pmic``, ``hwmon:ina226``, ``constant:4.2W``."""
    how: str
    """Where a reading comes from, in words: the file or the command."""
    accuracy: str
    """How exact a reading is, and who says so."""
    uncertainty: float | None
    """The same as a share of the reading (0.01 is 1 %); None where nobody states it."""
    leaves_out: str
    """What draws power and is not in the reading."""
    covers: frozenset[Part]
    """What the reading holds, whole."""
    cost_ms: float
    """About how long one reading takes."""
    idle_w: float | None = None
    """The idle power where it was given, so that nobody measures it."""
    is_measured: bool = True
    """False where the number was given by the user."""
    reason = ""
    hint = ""

    @abstractmethod
    def watts(self) -> float:
        """The power now, in W. Raises UnavailableError with the reason."""

    def read(self) -> float | None:
        """The power now, in W; None when it cannot be read now, never 0 for that."""
        try:
            value = self.watts()
            if not math.isfinite(value):
                raise UnavailableError(f"{self.how} answered {value}")
        except UnavailableError as error:
            self.reason, self.hint = error.message, error.hint
            return None
        self.reason = self.hint = ""
        return value

    def close(self) -> None:  # noqa: B027 - most hold nothing open
        """Let go of what it holds open. Idempotent."""

    def __repr__(self) -> str:
        return f"<PowerSource {self.name} from {self.how}>"
