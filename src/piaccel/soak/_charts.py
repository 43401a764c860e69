"""The drawings of the page: every row's numbers over the minutes, with the stages and the throttling behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from piaccel.bench._html_scale import Scale, brief
from piaccel.bench._html_tags import Child, Html, joined, tag
from piaccel.soak import Row

Take = Callable[[Row], float | None]

_WORDS = {"idle": "idle", "load": "load", "cool": "cooling", "confirm": "confirming"}
_NARROW = 0.06


class Chart:
    """Drawings that share one axis of time."""

    def __init__(self, rows: Sequence[Row], held: Sequence[bool | None]) -> None:
        self._rows = rows
        self._end_s = max(rows[-1].end_s, 1e-9)
        self._held = held
        begins = [0, *(i for i in range(1, len(rows)) if rows[i].stage != rows[i - 1].stage)]
        ends = [*begins[1:], len(rows)]
        self._stages = [(rows[i].stage, rows[i].at_s, rows[j - 1].end_s) for i, j in zip(begins, ends, strict=True)]

    def stages(self) -> Html:
        """The names of the stages, above the first drawing."""
        wide = [each for each in self._stages if each[2] - each[1] >= _NARROW * self._end_s]
        marks = [
            tag("span", _WORDS[name], style=f"left:{(begin + end) / 2 / self._end_s:.2%}") for name, begin, end in wide
        ]
        return tag("div", marks, class_="axis")

    def minutes(self) -> Html:
        """The axis below the last drawing."""
        unit, size = ("min", 60.0) if self._end_s >= 180 else ("s", 1.0)
        ticks = Scale(0.0, self._end_s / size).ticks(6)
        marks = [tag("span", f"{brief(tick)} {unit}", style=f"left:{tick * size / self._end_s:.2%}") for tick in ticks]
        return tag("div", marks, class_="axis")

    def draw(
        self,
        title: str,
        what: str,
        series: Sequence[tuple[str, Take]],
        *,
        limits: Iterable[tuple[float, str]] = (),
        floor: float | None = None,
        roof: float | None = None,
        height: float = 120.0,
    ) -> Html:
        """One drawing: (class, what to take of a row) each a line, ``limits`` dashed lines with their words.

        The axis begins at most at ``floor`` and ends at least at ``roof``.
        """
        known = [value for _, take in series for row in self._rows if (value := take(row)) is not None]
        caption = tag("div", tag("b", title), " ", what if known else "not measurable here", class_="caption")
        if not known:
            return caption
        low, high = min(known), max(known)
        low, high = min(low, low if floor is None else floor), max(high, high if roof is None else roof)
        room = 0.05 * (high - low or abs(high) or 1.0)
        scale = Scale(0.0 if low == 0 else low - room, high + room)
        ticks = scale.ticks(4)
        grid = [tag("line", class_="grid", x1=0, x2=1000, y1=y, y2=y) for y in self._ys(ticks, scale, height)]
        lines = [
            tag("path", class_=f"trace {name}", d=path)
            for name, take in series
            for path in self._paths(take, scale, height)
        ]
        shown = [(value, word) for value, word in limits if scale.low <= value <= scale.high]
        edges = [
            tag("line", class_="limit", x1=0, x2=1000, y1=y, y2=y)
            for y in self._ys([value for value, _ in shown], scale, height)
        ]
        labels = [
            tag("span", brief(tick), class_="tick", style=f"top:{1 - float(scale.at(tick)):.2%}") for tick in ticks
        ]
        words = [
            tag("span", word, class_="limit-word", style=f"top:{1 - float(scale.at(value)):.2%}")
            for value, word in shown
        ]
        svg = tag(
            "svg", tag("title", f"{title}: {what}"), self._background(height), grid, edges, lines,
            viewBox=f"0 0 1000 {height:g}", preserveAspectRatio="none", style=f"height:{height:g}px", role="img",
        )  # fmt: skip
        return joined([caption, tag("div", svg, labels, words, class_="plot")])

    def _background(self, height: float) -> Child:
        bands = [
            tag("rect", class_=f"stage-{name}", x=self._x(begin), width=self._x(end - begin), y=0, height=height)
            for name, begin, end in self._stages
        ]
        throttled: list[Html] = []
        index = 0
        while index < len(self._rows):
            first = index
            while index < len(self._rows) and self._held[index]:
                index += 1
            if index > first:
                left, right = self._rows[first].at_s, self._rows[index - 1].end_s
                throttled.append(
                    tag("rect", class_="held", x=self._x(left), width=self._x(right - left), y=0, height=height)
                )
            index += 1
        return [bands, throttled]

    def _x(self, seconds: float) -> float:
        return 1000 * seconds / self._end_s

    def _ys(self, values: Sequence[float], scale: Scale, height: float) -> list[float]:
        return [float(y) for y in (1 - scale.at(np.asarray(values, dtype=np.float64))) * height]

    def _paths(self, take: Take, scale: Scale, height: float) -> list[str]:
        """One path for each run of rows that know the value."""
        runs: list[list[tuple[float, float]]] = [[]]
        for row in self._rows:
            value = take(row)
            if value is None:
                runs.append([])
            else:
                runs[-1].append((self._x(row.at_s + row.seconds / 2), value))
        found = []
        for run in runs:
            if run:
                points = run if len(run) > 1 else [run[0], (run[0][0] + 1, run[0][1])]
                ys = self._ys([value for _, value in points], scale, height)
                found.append("M" + "L".join(f"{x:.1f} {y:.1f}" for (x, _), y in zip(points, ys, strict=True)))
        return found
