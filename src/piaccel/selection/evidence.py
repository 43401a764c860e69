"""From a measurement to figures, each with the word for how it was come by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from piaccel.bench import Measurement
from piaccel.bench.statistics import summary
from piaccel.device.power import PowerSource, refusal, used_by
from piaccel.selection import Figure, Option

ENOUGH = 100
"""From fewer samples than this the p99 is the slowest of them."""


def figures(row: Measurement, power: PowerSource | None = None) -> dict[str, Figure]:
    """Return what a measurement with samples says; accuracy comes from elsewhere."""
    numbers = summary(row)
    if numbers is None:
        return {}
    whole = numbers.end_to_end
    latency, fps = (whole, numbers.end_to_end_fps) if whole else (numbers.latency, numbers.fps)
    what = "picture to result" if whole else "inference alone"
    p99 = f"{latency.count} samples" if latency.count >= ENOUGH else f"the slowest of {latency.count} samples"
    return {
        "latency_p99_ms": Figure(latency.p99_ms, f"measured here: {what}, {p99}"),
        "latency_p50_ms": Figure(latency.p50_ms, f"measured here: {what}, {latency.count} samples"),
        "fps": Figure(fps, f"measured here: {what}, one after the other"),
        "memory_bytes": _memory(numbers.rss_peak_bytes),
        "temp_c": _temperature(row),
        "power_w": _power(row, power),
    }


def with_drops(options: Sequence[Option], published: Sequence[Figure] = ()) -> list[Option]:
    """Give each option its accuracy drop: in points, below the best accuracy of the same basis.

    ``published`` are accuracies of variants that were not measured; they count for the best. An agreement's best is 1:
    the reference agrees with itself.
    """
    known = [each.figures["accuracy"] for each in options if "accuracy" in each.figures]
    best: dict[str, float] = {}
    for figure in (*known, *published):
        if figure.value is not None:
            start = 1.0 if figure.basis.startswith("agreement") else 0.0
            best[figure.basis] = max(best.get(figure.basis, start), figure.value)
    return [replace(each, figures={**each.figures, "accuracy_drop": _drop(each, best)}) for each in options]


def _drop(option: Option, best: dict[str, float]) -> Figure:
    figure = option.figures.get("accuracy", Figure(None, "unknown"))
    if figure.value is None:
        return Figure(None, figure.how)
    top = best[figure.basis]
    return Figure(round(top - figure.value, 9), f"points below {top:.2%}, the best of: {figure.how}", figure.basis)


def _memory(peak: int | None) -> Figure:
    if peak is None:
        return Figure(None, "unknown: the system does not tell a process its peak")
    return Figure(float(peak), "measured here: peak resident memory of the process, Python and runtime included")


def _temperature(row: Measurement) -> Figure:
    read = _readings(row, "temperature_c")
    if not read:
        return Figure(None, "unknown: no thermometer can be read here")
    seconds = sum(repeat.duration_ns for repeat in row.repeats) / 1e9
    return Figure(max(read), f"measured here: highest in a run of {seconds:.1f} s at full rate, not a sustained one")


def _power(row: Measurement, source: PowerSource | None) -> Figure:
    if source is None:
        return Figure(None, "unknown: no power source was found here")
    unseen = refusal(source, used_by(row.backend, row.note))
    if unseen:
        return Figure(None, f"unknown: {unseen}")
    read = _readings(row, "power_w")
    if not read:
        return Figure(None, f"unknown: {source.name} gave no reading")
    left = f", leaves out {source.leaves_out}" if source.leaves_out else ""
    return Figure(sum(read) / len(read), f"measured here: mean of {len(read)} readings of {source.name}{left}")


def _readings(row: Measurement, name: str) -> list[float]:
    found = (series.values for repeat in row.repeats for series in repeat.series if series.name == name)
    return [value for values in found for value in values if value is not None]
