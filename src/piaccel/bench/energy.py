"""What an inference costs in energy: the watts read through each repeat, integrated, the idle power subtracted.

The watts are one of the sensors that are read meanwhile (``POWER``), so every raw reading is in the report, and these
figures are computed from it. Uncertainties are combined as in JCGM 100:2008 (GUM), section 5.1, and given with a
coverage factor of 2 (6.2.1, about 95 %): the source's accuracy, the spread of the repeats or of the readings, whichever
is larger, and that of the idle power.
"""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from piaccel.bench import Measurement, Power, Report, Series
from piaccel.bench.monitor import PERIOD_S, Monitor
from piaccel.bench.statistics import summary
from piaccel.device.power import POWER as POWER
from piaccel.device.power import Energy, PowerSource, Reading, find, integrate, refusal, used_by

COVERAGE = 2.0
REST_S = (1.0, 10.0)
"""The idle power is read for twice the time of a repeat, within these bounds."""


class Watts:
    """A power source as one of the sensors that are read through a benchmark."""

    name, unit = POWER, "W"

    def __init__(self, source: PowerSource) -> None:
        self._source = source

    def read(self) -> float | None:
        return self._source.read()


def asked(given: str | None, root: str | os.PathLike[str] = "/") -> tuple[PowerSource | None, str]:
    """The source that a user names, and why there is none; "auto" takes the best here, None and "none" take none.

    Raises OptionError, UnavailableError for one that is named and not here.
    """
    if given in (None, "none"):
        return None, ""
    source = find(root, given)
    return source, "" if source is not None else "no power source was found here: piaccel power tells why"


def words(source: PowerSource | None) -> str | None:
    """The source, how exact it is and what it leaves out, in a line; None without one."""
    if source is None:
        return None
    left = f"; leaves out {source.leaves_out}" if source.leaves_out else ""
    return f"{source.name} ({source.how}); accuracy: {source.accuracy}{left}"


def at_rest(source: PowerSource, monitor: Monitor, seconds: float) -> Power:
    """Wait while nothing runs, and describe the source with what it read then."""
    if source.idle_w is not None or not source.is_measured:
        return described(source, None, 0.0)
    begun = time.perf_counter_ns() - monitor.started_ns
    time.sleep(seconds)
    read = monitor.between(begun, time.perf_counter_ns() - monitor.started_ns)
    return described(source, next((each for each in read if each.name == POWER), None), seconds)


def described(source: PowerSource, rest: Series | None, seconds: float) -> Power:
    """The source as a report keeps it, with the idle power from ``rest``, what was read while nothing ran."""
    watts = [value for value in rest.values if value is not None] if rest is not None else []
    idle_w: float | None = None
    spread = 0.0
    if source.idle_w is not None:
        idle_w, how = source.idle_w, "given"
    elif not source.is_measured:
        how = f"unknown: {source.name} does not say what the machine draws idle"
    elif not watts:
        how = f"unknown: {source.name} gave no reading" + (f": {source.reason}" if source.reason else "")
    else:
        idle_w, spread = statistics.fmean(watts), _standard_error(watts)
        how = f"mean of {len(watts)} readings in {seconds:.0f} s before anything ran"
    return Power(
        name=source.name,
        how=source.how,
        accuracy=source.accuracy,
        uncertainty=source.uncertainty,
        covers=sorted(source.covers),
        leaves_out=source.leaves_out,
        is_measured=source.is_measured,
        idle_w=idle_w,
        idle_sampling_w=spread,
        idle_how=how,
    )


@dataclass(frozen=True)
class Spent:
    """What a row took. None is unknown, and ``reason`` says why."""

    energy_mj: float | None = None
    """Per inference, above the idle power, in mJ."""
    uncertainty_mj: float | None = None
    """Half the interval of about 95 %; None where the source's accuracy is not known."""
    sampling_mj: float | None = None
    """The same without the source's own error, which two rows of one source share."""
    mean_w: float | None = None
    """Everything the source holds, the idle power included."""
    fps_per_watt: float | None = None
    """Inferences a second over ``mean_w``."""
    reason: str = ""


def spent(row: Measurement, power: Power | None) -> Spent:
    """Compute a row's energy. Where the source leaves out what the row's accelerator draws, there is none."""
    if power is None:
        return Spent(reason="there was no power source")
    if not row.repeats:
        return Spent(reason="not measured")
    unseen = refusal(power, used_by(row.backend, row.note)) if power.is_measured else None
    if unseen:
        return Spent(reason=unseen)
    parts = [(_used(repeat.series, repeat.started_ns, repeat.duration_ns, power), repeat) for repeat in row.repeats]
    joules = [used.joules for used, _ in parts if used.joules is not None]
    if len(joules) < len(parts):
        return Spent(reason=next(used.reason for used, _ in parts if used.joules is None))
    counts = [len(repeat.latency_ns) * row.samples_per_query for _, repeat in parts]
    seconds, inferences = sum(used.seconds for used, _ in parts), sum(counts)
    mean_w = sum(joules) / seconds
    numbers = summary(row)
    rate = None if numbers is None or mean_w <= 0 else numbers.fps / mean_w
    if power.idle_w is None:
        return Spent(mean_w=mean_w, fps_per_watt=rate, reason=f"the idle power is {power.idle_how}")
    above = sum(joules) - power.idle_w * seconds
    each = [(one - power.idle_w * used.seconds) / n for one, (used, _), n in zip(joules, parts, counts, strict=True)]
    spread = _standard_error(each) * inferences
    sampling = math.hypot(*(used.sampling_j for used, _ in parts))
    sampling_j = math.hypot(max(spread, sampling), power.idle_sampling_w * seconds)
    source_j = None if power.uncertainty is None else abs(power.uncertainty * above)
    scale = COVERAGE * 1e3 / inferences
    return Spent(
        energy_mj=above / inferences * 1e3,
        uncertainty_mj=None if source_j is None else math.hypot(sampling_j, source_j) * scale,
        sampling_mj=sampling_j * scale,
        mean_w=mean_w,
        fps_per_watt=rate,
    )


def thriftiest(report: Report) -> str:
    """Which valid row that agrees takes least energy, in a sentence; '' where fewer than two can be compared."""
    from piaccel.bench.conclusion import label, may_win

    if report.power is None or not report.power.is_measured:
        return ""
    found = [(spent(row, report.power), row) for row in report.measurements if may_win(row)]
    known = sorted(
        ((each.energy_mj, each.sampling_mj or 0.0, row) for each, row in found if each.energy_mj is not None),
        key=lambda entry: entry[0],
    )
    if len(known) < 2:
        return ""
    least, doubt, best = known[0]
    same = [label(row, report) for value, other, row in known[1:] if value - least <= math.hypot(doubt, other)]
    text = f"{label(best, report)} takes least energy: {least:.3g} mJ an inference"
    if same:
        return f"{text}, not distinguishable from {' and '.join(same)}."
    value, _, second = known[1]
    return f"{text}; {label(second, report)} comes next with {value:.3g} mJ."


def _used(series: Sequence[Series], start_ns: int, duration_ns: int, power: Power) -> Energy:
    """The energy of one repeat's measured part."""
    watts = next((each for each in series if each.name == POWER), None)
    readings = (
        [] if watts is None else [Reading(at, value) for at, value in zip(watts.at_ns, watts.values, strict=True)]
    )
    return integrate(
        readings,
        start_ns,
        start_ns + duration_ns,
        period_s=PERIOD_S,
        relative=power.uncertainty,
        reason=f"{power.name} gave no reading",
    )


def _standard_error(values: Sequence[float]) -> float:
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
