"""A fake board that grows hot: a first-order heat model, a firmware that throttles, and a clock that only work moves.

    C dT/dt = P - (T - ambient) / R        P = idle + load (full - idle) (clock / highest clock) ** 1.5

Where the numbers come from:

* Pi 5, idle 3.51 W and full 7.24 W: two real readings of the PMIC's rails, one lightly loaded, one with four busy
  cores. Pi 4, 3.0 and 6.0 W: 0.6 A idle, 1.2 A under stress at 5 V (RP docs). 3B+ and Zero 2 W: "typical bare-board
  active current" 500 and 350 mA (RP docs) lies between the two that are assumed here.
* R and C are assumed. With them a bare Pi 5 idles in the fifties and meets 80 °C after a few minutes of full load, and
  its active cooler keeps it near 60 °C, which is what owners report. The exponent 1.5 is assumed too: the power of the
  cores falls with the clock, and somewhat more because the voltage falls with it.
* Throttling (RP docs, frequency-management.adoc): the ARM clock falls progressively from 80 to 85 °C, to its lowest at
  85; a 3B+ also has a soft limit of 1200 MHz from 60 °C on. That the fall is linear between is assumed.
* Steps of a Pi 4: 1500, 1000, 750, 600 MHz; fan of a Pi 5: 30 % at 50 °C, 50 % at 60, 70 % at 67.5, 100 % at 75,
  each 5 °C of hysteresis (RP docs).
"""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, get_args

from piaccel.errors import OptionError
from piaccel.testing.captures import Kind
from piaccel.testing.fake_board import FakeBoard

Cooling = Literal["none", "heatsink", "active"]

SOFT_C, HARD_C = 80.0, 85.0
_SOFT_LIMIT_C, _SOFT_LIMIT_MHZ, _SOFT_HYSTERESIS_C = 60.0, 1200, 2.0
_EXPONENT = 1.5
_FIRMWARE_S = 1.0
"""How often the firmware looks at the temperature; the files follow it."""
_FAN = ((0.0, 0, 1.0), (50.0, 2200, 0.72), (60.0, 3900, 0.6), (67.5, 5400, 0.52), (75.0, 7900, 0.46))
"""From so many °C on: the fan's rpm, and the thermal resistance as a share of that with the fan off."""
_FAN_HYSTERESIS_C = 5.0
_UNDER_VOLTAGE, _CAPPED, _THROTTLED, _SOFT_LIMIT = 1, 2, 4, 8


@dataclass(frozen=True)
class Heat:
    """What a board turns into heat, and what holds it. Resistances in K/W: bare, with a heat sink."""

    idle_w: float
    full_w: float
    capacity_j_per_k: float
    bare: float
    heatsink: float
    clocks_mhz: tuple[int, ...]


HEAT: dict[Kind, Heat] = {
    "zero2w": Heat(0.7, 2.9, 9.0, 17.0, 12.0, (1000, 900, 800, 700, 600)),
    "pi3b+": Heat(1.9, 5.1, 20.0, 10.5, 7.0, (1400, 1200, 1100, 1000, 900, 800, 700, 600)),
    "pi4": Heat(3.0, 6.0, 22.0, 10.2, 6.8, (1800, 1500, 1000, 750, 600)),
    "pi5": Heat(3.51, 7.24, 25.0, 9.0, 5.6, tuple(range(2400, 1400, -100))),
}


@dataclass(frozen=True)
class Gauge:
    """A sensor of the board that is read without its files, thousands of times in a moment."""

    name: str
    unit: str
    read: Callable[[], float | None]


class ThermalBoard(FakeBoard):
    """A FakeBoard whose temperature, clock, fan, throttle flags and power follow the work that it is given.

    ``now_ns``, ``sleep`` and ``every`` are a clock that stands still but for ``advance``, ``work`` and ``sleep``.
    ``start_c`` is the temperature to begin with, that of an idle board if not given. ``infer_ms`` is how long ``work``
    takes at the highest clock. ``noise_c`` adds seeded noise to what the sensor says. ``files`` False lets the files
    stay as they are at the begin, which is much quicker where only ``gauges`` are read. Not for several threads.
    Raises OptionError for another word, or an active cooler on a board that has none.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        kind: Kind = "pi5",
        *,
        cooling: Cooling = "none",
        ambient_c: float = 25.0,
        start_c: float | None = None,
        infer_ms: float = 40.0,
        noise_c: float = 0.0,
        seed: int = 0,
        files: bool = True,
    ) -> None:
        if cooling not in get_args(Cooling):
            raise OptionError(f"{cooling!r} is none of {', '.join(get_args(Cooling))}")
        if kind not in HEAT:
            raise OptionError(f"how a {kind} warms up is not known", hint=f"one of: {', '.join(HEAT)}")
        if cooling == "active" and kind != "pi5":
            raise OptionError("only a Pi 5 has the active cooler", hint='take cooling="heatsink"')
        super().__init__(folder, kind)
        self.heat = HEAT[kind]
        self.ambient_c = ambient_c
        self.infer_ms = infer_ms
        self._active = cooling == "active"
        self._resistance = self.heat.bare if cooling == "none" else self.heat.heatsink
        self._soft_limited = kind == "pi3b+"
        self._noise_c, self._random = noise_c, random.Random(seed)
        self._now_s = self._load = 0.0
        self._shown_w: float | None = None
        self._firmware_s = 0.0
        self._repeated: list[_Repeated] = []
        self._level = self._fan_step = self._bits = 0
        self._is_low = self._is_lost = False
        self._written: tuple[float, int, int, int] | None = None
        self._writes = True
        self.temp_c = ambient_c
        if start_c is None:
            for _ in range(2 * len(_FAN)):  # the fan's step and the temperature settle together
                self.temp_c = self.settles_at_c(0.0)
                self._turn_fan()
        else:
            self.temp_c = start_c
        self._firmware()
        self._writes = files

    @property
    def clock_hz(self) -> int:
        """The ARM clock now."""
        return self.heat.clocks_mhz[self._level] * 1_000_000

    @property
    def throttled(self) -> int:
        """The bits of ``get_throttled``: those that hold now, and those that have been since boot."""
        return self._bits

    @property
    def fan_rpm(self) -> int:
        """The speed of a Pi 5's active cooler."""
        return _FAN[self._fan_step][1] if self._active else 0

    @property
    def tau_s(self) -> float:
        """The time constant, R C, at the fan's present speed."""
        return self._r() * self.heat.capacity_j_per_k

    def power_w(self, load: float) -> float:
        """What it draws now under ``load``, 0 to 1."""
        share = self._level_share()
        return self.heat.idle_w + load * (self.heat.full_w - self.heat.idle_w) * math.pow(share, _EXPONENT)

    def settles_at_c(self, load: float) -> float:
        """The temperature it would settle at with this clock and this speed of the fan."""
        return self.ambient_c + self.power_w(load) * self._r()

    def reaches_s(self, temp_c: float, load: float) -> float | None:
        """How long it takes from now to ``temp_c`` at this clock, None when it never gets there."""
        last = self.settles_at_c(load)
        if (last - temp_c) * (temp_c - self.temp_c) <= 0:
            return 0.0 if temp_c == self.temp_c else None
        return self.tau_s * math.log((last - self.temp_c) / (last - temp_c))

    def gauges(self) -> tuple[Gauge, ...]:
        """The sensors under the names that ``piaccel.device.sensors`` has for them."""

        def shown(read: Callable[[], float]) -> Callable[[], float | None]:
            return lambda: None if self._is_lost else read()

        return (
            Gauge("temperature_c", "°C", shown(self._shown_c)),
            Gauge("clock_hz", "Hz", shown(lambda: float(self.clock_hz))),
            Gauge("throttled", "", shown(lambda: float(self._bits))),
            Gauge("under_voltage", "", shown(lambda: float(self._bits & 1))),
            Gauge("fan_rpm", "rpm", lambda: float(self.fan_rpm) if self._active and not self._is_lost else None),
        )

    def undervolt(self, low: bool = True) -> None:
        """Let the supply fall below 4.63 V, or recover."""
        self._is_low = low
        self._firmware()

    def lose_sensors(self) -> None:
        """Let every reading fail from now on."""
        self._is_lost = True
        self.close_firmware()
        (self.root / "sys/class/thermal/thermal_zone0/temp").unlink(missing_ok=True)

    def now_ns(self) -> int:
        return round(self._now_s * 1e9)

    def sleep(self, seconds: float) -> None:
        """Pass time without work."""
        self.advance(seconds, 0.0)

    def work(self) -> None:
        """One inference on all cores: slower when the clock is lower."""
        self.advance(self.infer_ms / 1000 / self._level_share(), 1.0)

    @contextmanager
    def every(self, period_s: float, function: Callable[[], None]) -> Iterator[None]:
        """Call ``function`` now and whenever so much time has passed."""
        mine = _Repeated(self._now_s + period_s, period_s, function)
        self._repeated.append(mine)
        function()
        try:
            yield
        finally:
            self._repeated.remove(mine)

    def advance(self, seconds: float, load: float) -> None:
        """Let time pass under ``load``, 0 (idle) to 1 (all cores busy)."""
        end_s = self._now_s + seconds
        self._load = load
        self._show_power()
        while self._now_s < end_s - 1e-12:
            events = [self._firmware_s + _FIRMWARE_S, *(each.due_s for each in self._repeated)]
            step_s = max(min(end_s, *events) - self._now_s, 0.0)
            last = self.settles_at_c(load)
            self.temp_c = last + (self.temp_c - last) * math.exp(-step_s / self.tau_s)
            self._now_s += step_s
            if self._now_s >= self._firmware_s + _FIRMWARE_S:
                self._firmware_s += _FIRMWARE_S
                self._firmware()
            for each in self._repeated:
                if self._now_s >= each.due_s:
                    each.due_s += each.period_s
                    each.function()

    def _firmware(self) -> None:
        self._turn_fan()
        last = len(self.heat.clocks_mhz) - 1
        share = min(max((self.temp_c - SOFT_C) / (HARD_C - SOFT_C), 0.0), 1.0)
        level = math.ceil(share * last)
        now = (_UNDER_VOLTAGE | _THROTTLED if self._is_low else 0) | (_THROTTLED if self.temp_c >= SOFT_C else 0)
        now |= _CAPPED if level else 0
        if self._soft_limited:
            held = bool(self._bits & _SOFT_LIMIT)
            if self.temp_c >= _SOFT_LIMIT_C - _SOFT_HYSTERESIS_C * held:
                level = max(level, self.heat.clocks_mhz.index(_SOFT_LIMIT_MHZ))
                now |= _SOFT_LIMIT
        # The firmware lowers the clock while the supply is weak, too.
        self._level = last if self._is_low else level
        self._bits = self._bits & 0xF0000 | now | now << 16
        if not self._writes:
            return
        shown = (round(self._shown_c(), 1), self.clock_hz, self._bits, self.fan_rpm)
        if shown != self._written and not self._is_lost:
            self.set(temp_c=shown[0], clock_hz=shown[1], throttled=shown[2], fan_rpm=shown[3])
            self._written = shown
        self._show_power()

    def _show_power(self) -> None:
        watts = round(self.power_w(self._load), 3)
        if self._writes and not self._is_lost and watts != self._shown_w:
            self.set(power_w=watts)
            self._shown_w = watts

    def _turn_fan(self) -> None:
        if not self._active:
            return
        while self._fan_step + 1 < len(_FAN) and self.temp_c >= _FAN[self._fan_step + 1][0]:
            self._fan_step += 1
        while self._fan_step and self.temp_c < _FAN[self._fan_step][0] - _FAN_HYSTERESIS_C:
            self._fan_step -= 1

    def _r(self) -> float:
        return self._resistance * (_FAN[self._fan_step][2] if self._active else 1.0)

    def _level_share(self) -> float:
        return self.heat.clocks_mhz[self._level] / self.heat.clocks_mhz[0]

    def _shown_c(self) -> float:
        return self.temp_c + (self._random.gauss(0.0, self._noise_c) if self._noise_c else 0.0)


@dataclass
class _Repeated:
    due_s: float
    period_s: float
    function: Callable[[], None]
