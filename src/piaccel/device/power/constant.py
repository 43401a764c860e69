"""A power that the user states, read off a meter by eye or taken from a data sheet."""

from __future__ import annotations

import math
import re

from piaccel.device.power.source import EVERYTHING, PowerSource
from piaccel.errors import OptionError

_WATTS = re.compile(r"(\d+(?:\.\d+)?)\s*W?", re.IGNORECASE)
_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*%")
_FORM = "constant:4.2W, or with what it draws idle and how exact that is: constant:4.2W,idle=2.7W,accuracy=5%"


class Constant(PowerSource):
    """Always the same ``watts``; ``idle_w`` is what the machine draws without the work, ``uncertainty`` a share."""

    how = "given by the user"
    leaves_out = "every change: it says the same whatever runs"
    covers = EVERYTHING
    cost_ms = 0.0
    is_measured = False

    def __init__(self, watts: float, idle_w: float | None = None, uncertainty: float | None = None) -> None:
        self._watts = watts
        self.idle_w = idle_w
        self.uncertainty = uncertainty
        self.name = f"constant:{watts:g}W"
        self.accuracy = "not stated" if uncertainty is None else f"±{100 * uncertainty:.3g} %, as stated by the user"

    def watts(self) -> float:
        return self._watts


def parse(text: str) -> Constant:
    """Make one of what stands behind ``constant:``. Raises OptionError for another form or an idle power above it."""
    first, *rest = [each.strip() for each in text.split(",")]
    idle_w = uncertainty = None
    watts = _number(_WATTS, first, text)
    for each in rest:
        key, _, value = each.partition("=")
        if key == "idle":
            idle_w = _number(_WATTS, value, text)
        elif key == "accuracy":
            uncertainty = _number(_SHARE, value, text) / 100
        else:
            raise OptionError(f"power source constant:{text}: {each!r} is neither idle= nor accuracy=", hint=_FORM)
    if watts == 0:
        raise OptionError(f"power source constant:{text}: nothing runs with 0 W", hint=_FORM)
    if idle_w is not None and idle_w > watts:
        raise OptionError(f"power source constant:{text}: idle is more than under load", hint=_FORM)
    return Constant(watts, idle_w, uncertainty)


def _number(form: re.Pattern[str], text: str, whole: str) -> float:
    found = form.fullmatch(text.strip())
    if found is None or not math.isfinite(float(found[1])):
        raise OptionError(f"power source constant:{whole}: {text!r} is not a number of the form expected", hint=_FORM)
    return float(found[1])
