"""What the rows of a soak say: pure functions of them.

Where a threshold comes from:

* ``LIMITS_C``: a Raspberry Pi lowers its clock from 80 °C on, a 3A+ and 3B+ from 60 °C on (RP docs,
  frequency-management.adoc). Whether it did is read from the throttle flags; the temperature only where there are none.
* ``MARGIN_C`` 1.5: a sustainable rate settles so far below the limit. The sensor's steps are about 0.5 °C.
* settled: within about 1 °C of where it is going. With time constants of minutes that is a slope below
  ``STEADY_C_PER_MIN`` 0.25, or 1 °C left by the exponential fit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Literal

from piaccel.device.throttle import Throttled
from piaccel.soak import Row, Soak
from piaccel.soak.fit import Fit, fit, slope_per_min

MARGIN_C = 1.5
STEADY_C_PER_MIN = 0.25
_STEADY_PER_MIN = 0.02
_CLOCK_SHARE = 0.95
_HEAT_BITS = 0b1110
_START_S, _END_SHARE, _SHORTEST_END_S = 60.0, 0.2, 60.0
_JUMP_S = 10.0
"""The chip itself warms in seconds, the board in minutes: only the latter is fitted."""
KEPT = 0.97
"""A rate is reached when so much of it was answered."""
BACK_OFF = 0.9

Basis = Literal["measured", "estimated", "confirmed", "refuted"]


def limit_c(model: str | None) -> float | None:
    """The temperature from which on this board throttles, None for what is no Raspberry Pi."""
    if not (model or "").startswith("Raspberry Pi"):
        return None
    return 60.0 if any(name in (model or "") for name in ("3 Model B Plus", "3 Model A Plus")) else 80.0


@dataclass(frozen=True)
class Sustainable:
    """The highest constant rate without throttling, and how that is known."""

    rate_per_s: float
    basis: Basis
    minutes: float = 0.0
    """How long it was held (measured, confirmed), or until it throttled again (refuted)."""
    at_least: bool = False
    """It did not throttle at the rate that was asked for: a higher one may hold, too."""


@dataclass(frozen=True)
class Findings:
    """Numbers of the load. None is what cannot be told here."""

    load_s: float
    answers: int
    errors: int
    throttled_after_s: float | None
    """From the begin of the load; None when it never did, or when ``throttling_known`` is False."""
    throttling_known: bool
    held_share: float
    """Share of the load's time in which the firmware held the clock down."""
    words: tuple[str, ...]
    """The throttle flags under load, in words."""
    under_voltage: bool | None
    idle_c: float | None
    hottest_c: float | None
    steady_c: float | None
    head_room_c: float | None
    slope_c_per_min: float | None
    """Of the temperature at the end."""
    fit: Fit | None
    settled: bool | None
    longer_minutes: int | None
    """How much longer it should run, where it has not settled."""
    clock_start_hz: float | None
    clock_steady_hz: float | None
    rate_start_per_s: float | None
    rate_steady_per_s: float | None
    loss: float | None
    """Share of the rate that was lost between begin and end."""
    p50_start_ms: float | None
    p50_steady_ms: float | None
    p99_start_ms: float | None
    p99_steady_ms: float | None
    idle_w: float | None
    power_w: float | None
    """Mean power of the load."""
    energy_mj: float | None
    """Per answer, above the idle power."""
    rss_growth_bytes: int | None
    """From the first fifth of the load to the last."""
    sustainable: Sustainable | None


def find(soak: Soak) -> Findings:
    """Derive all numbers."""
    load = [row for row in soak.rows if row.stage == "load"]
    idle = [row for row in soak.rows if row.stage == "idle"]
    held = [each for row, each in zip(soak.rows, held_rows(soak), strict=True) if row.stage == "load"]
    first = next((index for index, each in enumerate(held) if each), None)
    start, end = _start(load, first), _end(load)
    idle_c = _mean(row.temperature_c for row in idle[-3:])
    hottest = max((row.hottest_c for row in load if row.hottest_c is not None), default=None)
    free = load if first is None else load[:first]
    fitted = _fit(free)
    slope = _slope([row.temperature_c for row in end], end)
    rate_start, rate_steady = _rate(start), _rate(end)
    settled = _settled(end, slope, fitted if first is None else None, throttled=first is not None)
    before, after = _fifths(load)
    return Findings(
        load_s=sum(row.seconds for row in load),
        answers=sum(row.answers for row in load),
        errors=sum(row.errors for row in load),
        throttled_after_s=None if first is None else load[first].at_s - load[0].at_s,
        throttling_known=any(each is not None for each in held),
        held_share=_share(load, held),
        words=Throttled(_bits(load)).now,
        under_voltage=_any(row.under_voltage for row in soak.rows),
        idle_c=idle_c,
        hottest_c=hottest,
        steady_c=_mean(row.temperature_c for row in end),
        head_room_c=None if hottest is None or soak.limit_c is None else soak.limit_c - hottest,
        slope_c_per_min=slope,
        fit=fitted,
        settled=settled,
        longer_minutes=None if settled is not False else _longer(load, fitted),
        clock_start_hz=_mean(row.clock_hz for row in start),
        clock_steady_hz=_mean(row.clock_hz for row in end),
        rate_start_per_s=rate_start,
        rate_steady_per_s=rate_steady,
        loss=1 - rate_steady / rate_start if rate_start and rate_steady is not None else None,
        p50_start_ms=_middle(row.p50_ms for row in start),
        p50_steady_ms=_middle(row.p50_ms for row in end),
        p99_start_ms=_middle(row.p99_ms for row in start),
        p99_steady_ms=_middle(row.p99_ms for row in end),
        idle_w=_watts(idle),
        power_w=_watts(load),
        energy_mj=_energy_mj(idle, load),
        rss_growth_bytes=None if before is None or after is None else round(after - before),
        sustainable=_sustainable(soak, load, first, fitted, idle_c, end, settled),
    )


def _watts(rows: Sequence[Row]) -> float | None:
    """The mean over the time that a power source saw."""
    seen = [(row.power_w, row.seconds) for row in rows if row.power_w is not None]
    seconds = sum(each for _, each in seen)
    return sum(watts * each for watts, each in seen) / seconds if seconds else None


def _energy_mj(idle: Sequence[Row], load: Sequence[Row]) -> float | None:
    rest, busy = _watts(idle), _watts(load)
    answers = sum(row.answers for row in load)
    if rest is None or busy is None or not answers:
        return None
    return (busy - rest) * sum(row.seconds for row in load) / answers * 1e3


def held_rows(soak: Soak) -> list[bool | None]:
    """For each row, whether heat held the clock down in it; None where nothing tells."""
    known = _since_boot([row for row in soak.rows if row.stage == "idle"])
    best = max((row.clock_hz for row in soak.rows if row.stage == "load" and row.clock_hz is not None), default=None)
    held = []
    for row in soak.rows:
        held.append(_is_held(row, soak.limit_c, known, best))
        known |= (row.throttled or 0) & 0xF0000  # it tells of the first time only
    return held


def _is_held(row: Row, limit: float | None, known_bits: int, best_hz: float | None) -> bool | None:
    """Whether heat holds the clock down; None where nothing tells."""
    if row.throttled is not None:
        weak = bool(row.throttled & 1)
        near = limit is None or row.hottest_c is None or row.hottest_c >= limit - MARGIN_C
        new = (row.throttled & ~known_bits) >> 16 & _HEAT_BITS if near else 0
        # A weak supply sets the same bits: then heat is only blamed where there is some.
        return bool(row.throttled & _HEAT_BITS or new) and (near or not weak)
    if row.hottest_c is None or row.clock_hz is None or limit is None or best_hz is None:
        return None
    return row.hottest_c >= limit and row.clock_hz < _CLOCK_SHARE * best_hz


def _since_boot(idle: Sequence[Row]) -> int:
    return _bits(idle) & 0xF0000


def _bits(rows: Sequence[Row]) -> int:
    together = 0
    for row in rows:
        together |= row.throttled or 0
    return together


def _start(load: Sequence[Row], first_held: int | None) -> list[Row]:
    """The first minute, as far as it was not throttled; of a short run its first fifth."""
    if not load:
        return []
    length = min(_START_S, _END_SHARE * (load[-1].end_s - load[0].at_s))
    chosen = [row for row in load[:first_held] if row.at_s - load[0].at_s < length]
    return chosen or [load[0]]


def _end(load: Sequence[Row]) -> list[Row]:
    """The last fifth, and of long runs at least the last minute."""
    if not load:
        return []
    length = load[-1].end_s - load[0].at_s
    span = max(_END_SHARE * length, min(_SHORTEST_END_S, length / 2))
    return [row for row in load if row.at_s >= load[-1].end_s - span - 1e-6] or [load[-1]]


def _fifths(load: Sequence[Row]) -> tuple[float | None, float | None]:
    count = max(1, len(load) // 5)
    known = [[row.rss_bytes for row in part if row.rss_bytes is not None] for part in (load[:count], load[-count:])]
    before, after = (median(part) if part else None for part in known)
    return before, after


def _fit(rows: Sequence[Row]) -> Fit | None:
    known = [(row.at_s + row.seconds / 2, row.temperature_c) for row in rows if row.temperature_c is not None]
    late = [(at, value) for at, value in known if at - rows[0].at_s >= _JUMP_S]
    return fit([at for at, _ in late], [value for _, value in late])


def _slope(values: Sequence[float | None], rows: Sequence[Row]) -> float | None:
    known = [(row.at_s, value) for row, value in zip(rows, values, strict=True) if value is not None]
    return slope_per_min([at for at, _ in known], [value for _, value in known])


def _settled(end: Sequence[Row], slope: float | None, fitted: Fit | None, *, throttled: bool) -> bool | None:
    if slope is None:
        return None if all(row.temperature_c is None for row in end) else False
    if end[-1].end_s - end[0].at_s < _SHORTEST_END_S * KEPT:
        return False
    if throttled:
        rate = _slope([row.rate_per_s for row in end], end)
        level = _rate(end)
        steady = rate is None or not level or abs(rate) <= _STEADY_PER_MIN * level
        return steady and abs(slope) <= 2 * STEADY_C_PER_MIN
    near = fitted is not None and fitted.is_certain and abs(fitted.remaining_c) <= 1.0
    return near or abs(slope) <= STEADY_C_PER_MIN


def _longer(load: Sequence[Row], fitted: Fit | None) -> int:
    """Minutes until it will have settled; as long again where the readings do not tell."""
    length_s = load[-1].end_s - load[0].at_s if load else 0.0
    more_s = fitted.longer_s if fitted is not None and fitted.is_certain else length_s
    return max(1, math.ceil((more_s + _SHORTEST_END_S) / 60))


def _sustainable(
    soak: Soak,
    load: Sequence[Row],
    first: int | None,
    fitted: Fit | None,
    idle_c: float | None,
    end: Sequence[Row],
    settled: bool | None,
) -> Sustainable | None:
    rate = _rate(end)
    if rate is None or not rate or (soak.limit_c is None and first is None):
        return None
    minutes = sum(row.seconds for row in load) / 60
    if first is None:
        if settled:
            return Sustainable(rate, "measured", minutes, at_least=soak.plan.rate_per_s is not None)
        if fitted is not None and fitted.is_certain and soak.limit_c is not None:
            return _scaled(rate, idle_c, fitted.last_c, soak.limit_c)
        return None
    if soak.confirmed_rate_per_s is not None:
        return _tried(soak)
    start = _rate(_start(load, first))
    if soak.limit_c is None or start is None:
        return None
    if fitted is not None and fitted.is_certain:
        return _scaled(start, idle_c, fitted.last_c, soak.limit_c)
    return _scaled(rate, idle_c, _mean(row.temperature_c for row in end), soak.limit_c)


def _scaled(rate: float, idle_c: float | None, last_c: float | None, limit: float) -> Sustainable | None:
    """The rise above idle is proportional to the power, and that to the rate at an unthrottled clock."""
    if idle_c is None or last_c is None or idle_c >= limit - MARGIN_C:
        return None
    share = (limit - MARGIN_C - idle_c) / (last_c - idle_c) if last_c > idle_c else 1.0
    return Sustainable(rate * min(share, 1.0), "estimated")


def _tried(soak: Soak) -> Sustainable | None:
    """What became of the rate that was tried after the load."""
    rows = [row for row in soak.rows if row.stage == "confirm"]
    rate = soak.confirmed_rate_per_s
    if rate is None or not rows:
        return None
    held = [each for row, each in zip(soak.rows, held_rows(soak), strict=True) if row.stage == "confirm"]
    if any(held):
        at_s = rows[held.index(True)].at_s - rows[0].at_s
        return Sustainable(rate * BACK_OFF, "refuted", at_s / 60)
    if all(each is None for each in held):
        return Sustainable(rate, "estimated")
    reached = _rate(rows) or 0.0
    return Sustainable(min(rate, reached) if reached < KEPT * rate else rate, "confirmed", _seconds(rows) / 60)


def _seconds(rows: Sequence[Row]) -> float:
    return sum(row.seconds for row in rows)


def _rate(rows: Sequence[Row]) -> float | None:
    seconds = _seconds(rows)
    return sum(row.answers for row in rows) / seconds if seconds else None


def _share(rows: Sequence[Row], held: Sequence[bool | None]) -> float:
    seconds = _seconds(rows)
    return sum(row.seconds for row, each in zip(rows, held, strict=True) if each) / seconds if seconds else 0.0


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _middle(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _any(values: Iterable[bool | None]) -> bool | None:
    known = [value for value in values if value is not None]
    return any(known) if known else None
