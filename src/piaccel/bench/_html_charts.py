"""The drawings of the HTML report: SVG shapes that stretch with the page, under labels that do not.

Every drawing is 1000 units wide, whatever the page's width; lines keep their thickness (``vector-effect`` in the style
sheet) and text stands in HTML beside or above the shapes, so that it is as large on a phone as on a desk.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from piaccel.bench import Repeat, Series
from piaccel.bench._html_scale import Floats, Scale, brief, number
from piaccel.bench._html_tags import Child, Html, joined, tag
from piaccel.device.throttle import Throttled

BINS = 150
BUCKETS = 320
"""Stretches into which all samples of a row are cut for drawing; each shows its smallest, median and largest."""
GAP = 12.0
"""Between repeats, of 1000."""


def grid(scale: Scale, height: float) -> list[Html]:
    """Vertical lines at the ticks."""
    return [tag("line", class_="grid", x1=x, x2=x, y1=0, y2=height) for x in (scale.at(np.array(scale.ticks())) * 1000)]


def axis(scale: Scale, unit: str) -> Html:
    """The ticks' values, to stand below drawings that share the scale."""
    marks = [tag("span", f"{brief(tick)} {unit}", style=f"left:{_percent(scale, tick)}") for tick in scale.ticks()]
    return tag("div", marks, tag("b", "logarithmic") if scale.log else None, class_="axis")


def histogram(samples_ms: Floats, scale: Scale, marks: Iterable[tuple[str, float]], title: str) -> Html:
    """How often each latency occurred, and vertical marks (class, value) over it."""
    height = 46.0
    counts, _ = np.histogram(samples_ms[samples_ms <= scale.high], bins=scale.edges(BINS))
    tops = height - (height - 4) * counts / max(int(counts.max()), 1)
    width = 1000 / BINS
    steps = " ".join(f"V{top:.1f}H{(index + 1) * width:.1f}" for index, top in enumerate(tops))
    lines = [tag("line", class_=name, x1=x, x2=x, y1=0, y2=height) for name, x in _placed(marks, scale)]
    area = tag("path", class_="area", d=f"M0 {height:g}{steps}V{height:g}Z")
    return _svg(height, title, grid(scale, height), area, lines)


def stack(parts: Sequence[tuple[str, float]], scale: Scale, title: str) -> Html:
    """Values end to end: (class, value)."""
    pieces: list[Html] = []
    start = 0.0
    for name, value in parts:
        left, right = (float(scale.at(edge)) * 1000 for edge in (start, start + value))
        pieces.append(tag("rect", class_=name, x=left, width=right - left, y=3, height=20))
        start += value
    return _svg(26, title, grid(scale, 26), pieces)


@dataclass(frozen=True)
class TimeLine:
    """The repeats of one row side by side on one axis, each as wide as it was long."""

    repeats: list[Repeat]

    def latency(self) -> Html:
        """Every stretch of samples from its smallest to its largest, and the stretches' medians as a line."""
        samples = np.concatenate([np.asarray(repeat.latency_ns) for repeat in self.repeats]) / 1e6
        scale, height = Scale.over(float(samples.min()), float(samples.max())), 120.0
        shapes = []
        for repeat, (left, width) in zip(self.repeats, self._places(), strict=True):
            at, low, middle, high = _stretches(repeat.latency_ns, max(2, BUCKETS // len(self.repeats)))
            x = left + at * width
            lows, middles, highs = ((1 - scale.at(each)) * height for each in (low, middle, high))
            there = _points(x, highs)
            back = _points(x[::-1], lows[::-1])
            shapes.append(tag("path", class_="envelope", d=f"M{there}L{back}Z"))
            shapes.append(tag("path", class_="trace", d=f"M{_points(x, middles)}"))
        ticks = scale.ticks(4)
        lines = [
            tag("line", class_="grid", x1=0, x2=1000, y1=y, y2=y) for y in (1 - scale.at(np.array(ticks))) * height
        ]
        labels = [
            tag("span", brief(tick), class_="tick", style=f"top:{1 - float(scale.at(tick)):.2%}") for tick in ticks
        ]
        ends = f"{number(float(samples.min()))} to {number(float(samples.max()))} ms"
        caption = _caption("latency", ends + (", logarithmic" if scale.log else ""))
        plot = tag("div", _svg(height, f"latency of each query: {ends}", self._bands(height), lines, shapes), labels)
        return joined([caption, tag("div", plot, class_="plot")])

    def sensor(self, name: str, title: str, unit: str, divisor: float = 1.0) -> Html:
        """A sensor's readings as a line; "not measurable here" where there are none."""
        chosen = [self._series(repeat, name) for repeat in self.repeats]
        known = [value / divisor for each in chosen if each for value in each.values if value is not None]
        if not known:
            return _caption(title, "not measurable here")
        low, high = min(known), max(known)
        # A change of a few percent must not look like a fall: the axis spans at least a fifth of the highest value.
        scale, height = Scale(min(low, high * 0.8) - 0.02 * high, max(high * 1.02, low + 1e-9)), 32.0
        shapes = []
        for repeat, place, series in zip(self.repeats, self._places(), chosen, strict=True):
            for xs, values in _runs(series, repeat, place):
                y = (1 - scale.at(np.array(values) / divisor)) * height
                shapes.append(tag("path", class_=f"trace {name}", d=f"M{_points(np.array(xs), y)}"))
        ends = f"{number(low)} {unit}" if low == high else f"{number(low)} to {number(high)} {unit}"
        return joined([_caption(title, ends), _svg(height, f"{title}: {ends}", self._bands(height), shapes)])

    def throttled(self) -> Html:
        """When the firmware held the board back."""
        chosen = [self._series(repeat, "throttled") for repeat in self.repeats]
        known = [int(value) for each in chosen if each for value in each.values if value is not None]
        if not known:
            return _caption("throttle flags", "not measurable here")
        together = 0
        for bits in known:
            together |= bits
        words = ", ".join(Throttled(together).now) or "none"
        blocks = []
        for repeat, place, series in zip(self.repeats, self._places(), chosen, strict=True):
            for xs, values in _runs(series, repeat, place):
                for left, right, flags in zip(xs, [*xs[1:], sum(place)], values, strict=True):
                    if Throttled(int(flags)).now:
                        blocks.append(tag("rect", class_="throttled", x=left, width=right - left, y=0, height=12))
        return joined(
            [_caption("throttle flags", words), _svg(12, f"throttle flags: {words}", self._bands(12), blocks)]
        )

    def numbers(self) -> Html:
        """Which repeat stands where."""
        word = "repeat " if len(self.repeats) <= 4 else ""
        marks = [
            tag("span", f"{word}{index + 1}", style=f"left:{(left + width / 2) / 10:.2f}%")
            for index, (left, width) in enumerate(self._places())
        ]
        return tag("div", marks, class_="axis")

    def _places(self) -> list[tuple[float, float]]:
        """Left edge and width of each repeat."""
        room = 1000 - GAP * (len(self.repeats) - 1)
        total = sum(repeat.duration_ns for repeat in self.repeats)
        widths = [room * repeat.duration_ns / total for repeat in self.repeats]
        return [(sum(widths[:index]) + GAP * index, width) for index, width in enumerate(widths)]

    def _bands(self, height: float) -> list[Html]:
        return [tag("rect", class_="band", x=left, width=width, y=0, height=height) for left, width in self._places()]

    def _series(self, repeat: Repeat, name: str) -> Series | None:
        return next((series for series in repeat.series if series.name == name), None)


def _stretches(latency_ns: Sequence[int], count: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Cut samples into at most ``count`` stretches: where each lies in 0..1, its smallest, median and largest (ms)."""
    samples = np.asarray(latency_ns, dtype=np.float64) / 1e6
    edges = np.linspace(0, len(samples), min(count, len(samples)) + 1).astype(int)
    parts = [samples[start:stop] for start, stop in pairwise(edges)]
    ended = np.cumsum([part.sum() for part in parts])
    at = ended / ended[-1]
    if len(at) > 1:
        at = (at - at[0]) / (at[-1] - at[0])
    low, middle, high = (np.array([take(part) for part in parts]) for take in (np.min, np.median, np.max))
    return at, low, middle, high


def _runs(series: Series | None, repeat: Repeat, place: tuple[float, float]) -> list[tuple[list[float], list[float]]]:
    """Split readings where one is missing; each run as x in drawing units and values, at least two long."""
    if series is None:
        return []
    left, width = place
    runs: list[tuple[list[float], list[float]]] = [([], [])]
    for at_ns, value in zip(series.at_ns, series.values, strict=True):
        if value is None:
            runs.append(([], []))
            continue
        share = min(max((at_ns - repeat.started_ns) / repeat.duration_ns, 0.0), 1.0)
        runs[-1][0].append(left + share * width)
        runs[-1][1].append(value)
    return [([*xs, left + width], [*values, values[-1]]) if len(xs) == 1 else (xs, values) for xs, values in runs if xs]


def _points(x: Floats, y: Floats) -> str:
    return "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True))


def _placed(marks: Iterable[tuple[str, float]], scale: Scale) -> list[tuple[str, float]]:
    return [(name, float(scale.at(value)) * 1000) for name, value in marks if scale.low <= value <= scale.high]


def _percent(scale: Scale, value: float) -> str:
    return f"{float(scale.at(value)):.2%}"


def _caption(name: str, what: str) -> Html:
    return tag("div", tag("b", name), " ", what, class_="caption")


def _svg(height: float, title: str, *shapes: Child) -> Html:
    return tag(
        "svg", tag("title", title), *shapes, viewBox=f"0 0 1000 {height:g}", preserveAspectRatio="none",
        style=f"height:{height:g}px", role="img",
    )  # fmt: skip
