"""The board under the service: its sensors, read on a thread, because asking the firmware takes 50 ms."""

from __future__ import annotations

import logging
import os
import re
import threading

from piaccel.device import sensors
from piaccel.device.sensors import Sensors
from piaccel.device.throttle import Throttled
from piaccel.device.tree import Tree
from piaccel.device.vcgencmd import Vcgencmd
from piaccel.errors import UnavailableError

PERIOD_S = 2.0
UNDER_VOLTAGE = "under-voltage"
_RAIL = re.compile(r"(\w+)_([AV]) (?:current|volt)\(\d+\)=([\d.]+)[AV]")
_log = logging.getLogger("piaccel")


class Board:
    """Samples while it runs. ``readings``, ``throttled`` and ``alarms`` are the last ones, from any thread; they are
    replaced whole, never changed.
    """

    def __init__(self, root: str | os.PathLike[str] = "/", *, period_s: float = PERIOD_S) -> None:
        self.readings: dict[str, float | None] = {}
        """By the names of ``piaccel.device.sensors``, and ``power_w`` of a Pi 5's regulator; None is unknown."""
        self.throttled: tuple[str, ...] = ()
        """What the firmware says holds now, in words."""
        self.alarms: tuple[str, ...] = ()
        """What somebody should look at now. Heat is none: the ladder deals with it."""
        self._root = root
        self._period_s = period_s
        self._sensors: Sensors | None = None
        self._regulator: Vcgencmd | None = Vcgencmd(Tree(root))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="piaccel-board", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Idempotent."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join(10.0)

    def look(self) -> None:
        """Read every sensor now."""
        if self._sensors is None:
            self._sensors = sensors.find(self._root)
        readings = {**self._sensors.read(), "power_w": self._power()}
        bits = readings["throttled"]
        words = Throttled(int(bits)).now if bits is not None else ()
        weak = UNDER_VOLTAGE in words or bool(readings["under_voltage"])
        self.readings, self.throttled, self.alarms = readings, words, (UNDER_VOLTAGE,) if weak else ()

    def _run(self) -> None:
        while True:
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - what watches must not die of what it watches
                _log.warning("the board cannot be read: %s: %s", type(error).__name__, error)
            if self._over.wait(self._period_s):
                return

    def _power(self) -> float | None:
        """What the rails of a Pi 5's regulator take together: the board without its USB devices and fan.

        None elsewhere; the first answer decides whether it is asked again.
        """
        if self._regulator is None:
            return None
        try:
            rails = _RAIL.findall(self._regulator.answer("pmic_read_adc"))
        except UnavailableError:
            rails = []
        amperes = {name: float(value) for name, unit, value in rails if unit == "A"}
        volts = {name: float(value) for name, unit, value in rails if unit == "V"}
        known = [amperes[name] * volts[name] for name in amperes if name in volts]
        if not known:
            if "power_w" not in self.readings:
                self._regulator = None
            return None
        return sum(known)
