"""The regulator of a Pi 5 (also 500 and CM5): the sum over its rails of voltage times current."""

from __future__ import annotations

import re

from piaccel.device.power.source import Part, PowerSource
from piaccel.device.tree import Tree
from piaccel.device.vcgencmd import COST_MS, Vcgencmd
from piaccel.errors import UnavailableError

COMMAND = "pmic_read_adc"
_LINE = re.compile(r"^\s*(\S+)_([AV])\s+(current|volt)\((\d+)\)=(\d+(?:\.\d+)?)([AV])\s*$")
_VOLTAGE_ONLY = frozenset({"EXT5V", "BATT"})
"""The board's input and the clock's battery, whose current nobody measures: hence the input power is not known."""
_CORE = "VDD_CORE"


class Pmic(PowerSource):
    """``vcgencmd pmic_read_adc``. Its rails are those of the first reading; one that then lacks is a failure."""

    name = "pmic"
    how = f"vcgencmd {COMMAND}, sum of the rails"
    accuracy = "not published; users found the input of a bare board to be about 1.15 x the sum + 0.6 W"
    uncertainty = None
    leaves_out = (
        "what the converters lose, USB devices, what a HAT or a PCIe module draws from 5 V, the fan, "
        "and a camera as far as nobody knows its rail"
    )
    covers: frozenset[Part] = frozenset({"cpu"})
    cost_ms = COST_MS

    def __init__(self, firmware: Vcgencmd) -> None:
        self._firmware = firmware
        self._rails: frozenset[str] = frozenset()

    def watts(self) -> float:
        rails = rails_of(self._firmware.answer(COMMAND))
        self._rails = self._rails or frozenset(rails)
        missing = self._rails - rails.keys()
        if missing:
            raise UnavailableError(f"vcgencmd {COMMAND} left out {', '.join(sorted(missing))}")
        if rails[_CORE] <= 0:
            raise UnavailableError(f"vcgencmd {COMMAND} answered no power for {_CORE}")
        return sum(rails.values())


def rails_of(answer: str) -> dict[str, float]:
    """The watts of each rail. Voltages and currents are paired by name: neither order nor number says what belongs.

    Raises UnavailableError for an answer of another form, or a current without its voltage or the reverse.
    """
    values: dict[str, dict[str, float]] = {"A": {}, "V": {}}
    for line in answer.splitlines():
        found = _LINE.match(line)
        if found is None or found[2] != found[6] or (found[2] == "A") != (found[3] == "current"):
            raise UnavailableError(f"vcgencmd {COMMAND} answered {line.strip()[:60]!r}, not a current or a voltage")
        if found[1] in values[found[2]]:
            raise UnavailableError(f"vcgencmd {COMMAND} answered {found[1]}_{found[2]} twice")
        values[found[2]][found[1]] = float(found[5])
    amperes, volts = values["A"], values["V"]
    alone = amperes.keys() ^ (volts.keys() - _VOLTAGE_ONLY)
    if alone or _CORE not in amperes:
        raise UnavailableError(f"vcgencmd {COMMAND}: no voltage and current of {', '.join(sorted(alone)) or _CORE}")
    return {name: amperes[name] * volts[name] for name in amperes}


def found(tree: Tree) -> list[PowerSource]:
    """The regulator's readings. Raises UnavailableError where there are none, with the reason."""
    source = Pmic(Vcgencmd(tree))
    if source.read() is not None:
        return [source]
    if b"brcm,bcm2712" not in (tree.device_tree("compatible") or b"brcm,bcm2712"):
        raise UnavailableError("only the Pi 5 family has a regulator that measures")
    raise UnavailableError(source.reason, hint=source.hint)
