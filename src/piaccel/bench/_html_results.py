"""The HTML report's results: the table, the latency distributions, the stages from file to result."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from piaccel.bench import Report
from piaccel.bench._html_charts import axis, histogram, stack
from piaccel.bench._html_line import Line, known, section
from piaccel.bench._html_scale import Scale, number
from piaccel.bench._html_tags import Html, tag
from piaccel.bench.energy import spent
from piaccel.bench.statistics import Summary, percentile

Column = tuple[str, Callable[[Line, Summary], str]]


def table(report: Report, lines: Sequence[Line]) -> Html:
    """Every row with its numbers; what could not be measured says so across them."""
    columns = _columns(report, lines)
    heads = ["", "threads", "precision", *(name for name, _ in columns)]
    rows = []
    for line in lines:
        name = tag("th", line.label, " ", line.badges(), scope="row")
        if line.numbers is None:
            numbers = [tag("td", "not measured", colspan=str(len(columns)), class_="nothing")]
        else:
            numbers = [
                tag("td", write(line, line.numbers), class_="main" if head == "p50" else None)
                for head, write in columns
            ]
        cells = [tag("td", line.row.threads), tag("td", line.row.precision), *numbers]
        rows.append(tag("tr", name, cells, class_=line.status))
        if line.reasons():
            rows.append(tag("tr", tag("td", line.why(), colspan=str(len(heads))), class_="why"))
    sizes = sorted({line.row.samples_per_query for line in lines})
    query = "a query" if sizes in ([], [1]) else f"a query of {' or '.join(map(str, sizes))} samples"
    waited = any(line.row.scenario == "server" for line in lines)
    span = "from the moment it was due: waiting is part of it" if waited else "inference alone"
    if report.conditions.get("scenario") == "camera":
        query, span = "a result", "its age: from the frame's exposure until it was published"
    note = (
        f"Latency of {query} in ms, {span}. Percentiles are over the samples of all repeats. "
        "A row that is not valid, or whose answer is wrong, is never called fastest."
    )
    head = tag("thead", tag("tr", [tag("th", each, scope="col") for each in heads]))
    whole = tag("table", head, tag("tbody", rows))
    return section("results", "Results", tag("p", note), tag("div", whole, class_="wide", tabindex="0"))


def _columns(report: Report, lines: Sequence[Line]) -> list[Column]:
    """What the table shows of a measured row; columns that no row would fill are left out."""
    columns: list[Column] = [
        ("p50", lambda _, numbers: number(numbers.latency.p50_ms)),
        ("p90", lambda _, numbers: number(numbers.latency.p90_ms)),
        ("p95", lambda _, numbers: number(numbers.latency.p95_ms)),
        ("p99", lambda _, numbers: number(numbers.latency.p99_ms)),
        ("mean ±\xa095\xa0%", lambda _, numbers: _mean(numbers)),
        ("FPS", lambda _, numbers: number(numbers.fps)),
    ]
    if any(line.row.scenario == "camera" for line in lines):
        columns.append(("dropped", lambda line, _: _dropped(line)))
    if any(line.row.scenario == "server" for line in lines):
        columns.append(("queries/s", lambda line, _: _rate(line)))
    if any(line.numbers is not None and line.numbers.end_to_end for line in lines):
        columns.append(
            (
                "end\xa0to end\xa0p50",
                lambda _, numbers: number(numbers.end_to_end.p50_ms) if numbers.end_to_end else "—",
            )
        )
        columns.append(
            (
                "end\xa0to end\xa0FPS",
                lambda _, numbers: number(numbers.end_to_end_fps) if numbers.end_to_end_fps else "—",
            )
        )
    if report.power is not None:
        columns.append(("mJ ±\xa095\xa0%", lambda line, _: _millijoules(report, line)))
        columns.append(("FPS/W", lambda line, _: known(spent(line.row, report.power).fps_per_watt, "{:.3g}")))
    variants = report.model.get("variants") or {}
    accuracies = {name: entry.get("accuracy") for name, entry in variants.items()}
    if any(value is not None for value in accuracies.values()):
        columns.append(("accuracy", lambda line, _: share(accuracies.get(line.row.variant))))
    columns += [
        ("cosine", lambda line, _: _cosine(line)),
        ("load ms", lambda _, numbers: number(numbers.load_ms)),
        ("first ms", lambda _, numbers: number(numbers.first_ms)),
        ("CPU cores", lambda _, numbers: known(numbers.cpu_cores, "{:.2f}")),
        ("peak RSS MB", lambda _, numbers: known(numbers.rss_peak_bytes, "{:.0f}", 1e6)),
    ]
    return columns


def _mean(numbers: Summary) -> str:
    mean, interval = number(numbers.latency.mean_ms), numbers.latency.mean_interval_ms
    if interval is None:
        return f"{mean} ± unknown"
    return f"{mean} ± {(interval.high - interval.low) / 2:.{len(mean.partition('.')[2])}f}"


def _millijoules(report: Report, line: Line) -> str:
    found = spent(line.row, report.power)
    if found.energy_mj is None:
        return "not measurable here"
    doubt = "unknown" if found.uncertainty_mj is None else number(found.uncertainty_mj)
    return f"{number(found.energy_mj)} ± {doubt}"


def _rate(line: Line) -> str:
    rate = line.row.server.get("rate_per_s") if line.row.server else None
    return number(rate) if rate else "none met the bound"


def _dropped(line: Line) -> str:
    seen = [repeat.camera for repeat in line.row.repeats if repeat.camera is not None]
    offered = sum(each["offered"] for each in seen)
    dropped = sum(sum(each["dropped"].values()) for each in seen)
    return f"{dropped / offered:.1%}" if offered else "—"


def _cosine(line: Line) -> str:
    if line.row.agreement is None:
        return "not checked"
    return "—" if line.row.agreement.cosine is None else f"{line.row.agreement.cosine:.4f}"


def share(value: object) -> str:
    """Write an accuracy as the percentage it is."""
    return f"{value:.1%}" if isinstance(value, int | float) else "unknown"


def distributions(lines: Sequence[Line]) -> Html | None:
    if not lines:
        return None
    samples = [np.concatenate([np.asarray(run.latency_ns) for run in line.row.repeats]) / 1e6 for line in lines]
    # A few stragglers must not press everything else into a sliver: beyond the largest p99 they are counted instead.
    scale = Scale.over(min(float(each.min()) for each in samples), max(percentile(each, 99) for each in samples))
    parts: list[Html] = []
    for line, each in zip(lines, samples, strict=True):
        assert line.numbers is not None
        latency = line.numbers.latency
        text = f"p50 {number(latency.p50_ms)}, p90 {number(latency.p90_ms)}, p99 {number(latency.p99_ms)} ms"
        beyond = int((each > scale.high).sum())
        more = tag("span", f"{beyond} slower, up to {number(latency.max_ms)} ms ▸", class_="beyond") if beyond else None
        marks = [("median", latency.p50_ms), ("p90", latency.p90_ms), ("p99", latency.p99_ms)]
        parts.append(tag("div", tag("b", line.label), " ", line.badges(), tag("small", text), class_="name"))
        parts.append(
            tag("div", histogram(each, scale, marks, f"{line.label}: {text}"), more, class_=f"plot {line.status}")
        )
    parts.append(tag("div", axis(scale, "ms"), class_="foot"))
    note = [
        "How often each latency occurred, over all repeats. Lines: ", tag("i", "median", class_="key median"), " ",
        tag("i", "p90", class_="key p90"), " ", tag("i", "p99", class_="key p99"),
    ]  # fmt: skip
    return section("distributions", "Latency distributions", tag("p", note), tag("div", parts, class_="chart"))


def stages(lines: Sequence[Line]) -> Html | None:
    measured = [(line, line.numbers) for line in lines if line.numbers is not None and line.numbers.stages]
    if not measured:
        return None
    longest = max(sum(stage.p50_ms for stage in numbers.stages.values()) for _, numbers in measured)
    scale = Scale(0.0, longest * 1.03)
    parts, rows = [], []
    for line, numbers in measured:
        medians = [(name, stage.p50_ms) for name, stage in numbers.stages.items()]
        assert numbers.end_to_end is not None
        whole = numbers.end_to_end
        text = f"p50 {number(whole.p50_ms)}, p90 {number(whole.p90_ms)}, p99 {number(whole.p99_ms)} ms"
        shares = ", ".join(f"{name} {number(value)} ms" for name, value in medians)
        parts.append(tag("div", tag("b", line.label), " ", line.badges(), tag("small", text), class_="name"))
        parts.append(tag("div", stack(medians, scale, f"{line.label}: {shares}"), class_=f"plot {line.status}"))
        entries = [*numbers.stages.items(), ("end to end", whole)]
        for index, (name, stage) in enumerate(entries):
            values = (stage.mean_ms, stage.p50_ms, stage.p90_ms, stage.p99_ms, stage.max_ms)
            first = tag("th", line.label, scope="rowgroup", rowspan=str(len(entries))) if index == 0 else None
            cells = [tag("td", number(value)) for value in values]
            rows.append(tag("tr", first, tag("td", name, class_="stage"), cells))
    parts.append(tag("div", axis(scale, "ms"), class_="foot"))
    keys = [[tag("i", name, class_=f"key {name}"), " "] for name in measured[0][1].stages]
    heads = [tag("th", head, scope="col") for head in ("", "stage", "mean", "p50", "p90", "p99", "max")]
    table = tag("table", tag("thead", tag("tr", heads)), tag("tbody", rows))
    return section(
        "stages", "End to end, by stage",
        tag("p", "From the file or the exposure to the result, the median of each stage. ", keys),
        tag("div", parts, class_="chart"),
        tag("details", tag("summary", "Every stage in numbers (ms)"), tag("div", table, class_="wide", tabindex="0")),
    )  # fmt: skip
