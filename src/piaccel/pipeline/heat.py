"""The heat ladder: which variant or rate a stream may afford, as the board grows hot or cool.

A pure state machine: readings in, steps out, with the clock as an argument.

Where the thresholds come from: a Raspberry Pi lowers the ARM clock from 80 °C on and more at 85 °C (RP docs,
frequency-management.adoc), so we step at 78 °C, before it does; bits 1 to 3 of ``get_throttled`` say that the clock is
capped, throttled, or held by the soft limit that a 3B+ has at 60 °C (RP docs, os.adoc). Bit 0, under-voltage, is no
matter of heat: less work does not mend a weak supply. It is an alarm (``piaccel.pipeline.monitor``), never a step.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from piaccel.errors import OptionError

_THROTTLE_BITS = 0b1110


@dataclass(frozen=True, kw_only=True)
class HeatSettings:
    """When to step. Temperatures in °C."""

    hot_c: float = 78.0
    """Step down at this temperature."""
    cool_c: float = 70.0
    """Step up only at or below this one."""
    dwell_s: float = 60.0
    """Step up only after so long on a rung with nothing wrong."""
    settle_s: float = 20.0
    """From one step down to the next: a heat sink takes its time to show what the first one did."""
    late_share: float = 0.1
    """Step down when more than this share of the results missed the deadline..."""
    late_for_s: float = 10.0
    """... for so long on end."""
    longest_dwell_s: float = 3600.0
    """A step up that had to be taken back doubles the dwell before that rung is tried again, up to this."""
    holds_s: float = 1800.0
    """A rung that has held for so long is one that the board can afford: what is taken back later is a new case. Boards
    with large heat sinks take ten minutes to grow hot."""

    def __post_init__(self) -> None:
        if not self.cool_c < self.hot_c:
            raise OptionError(f"heat: cool_c ({self.cool_c:g}) must be below hot_c ({self.hot_c:g})")
        for name in ("dwell_s", "settle_s", "late_for_s", "holds_s"):
            if getattr(self, name) < 0:
                raise OptionError(f"heat: {name.removesuffix('_s')} must not be negative")
        if not 0 <= self.late_share < 1:
            raise OptionError(f"heat: late_share is a share of 1, not {self.late_share:g}")
        if self.longest_dwell_s < self.dwell_s:
            raise OptionError("heat: longest_dwell must not be shorter than dwell")


@dataclass(frozen=True)
class Step:
    """From one rung to another; 0 is the best."""

    at_s: float
    from_rung: int
    to_rung: int
    reason: str


class Ladder:
    """Decides about once a second. Sensors that are None say nothing: without any, only the deadline counts.

    It does not swing: up needs a lower temperature than down and a dwell with nothing wrong, and a rung that had to be
    left again before it had held for ``holds_s`` is left alone twice as long the next time.
    """

    def __init__(self, rungs: int, settings: HeatSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._last = rungs - 1
        self._settings = settings
        self._clock = clock
        self.rung = 0
        self._since_s = clock()
        """When the present rung was taken, or something was wrong on it for the last time."""
        self._stepped_down_s: float | None = None
        self._stepped_up_s: float | None = None
        self._late_since_s: float | None = None
        self._feels = False
        """Whether there has ever been a temperature: a sensor that was lost says nothing, least of all "cool"."""
        self._dwell_s = [settings.dwell_s] * rungs
        """For each rung, how long the one below it must have been fine before it is tried again."""

    def update(self, readings: Mapping[str, float | None], late_share: float | None) -> Step | None:
        """Take a reading of the sensors by name and the share of late results (None: there were none, or no deadline);
        return the step to take now, None for none.
        """
        now = self._clock()
        throttled = _known(readings.get("throttled"))
        temperature = _known(readings.get("temperature_c"))
        self._feels |= temperature is not None
        is_throttled = throttled is not None and bool(int(throttled) & _THROTTLE_BITS)
        is_hot = temperature is not None and temperature >= self._settings.hot_c
        is_late = self._is_late(now, late_share)
        if is_throttled:
            return self._down(now, "the board is throttled")
        if is_hot:
            return self._down(now, f"{temperature:.0f} °C, hot from {self._settings.hot_c:g} °C")
        if is_late:
            return self._down(now, f"more than {self._settings.late_share:.0%} of the results were late")
        cool = not self._feels if temperature is None else temperature <= self._settings.cool_c
        if not cool or self._late_since_s is not None:
            self._since_s = now
            return None
        return self._up(now)

    def _is_late(self, now: float, share: float | None) -> bool:
        if share is None or share <= self._settings.late_share:
            self._late_since_s = None
            return False
        if self._late_since_s is None:
            self._late_since_s = now
        return now - self._late_since_s >= self._settings.late_for_s

    def _down(self, now: float, reason: str) -> Step | None:
        self._since_s = now
        settling = self._stepped_down_s is not None and now - self._stepped_down_s < self._settings.settle_s
        if self.rung == self._last or settling:
            return None
        if self._stepped_up_s is not None:
            held = now - self._stepped_up_s >= self._settings.holds_s
            longer = min(2 * self._dwell_s[self.rung], self._settings.longest_dwell_s)
            self._dwell_s[self.rung] = self._settings.dwell_s if held else longer
        self._stepped_down_s, self._stepped_up_s = now, None
        self._late_since_s = None
        return self._step(now, self.rung + 1, reason)

    def _up(self, now: float) -> Step | None:
        if self.rung == 0 or now - self._since_s < self._dwell_s[self.rung - 1]:
            return None
        dwell_s = self._dwell_s[self.rung - 1]
        self._since_s = self._stepped_up_s = now
        return self._step(now, self.rung - 1, f"nothing wrong for {dwell_s:.0f} s")

    def _step(self, now: float, to: int, reason: str) -> Step:
        step = Step(now, self.rung, to, reason)
        self.rung = to
        return step


def _known(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
