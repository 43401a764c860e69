"""Power: sources of watts behind one seam, a meter that integrates them, and what they can compare."""

from __future__ import annotations

from piaccel.device.power.beside import POWER, Beside
from piaccel.device.power.comparison import refusal, used_by
from piaccel.device.power.energy import Energy, Idle, Reading, integrate
from piaccel.device.power.finding import Missing, Survey, find, look, sources
from piaccel.device.power.meter import HZ, IDLE_S, Meter, measure_idle
from piaccel.device.power.source import EVERYTHING, Part, PowerSource

__all__ = [
    "EVERYTHING",
    "HZ",
    "IDLE_S",
    "POWER",
    "Beside",
    "Energy",
    "Idle",
    "Meter",
    "Missing",
    "Part",
    "PowerSource",
    "Reading",
    "Survey",
    "find",
    "integrate",
    "look",
    "measure_idle",
    "refusal",
    "sources",
    "used_by",
]
