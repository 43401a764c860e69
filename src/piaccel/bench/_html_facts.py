"""The HTML report's facts: every row through the time, the models and their agreement, the conditions, the method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from piaccel.bench import SCHEMA, Measurement, Report
from piaccel.bench._html_charts import TimeLine
from piaccel.bench._html_line import Line, known, section
from piaccel.bench._html_results import share
from piaccel.bench._html_scale import number
from piaccel.bench._html_tags import Html, tag
from piaccel.bench.energy import POWER
from piaccel.bench.statistics import Summary, percentile

OPEN_ROWS = 8
"""Up to so many rows are unfolded; of more, only the first."""


def details(lines: Sequence[Line]) -> Html | None:
    if not lines:
        return None
    note = (
        "Each repeat is a fresh process; repeats of a row stand side by side although other rows ran between them. "
        "The band reaches from the fastest to the slowest query of each moment, the line is their median."
    )
    cards = []
    for index, line in enumerate(lines):
        assert line.numbers is not None
        unfolded = "open" if len(lines) <= OPEN_ROWS or index == 0 else None
        time_line = TimeLine([repeat for repeat in line.row.repeats if repeat.latency_ns])
        content = [
            line.why(),
            tag("dl", [[tag("dt", name), tag("dd", value)] for name, value in _facts(line.row, line.numbers)]),
            tag(
                "div",
                time_line.latency(),
                time_line.numbers(),
                time_line.sensor("temperature_c", "temperature", "°C"),
                time_line.sensor("clock_hz", "CPU clock", "GHz", 1e9),
                time_line.throttled(),
                *([time_line.sensor(POWER, "power", "W")] if _has_power(line.row) else []),
                class_="strips",
            ),
        ]
        heading = tag("summary", tag("b", line.label), " ", line.badges())
        cards.append(tag("details", heading, content, class_=f"card {line.status}", open=unfolded))
    return section("time", "Through the time", tag("p", note), cards)


def _has_power(row: Measurement) -> bool:
    return any(series.name == POWER for repeat in row.repeats for series in repeat.series)


def _facts(row: Measurement, numbers: Summary) -> list[tuple[str, str]]:
    interval = numbers.latency.mean_interval_ms
    runs = [repeat for repeat in row.repeats if repeat.latency_ns]
    options = ", ".join(f"{name} = {value}" for name, value in row.options.items() if value not in (None, ""))
    return [
        ("samples", f"{numbers.latency.count:,}, after {numbers.warmup_count:,} to warm up"),
        ("median of each repeat", ", ".join(number(percentile(run.latency_ns, 50) / 1e6) for run in runs) + " ms"),
        ("load, first inference", f"{number(numbers.load_ms)} ms, {number(numbers.first_ms)} ms"),
        ("interval of the mean", interval.method if interval else "too few samples"),
        *_steadiness(row, numbers),
        ("CPU cores kept busy", known(numbers.cpu_cores, "{:.2f}")),
        ("cores busy with other work", known(numbers.other_load, "{:.2f}")),
        ("runtime", f"{row.backend} {row.version or 'of unknown version'}"),
        *([("options", options)] if options else []),
    ]


def _steadiness(row: Measurement, numbers: Summary) -> list[tuple[str, str]]:
    if row.scenario == "server":  # its latencies are mostly waiting, which says nothing of the runtime's steadiness
        return []
    return [
        ("repeats differ by", f"{numbers.spread:.1%}"),
        ("largest drift in a repeat", f"{numbers.drift:+.1%}"),
        ("coefficient of variation", f"{numbers.latency.cv:.1%}"),
    ]


def agreement(report: Report, lines: Sequence[Line]) -> Html:
    """How far each answer lies from the reference's, and how accurate each variant was measured to be."""
    heads = ("", "same answer", "cosine", "largest error", "agreement", "in words")
    rows = []
    for line in lines:
        found = line.row.agreement
        if found is None:
            values = ["not checked", "", "", "", ""]
        else:
            cosine = "—" if found.cosine is None else f"{found.cosine:.6f}"
            error = "—" if found.max_abs_error is None else f"{found.max_abs_error:.3g}"
            values = [
                "yes" if found.same_answer else "no",
                cosine,
                error,
                "yes" if found.agrees else "no",
                found.detail,
            ]
        rows.append(
            tag("tr", tag("th", line.label, scope="row"), [tag("td", value) for value in values], class_=line.status)
        )
    note = f"Compared with {report.reference}, on the same inputs." if report.reference else "There was no reference."
    return section("agreement", "Agreement", tag("p", note), _table(heads, rows))


def models(report: Report) -> Html | None:
    """The model's variants, and the accuracy that each was measured to have."""
    variants = report.model.get("variants")
    if not isinstance(variants, Mapping) or not variants:
        return None
    heads = ("variant", "file", "format", "precision", "accuracy", "sha256")
    rows = []
    for name, entry in variants.items():
        found = entry if isinstance(entry, Mapping) else {}
        values = [str(found.get(key) or "unknown") for key in ("file", "format", "precision")]
        cells = [*values, share(found.get("accuracy"))]
        sha256 = tag("td", tag("code", str(found.get("sha256") or "unknown")))
        rows.append(tag("tr", tag("th", name, scope="row"), [tag("td", value) for value in cells], sha256))
    rest = {key: value for key, value in report.model.items() if key != "variants"}
    return section("model", "Model", _list(rest), _table(heads, rows))


def conditions(report: Report) -> Html:
    """What was asked for, and what it ran on."""
    board = report.environment.get("board")
    versions = report.environment.get("versions")
    rest = {key: value for key, value in report.environment.items() if key not in ("board", "versions")}
    parts = [
        ("Asked for", report.conditions),
        ("Board", {**(board if isinstance(board, Mapping) else {}), **rest}),
        ("Versions", versions if isinstance(versions, Mapping) else {}),
    ]
    if report.power is not None:
        parts.append(("Power", asdict(report.power)))
    elif report.no_power:
        parts.append(("Power", {"source": f"not measurable here: {report.no_power}"}))
    columns = [tag("div", tag("h3", heading), _list(entries)) for heading, entries in parts]
    return section("conditions", "Conditions", tag("div", columns, class_="columns"))


def method() -> Html:
    """How to read the numbers."""
    notes = (
        "A percentile is a latency that occurred (MLPerf LoadGen's rule). Of 100 samples or fewer, p99 is the slowest.",
        "The mean's interval is Student's t over the repeats, each a fresh process: samples inside a process depend on "
        "one another, and pooling them would claim far too much.",
        "Rows can be told apart when the 95 % interval of the ratio of their repeats' medians excludes 1 (Welch's t).",
        "This page draws stretches of samples with their extremes. Every sample is in the report's JSON "
        f"(schema {SCHEMA}), which `piaccel bench --json FILE` writes and `piaccel compare OLD NEW` reads.",
    )
    return section("method", "How to read this", tag("ul", [tag("li", note) for note in notes]))


def _list(entries: Mapping[str, Any]) -> Html:
    pairs = [(name.replace("_", " "), _value(name, value)) for name, value in entries.items()]
    return tag("dl", [[tag("dt", name), tag("dd", value)] for name, value in pairs])


def _value(name: str, value: Any) -> str:
    """Write a value for a reader: sizes and clocks in the unit people use."""
    if value is None or value == "" or value == []:
        return "none" if name in ("images", "latency_bound_ms", "guesses") else "unknown"
    if isinstance(value, int) and name.endswith("_bytes"):
        return f"{value / 2**30:.1f} GiB"
    if isinstance(value, int) and name.endswith("_hz"):
        return f"{value / 1e9:g} GHz"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _table(heads: Sequence[str], rows: Sequence[Html]) -> Html:
    head = tag("thead", tag("tr", [tag("th", each, scope="col") for each in heads]))
    return tag("div", tag("table", head, tag("tbody", rows)), class_="wide", tabindex="0")
