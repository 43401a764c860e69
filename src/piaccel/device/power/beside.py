"""A power source read together with the board's sensors, for what watches both."""

from __future__ import annotations

import os

from piaccel.device import sensors
from piaccel.device.power.finding import find
from piaccel.device.power.source import PowerSource

POWER = "power_w"


class Beside:
    """The sensors of a machine, and ``power_w`` from ``source``; None without one."""

    def __init__(self, root: str | os.PathLike[str] = "/", source: PowerSource | None = None) -> None:
        self._sensors = sensors.find(root)
        self.source = source

    @classmethod
    def best(cls, root: str | os.PathLike[str] = "/") -> Beside:
        """With the best source that is here."""
        return cls(root, find(root))

    def read(self) -> dict[str, float | None]:
        """Read all of them now."""
        return {**self._sensors.read(), POWER: self.source.read() if self.source is not None else None}
