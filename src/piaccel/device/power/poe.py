"""The PoE+ HAT, which measures the current that it hands to the board."""

from __future__ import annotations

from pathlib import Path

from piaccel.device.power.source import EVERYTHING, PowerSource
from piaccel.device.tree import Tree, contents
from piaccel.errors import UnavailableError

_CURRENT = "sys/class/power_supply/rpi-poe/current_now"
_VOLTS = 5.0


class Poe(PowerSource):
    """``current_now`` in uA times 5 V, which nobody measures (kernel of Raspberry Pi, rpi_poe_power.c)."""

    name = "poe"
    how = "power_supply rpi-poe, current_now x 5.0 V assumed"
    accuracy = "not published; the voltage is assumed, not measured"
    uncertainty = None
    leaves_out = "what the HAT itself loses"
    covers = EVERYTHING
    cost_ms = 1.0

    def __init__(self, file: Path) -> None:
        self._file = file

    def watts(self) -> float:
        try:
            microamperes = float(int(contents(self._file)))
        except OSError as error:
            raise UnavailableError(f"{self._file}: {error.strerror}") from error
        except (ValueError, OverflowError) as error:
            raise UnavailableError(f"{self._file} does not hold a number") from error
        if microamperes <= 0:
            raise UnavailableError("the PoE+ HAT shows no current: the board is fed from elsewhere")
        return microamperes / 1e6 * _VOLTS


def found(tree: Tree) -> list[PowerSource]:
    """The HAT's. Raises UnavailableError where there is none, or it does not feed the board."""
    if not tree.exists(_CURRENT):
        raise UnavailableError("there is no PoE+ HAT")
    source = Poe(tree.path(_CURRENT))
    if source.read() is None:
        raise UnavailableError(source.reason)
    return [source]
