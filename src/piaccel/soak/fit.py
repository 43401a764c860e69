"""Where a temperature is going: an exponential through its readings.

A board is a heat capacity behind a thermal resistance, so that under constant load its temperature follows
``T(t) = last + (first - last) exp(-t / tau)`` and the rise of ``last`` above idle is proportional to the power.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FEWEST = 6
_TAUS = 160
_SHORTEST_S, _LONGEST = 3.0, 20.0
"""Time constants are looked for between these: seconds, and times the length of the readings."""
_NEAR_C = 1.0


@dataclass(frozen=True)
class Fit:
    """``last_c`` is where it settles, ``tau_s`` the time constant, ``error_c`` the root mean square of what is left."""

    last_c: float
    tau_s: float
    error_c: float
    remaining_c: float
    """From the end of the readings to ``last_c``."""
    is_certain: bool
    """Whether the readings bend enough to tell: else they are still a straight line, or no exponential."""

    @property
    def longer_s(self) -> float:
        """How much longer until it is within 1 °C of where it settles."""
        left = abs(self.remaining_c)
        return self.tau_s * math.log(left / _NEAR_C) if left > _NEAR_C else 0.0


def fit(at_s: Sequence[float], temp_c: Sequence[float]) -> Fit | None:
    """Fit readings of a constant load; None for fewer than ``FEWEST``."""
    if len(at_s) < FEWEST:
        return None
    t = np.asarray(at_s, dtype=np.float64)
    t = t - t[0]
    y = np.asarray(temp_c, dtype=np.float64)
    length = float(t[-1])
    taus = np.geomspace(_SHORTEST_S, max(_LONGEST * length, 2 * _SHORTEST_S), _TAUS)
    fits = [_with(tau, t, y) for tau in taus]
    best = min(range(_TAUS), key=lambda index: fits[index][0])
    around = np.geomspace(taus[max(best - 1, 0)], taus[min(best + 1, _TAUS - 1)], 41)
    error, last, first, tau = min((_with(tau, t, y) for tau in around), key=lambda each: each[0])
    now = last + first * math.exp(-length / tau)
    error_c = math.sqrt(error / len(y))
    straight = np.polyval(np.polyfit(t, y, 1), t)
    bends = error < 0.5 * float(np.sum((y - straight) ** 2)) or abs(first) < 2 * _NEAR_C
    return Fit(last, tau, error_c, last - now, bool(bends and tau < 2 * length and error_c < _NEAR_C))


def slope_per_min(at_s: Sequence[float], values: Sequence[float]) -> float | None:
    """The slope of a straight line through readings, per minute; None for fewer than three."""
    if len(at_s) < 3:
        return None
    return float(np.polyfit(np.asarray(at_s, dtype=np.float64) / 60, np.asarray(values, dtype=np.float64), 1)[0])


def _with(tau: float, t: np.ndarray, y: np.ndarray) -> tuple[float, float, float, float]:
    """Squared error, ``last``, ``first - last`` for a time constant: a straight line over exp(-t / tau)."""
    x = np.exp(-t / tau)
    mean_x, mean_y = x.mean(), y.mean()
    spread = float(np.sum((x - mean_x) ** 2))
    first = float(np.sum((x - mean_x) * (y - mean_y))) / spread if spread else 0.0
    last = float(mean_y - first * mean_x)
    return float(np.sum((y - last - first * x) ** 2)), last, first, float(tau)
