"""A selection as one HTML page that needs nothing else, in the dress of the benchmark's report: the front is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

import numpy as np

from piaccel.bench._html_line import section
from piaccel.bench._html_scale import Scale, brief
from piaccel.bench._html_tags import Child, Html, tag
from piaccel.selection import Option, Selection
from piaccel.selection.limits import KINDS, written

WIDTH, HEIGHT = 1000.0, 420.0
LEFT, BOTTOM = 70.0, 50.0
STYLE = """
.front { width: 100%; min-width: 640px; height: auto; }
.scroll { overflow-x: auto; }
.front text { fill: var(--soft); font-size: 15px; }
.front line { stroke: var(--line); }
.front polyline { fill: none; stroke: var(--best); stroke-width: 2; stroke-dasharray: 5 4; }
.front .mark { fill: #fff; font-size: 12px; font-weight: 600; }
.front circle { fill: var(--lost); } .front circle.on { fill: var(--fine); } .front circle.pick { fill: var(--best); }
td { white-space: normal; }
"""


def render(found: Selection) -> str:
    """Return the page. Every name is taken as text, never as markup."""
    title = "What to run on this board"
    style = resources.files("piaccel.bench").joinpath("static/report.css").read_text(encoding="utf-8")
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name_="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Html(style + STYLE)),
    ]
    body = [
        _header(found, title),
        section("front", "The front", _chart(found)),
        section("options", "Measured to the end", _options(found)),
        _evidence(found),
        section("left-out", "Left out", _list(_left_out(found))),
    ]
    page = tag("html", tag("head", head), tag("body", tag("main", body)), lang="en")
    return f"<!DOCTYPE html>\n{page}\n"


def _header(found: Selection, title: str) -> Html:
    limits = ", ".join(f"{name} {bound}" for name, bound in found.limits.items()) or "no limits"
    if found.pick is None:
        said = f"Nothing fits: {found.why}"
    else:
        said = f"{'Pick' if found.fits else 'Not known to fit'}: {found.pick.name}; {found.why}"
    against = [f"{name} rules out {count} of {len(found.options)}" for name, count in found.ruled_out.items()]
    return tag(
        "header",
        tag("h1", title),
        tag("p", f"{found.board or 'unknown board'} · {limits} · {_date(found.created)}", class_="where"),
        tag("p", said, class_=f"conclusion {'sure' if found.fits else 'unsure'}"),
        _list([*against, *(change.text for change in found.changes), *found.notes]),
        tag("p", "Interrupted: some of it was measured shortly.", class_="cut") if found.interrupted else None,
    )


def _chart(found: Selection) -> Html:
    """Latency to the right, accuracy upwards: the best are above on the left."""
    placed = [each for each in found.options if None not in (each.value("latency_p99_ms"), each.value("accuracy"))]
    if not placed:
        return tag("p", "No option has both a latency and an accuracy.")
    latency = np.array([each.value("latency_p99_ms") for each in placed], dtype=np.float64)
    accuracy = np.array([each.value("accuracy") for each in placed], dtype=np.float64) * 100
    across, up = (Scale.over(float(values.min()), float(values.max())) for values in (latency, accuracy))
    x = LEFT + across.at(latency) * (WIDTH - LEFT - 10)
    y = 10 + (1 - up.at(accuracy)) * (HEIGHT - BOTTOM - 10)
    shapes: list[Child] = []
    for tick in across.ticks():
        at = LEFT + float(across.at(tick)) * (WIDTH - LEFT - 10)
        shapes += [tag("line", x1=at, x2=at, y1=10, y2=HEIGHT - BOTTOM)]
        shapes += [tag("text", brief(tick), x=at, y=HEIGHT - BOTTOM + 18, text_anchor="middle")]
    for tick in up.ticks():
        at = 10 + (1 - float(up.at(tick))) * (HEIGHT - BOTTOM - 10)
        shapes += [tag("line", x1=LEFT, x2=WIDTH - 10, y1=at, y2=at)]
        shapes += [tag("text", brief(tick), x=LEFT - 8, y=at + 5, text_anchor="end")]
    shapes.append(tag("text", "latency p99, ms", x=(LEFT + WIDTH) / 2, y=HEIGHT - 6, text_anchor="middle"))
    shapes.append(
        tag("text", "accuracy, %", x=16, y=HEIGHT / 2, text_anchor="middle", transform=f"rotate(-90 16 {HEIGHT / 2:g})")
    )
    shapes.append(tag("polyline", points=_stairs(x.tolist(), y.tolist())))
    for i, each in enumerate(placed):
        kind = "pick" if each == found.pick else "on" if each.name in found.front else "off"
        told = f"{each.name}: {latency[i]:.4g} ms, {accuracy[i]:.2f} %"
        cx, cy = float(x[i]), float(y[i])
        shapes.append(tag("circle", tag("title", told), cx=cx, cy=cy, r=10, class_=kind))
        shapes.append(tag("text", found.options.index(each) + 1, x=cx, y=cy + 4, text_anchor="middle", class_="mark"))
    label = "accuracy over latency p99; what neither beats is joined by a line"
    words = (
        "The numbers are those of the table. Green: the pick. Blue: on the front, which rate, memory and power shape "
        "too. Grey: beaten in everything. The line joins what is best by latency and accuracy alone."
    )
    picture = tag("svg", shapes, viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}", class_="front", role="img", aria_label=label)
    return tag("div", tag("div", picture, class_="scroll", tabindex="0"), tag("p", words))


def _stairs(x: Sequence[float], y: Sequence[float]) -> str:
    """The points that no other is both further left and higher than (y grows downwards)."""
    best: list[tuple[float, float]] = []
    for at in sorted(zip(x, y, strict=True)):
        if not best or at[1] < best[-1][1]:
            best.append(at)
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in best)


def _options(found: Selection) -> Html:
    heads = ["", "accuracy", *(kind.word for kind in KINDS), "front"]
    rows = [
        tag(
            "tr",
            tag("th", f"{number}. {each.name}" + (" (pick)" if each == found.pick else ""), scope="row"),
            tag("td", _percent(each)),
            [tag("td", _shown(each, kind.key)) for kind in KINDS],
            tag("td", "yes" if each.name in found.front else "no"),
        )
        for number, each in enumerate(found.options, 1)
    ]
    table = tag("table", tag("thead", tag("tr", [tag("th", head) for head in heads])), tag("tbody", rows))
    return tag("div", table, class_="wide", tabindex="0")


def _evidence(found: Selection) -> Html:
    parts = []
    for each in found.options:
        facts = [f"{key}: {figure.how}" for key, figure in each.figures.items()]
        parts.append(
            tag("details", tag("summary", f"{each.name}, {each.samples} runs"), _list([*facts, *each.remarks]))
        )
    return section("evidence", "How each figure was come by", parts)


def _left_out(found: Selection) -> list[str]:
    return [
        f"{each.name}, {f'after round {each.round}' if each.round else 'not measured'}: {each.why}"
        for each in found.left_out
    ]


def _date(created: str) -> str:
    return created.replace("T", " ").replace("+00:00", " UTC")


def _percent(option: Option) -> str:
    value = option.value("accuracy")
    return "unknown" if value is None else f"{value:.2%}"


def _shown(option: Option, key: str) -> str:
    value = option.value(key)
    kind = next(each for each in KINDS if each.key == key)
    return "unknown" if value is None else written(kind, value)


def _list(lines: Sequence[str]) -> Html | None:
    return tag("ul", [tag("li", line) for line in lines]) if lines else None
