"""A benchmark's report as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from piaccel.bench import STAGES, Measurement, Report
from piaccel.bench.conclusion import ranking, sentence, winner
from piaccel.bench.statistics import Distribution, Summary, summary

_WANTED = {"temperature_c": "temperature", "clock_hz": "clock", "throttled": "throttle flags"}


def show(report: Report, console: Console) -> None:
    """Print the rows, fastest first, what is wrong with them, the conclusion, and what the reader should know."""
    rows = ranking(report.measurements)
    rows += [row for row in report.measurements if row not in rows and row.repeats]
    best = winner(report)
    conditions = report.conditions
    console.print(
        f"[bold]{escape(report.model['name'])}[/bold], {conditions['scenario']}, "
        f"{_plural(conditions['repeats'], 'repeat')} of {conditions['duration_s']:g} s, "
        f"inputs: {escape(conditions['inputs'])}"
    )
    if rows:
        console.print(_speeds(report, rows, best))
        console.print(_details(report, rows))
    for line in _remarks(report, rows):
        console.print(line)
    console.print(f"\n[bold]{escape(sentence(report))}[/bold]")
    for line in _notes(report):
        console.print(f"[dim]{escape(line)}[/dim]")


def _speeds(report: Report, rows: list[Measurement], best: Measurement | None) -> Table:
    table = _table(report)
    server = report.conditions["scenario"] == "server"
    hot = any(_hottest(row) is not None for row in rows)
    for name in ("p50 ms", "p90 ms", "p99 ms", "per s" if server else "FPS", "mean ±", "RSS MB", "CPU cores"):
        table.add_column(name, justify="right", no_wrap=True)
    if hot:
        table.add_column("°C max", justify="right", no_wrap=True)
    table.add_column("cos, max error")
    table.add_column("verdict")
    for row in rows:
        numbers = summary(row)
        assert numbers is not None
        cells = [*_identity(report, row), *_numbers(row, numbers)]
        if hot:
            hottest = _hottest(row)
            cells.append("-" if hottest is None else f"{hottest:.0f}")
        style = "bold green" if row is best else "red" if _wrong(row) else "yellow" if not row.verdict.valid else ""
        table.add_row(*cells, _agreement(report, row), _verdict(row, row is best), style=style)
    return table


def _details(report: Report, rows: list[Measurement]) -> Table:
    """How long it takes to start, and with a picture each stage: medians in ms."""
    table = _table(report)
    staged = any(repeat.stages_ns for row in rows for repeat in row.repeats)
    names = ["load ms", "first ms", *((*STAGES, "end to end", "p99", "FPS") if staged else ())]
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        numbers = summary(row)
        assert numbers is not None
        cells = [f"{numbers.load_ms:.0f}", _ms(numbers.first_ms)]
        if staged:
            cells += [_median(numbers.stages.get(stage)) for stage in STAGES]
            whole = numbers.end_to_end
            cells += [_median(whole), _ms(whole.p99_ms if whole else None), _count(numbers.end_to_end_fps)]
        table.add_row(*_identity(report, row), *cells)
    return table


def _table(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("backend", no_wrap=True)
    if _several_variants(report):
        table.add_column("variant", overflow="fold")
    table.add_column("threads", justify="right")
    return table


def _identity(report: Report, row: Measurement) -> list[str]:
    variant = [escape(row.variant)] if _several_variants(report) else []
    return [row.backend, *variant, str(row.threads)]


def _several_variants(report: Report) -> bool:
    return len({row.variant for row in report.measurements}) > 1


def _numbers(row: Measurement, numbers: Summary) -> Iterator[str]:
    latency = numbers.latency
    yield from (_ms(latency.p50_ms), _ms(latency.p90_ms), _ms(latency.p99_ms))
    if row.scenario == "server":
        yield _count(row.server["rate_per_s"] if row.server else None)
    else:
        yield _count(numbers.fps)
    interval = latency.mean_interval_ms
    yield "-" if interval is None else f"{(interval.high - interval.low) / 2 / latency.mean_ms:.1%}"
    yield "-" if numbers.rss_peak_bytes is None else f"{numbers.rss_peak_bytes / 1e6:.0f}"
    yield "-" if numbers.cpu_cores is None else f"{numbers.cpu_cores:.1f}"


def _agreement(report: Report, row: Measurement) -> str:
    found = row.agreement
    if found is None:
        return "not compared"
    text = "no numbers" if found.cosine is None else f"{found.cosine:.4f}, {found.max_abs_error:.2g}"
    if not found.agrees:
        return f"WRONG ({text})"
    return f"{text} (reference)" if row.name == report.reference else text


def _verdict(row: Measurement, best: bool) -> str:
    if _wrong(row):
        return "wrong answer"
    if row.verdict.valid:
        return "valid, fastest" if best else "valid"
    return "INVALID: " + escape(", ".join(reason.partition(":")[0] for reason in row.verdict.reasons))


def _remarks(report: Report, rows: list[Measurement]) -> Iterator[str]:
    """Why rows are invalid or wrong, and what could not be measured at all."""
    for row in rows:
        name = escape(f"{row.name}, {_plural(row.threads, 'thread')}")
        if row.agreement is not None and row.agreement.detail:
            yield f"[red]{name}: wrong answer: {escape(row.agreement.detail)}[/red]"
        if row.verdict.reasons:
            yield f"[yellow]{name}: {escape('; '.join(row.verdict.reasons))}[/yellow]"
        if row.note:
            yield f"[dim]{name}: {escape(row.note)}[/dim]"
    for row in report.measurements:
        if row.error:
            hint = f" -> {row.hint}" if row.hint else ""
            yield f"[red]{escape(row.name)}: not measured: {escape(row.error + hint)}[/red]"


def _notes(report: Report) -> Iterator[str]:
    if report.interrupted:
        yield "interrupted: this is what was finished by then"
    if report.reference:
        yield f"reference for the answers: {report.reference}"
    else:
        yield "no reference answered: the answers were not compared"
    if guesses := report.model["guesses"]:
        yield f"guessed: {'; '.join(guesses)}"
    there = {series.name for row in report.measurements for repeat in row.repeats for series in repeat.series}
    if missing := [word for name, word in _WANTED.items() if name not in there]:
        yield f"not measurable here: {', '.join(missing)}"
    timer = max((repeat.timer_ns for row in report.measurements for repeat in row.repeats), default=0)
    fastest = min((min(r.latency_ns) for row in report.measurements for r in row.repeats if r.latency_ns), default=0)
    if timer * 100 > fastest > 0:
        yield f"reading the clock takes {timer} ns of each sample"


def _wrong(row: Measurement) -> bool:
    return row.agreement is not None and not row.agreement.agrees


def _hottest(row: Measurement) -> float | None:
    values = (series.values for repeat in row.repeats for series in repeat.series if series.name == "temperature_c")
    return max((value for each in values for value in each if value is not None), default=None)


def _median(distribution: Distribution | None) -> str:
    return _ms(distribution.p50_ms if distribution else None)


def _ms(value: float | None) -> str:
    """Three digits that count."""
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _count(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
