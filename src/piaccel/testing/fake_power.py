"""What a fake board's power meters show: the regulator of a Pi 5, and INA current monitors in the 5 V feed."""

from __future__ import annotations

import math
import re
from typing import Literal, get_args

from piaccel.errors import OptionError
from piaccel.testing.captures import PMIC

Monitor = Literal["ina219", "ina226", "ina3221"]

CAPTURED_W = 3.50705
"""The sum over the rails of the capture."""
_LOSS, _FIXED_W = 1.1451, 0.5879
"""Users' fit for a bare board: what goes in at 5 V is 1.1451 times the rails' sum and 0.5879 W (touchkio, issue 35)."""
_FEED_V = 5.1
_FULL_MV: dict[Monitor, float] = {"ina219": 320.0, "ina226": 81.92, "ina3221": 163.8}


def input_w(rails_w: float, beyond_w: float) -> float:
    """What the board takes from its supply: the rails, the converters' losses, and what USB and HATs draw."""
    return _LOSS * rails_w + _FIXED_W + beyond_w


def pmic_answer(rails_w: float) -> str:
    """The capture with every current scaled so that the rails' sum is ``rails_w``."""
    share = rails_w / CAPTURED_W
    return re.sub(
        r"(current\(\d+\)=)([\d.]+)A", lambda found: f"{found[1]}{float(found[2]) * share:.8f}A", PMIC.rstrip("\n")
    )


def monitor_files(monitor: Monitor, watts: float, shunt_uohm: int) -> dict[str, int | str]:
    """The hwmon files of a chip whose shunt sees ``watts``; beyond its range it shows the end of it.

    Raises OptionError for a chip that is not known.
    """
    if monitor not in get_args(Monitor):
        raise OptionError(f"{monitor!r} is none of {', '.join(get_args(Monitor))}")
    drop_mv = min(watts / _FEED_V * shunt_uohm / 1000, _FULL_MV[monitor])
    milliamperes = drop_mv / shunt_uohm * 1e6
    bus_mv = round(_FEED_V * 1000)
    if monitor == "ina3221":
        return {
            **{f"in{channel}_enable": int(channel == 1) for channel in (1, 2, 3)},
            "in1_label": "5V",
            "in1_input": bus_mv,
            "curr1_input": round(milliamperes),
            "shunt1_resistor": shunt_uohm,
            "in4_input": round(drop_mv * 1000),
        }
    return {
        "in0_input": math.floor(drop_mv + 0.5),
        "in1_input": bus_mv,
        "curr1_input": round(milliamperes),
        "power1_input": round(milliamperes * _FEED_V * 1000),
        "shunt_resistor": shunt_uohm,
    }
