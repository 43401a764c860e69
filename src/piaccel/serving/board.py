"""The board under the service: its sensors, read on a thread, because asking the firmware takes 50 ms."""

from __future__ import annotations

import logging
import os
import threading

from piaccel.device import power
from piaccel.device.throttle import Throttled

PERIOD_S = 2.0
UNDER_VOLTAGE = "under-voltage"
_log = logging.getLogger("piaccel")


class Board:
    """Samples while it runs. ``readings``, ``throttled`` and ``alarms`` are the last ones, from any thread; they are
    replaced whole, never changed.
    """

    def __init__(self, root: str | os.PathLike[str] = "/", *, period_s: float = PERIOD_S) -> None:
        self.readings: dict[str, float | None] = {}
        """By the names of ``piaccel.device.sensors``, and ``power_w`` of the best power source; None is unknown."""
        self.throttled: tuple[str, ...] = ()
        """What the firmware says holds now, in words."""
        self.alarms: tuple[str, ...] = ()
        """What somebody should look at now. Heat is none: the ladder deals with it."""
        self._root = root
        self._period_s = period_s
        self._sensors: power.Beside | None = None
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
            self._sensors = power.Beside.best(self._root)
        readings = self._sensors.read()
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
