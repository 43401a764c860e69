"""A benchmark's report as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from piaccel.bench import STAGES, Measurement, Report
from piaccel.bench.conclusion import in_order, sentence, winner
from piaccel.bench.energy import spent, thriftiest
from piaccel.bench.statistics import Distribution, Summary, summary

Measured = list[tuple[Measurement, Summary]]

_WANTED = {"temperature_c": "temperature", "clock_hz": "clock", "throttled": "throttle flags"}


def show(report: Report, console: Console) -> None:
    """Print the rows, what is wrong with them, the conclusion, and what the reader should know."""
    rows = [row for row in in_order(report) if row.repeats]
    conditions = report.conditions
    threads = "" if _several(report, "threads") else f"{_plural(report.measurements[0].threads, 'thread')}, "
    console.print(
        f"[bold]{escape(report.model['name'])}[/bold], {conditions['scenario']}, "
        f"{threads}{_plural(conditions['repeats'], 'repeat')} of {conditions['duration_s']:g} s, "
        f"inputs: {escape(conditions['inputs'])}"
    )
    if rows:
        measured = [(row, numbers) for row in rows if (numbers := summary(row)) is not None]
        tables = [_speeds, _costs]
        tables += [_stages] if any(numbers.stages for _, numbers in measured) else []
        tables += [_energy] if report.power is not None else []
        for table in tables:
            console.print()
            console.print(table(report, measured))
    for line in _remarks(report, rows):
        console.print(line)
    console.print(f"\n[bold]{escape(sentence(report))}[/bold]")
    if thrift := thriftiest(report):
        console.print(f"[bold]{escape(thrift)}[/bold]")
    for line in _notes(report):
        console.print(f"[dim]{escape(line)}[/dim]")


def _speeds(report: Report, rows: Measured) -> Table:
    """How fast, and whether to believe it."""
    best = winner(report)
    table = _table(report)
    rate = "per s" if report.conditions["scenario"] == "server" else "FPS"
    for name in ("p50 ms", "p90 ms", "p99 ms", rate, "mean ±"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict")
    for row, numbers in rows:
        style = "bold green" if row is best else "red" if _wrong(row) else "yellow" if not row.verdict.valid else ""
        table.add_row(*_identity(report, row), *_numbers(row, numbers), _verdict(row, row is best), style=style)
    return table


def _costs(report: Report, rows: Measured) -> Table:
    """How right, and what it takes."""
    table = _table(report)
    accurate = any(_accuracy(report, row) is not None for row, _ in rows)
    hot = any(_readings(row, "temperature_c") for row, _ in rows)
    clocked = any(_readings(row, "clock_hz") for row, _ in rows)
    table.add_column("cos, max error")
    names = [
        *(["accuracy"] if accurate else []),
        "load ms",
        "first ms",
        "RSS MB",
        "cores",
        *(["°C max"] if hot else []),
        *(["MHz min"] if clocked else []),
    ]
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for row, numbers in rows:
        accuracy = _accuracy(report, row)
        degrees, clocks = _readings(row, "temperature_c"), _readings(row, "clock_hz")
        cells = {
            "accuracy": "-" if accuracy is None else f"{accuracy:.3f}",
            "load ms": f"{numbers.load_ms:.0f}",
            "first ms": _ms(numbers.first_ms),
            "RSS MB": "-" if numbers.rss_peak_bytes is None else f"{numbers.rss_peak_bytes / 1e6:.0f}",
            "cores": "-" if numbers.cpu_cores is None else f"{numbers.cpu_cores:.1f}",
            "°C max": f"{max(degrees):.0f}" if degrees else "-",
            "MHz min": f"{min(clocks) / 1e6:.0f}" if clocks else "-",
        }
        table.add_row(*_identity(report, row), _agreement(report, row), *(cells[name] for name in names))
    return table


def _stages(report: Report, rows: Measured) -> Table:
    """With a picture, each stage from the file to the result: medians in ms."""
    table = _table(report)
    there = [stage for stage in STAGES if any(numbers.stages.get(stage) for _, numbers in rows)]
    for name in (*there, "all", "p99", "FPS"):
        table.add_column(name, justify="right", no_wrap=True)
    for row, numbers in rows:
        whole = numbers.end_to_end
        cells = [*(_median(numbers.stages.get(stage)) for stage in there), _median(whole)]
        table.add_row(
            *_identity(report, row), *cells, _ms(whole.p99_ms if whole else None), _count(numbers.end_to_end_fps)
        )
    return table


def _energy(report: Report, rows: Measured) -> Table:
    """What an inference takes beyond the idle machine, with half the interval of 95 %."""
    table = _table(report)
    for name in ("mJ", "± mJ", "W", "FPS/W"):
        table.add_column(name, justify="right", no_wrap=True)
    for row, _ in rows:
        found = spent(row, report.power)
        doubt = "unknown" if found.energy_mj is not None and found.uncertainty_mj is None else _ms(found.uncertainty_mj)
        cells = [_ms(found.energy_mj), doubt, _ms(found.mean_w), _ms(found.fps_per_watt)]
        table.add_row(*_identity(report, row), *cells)
    return table


def _power(report: Report) -> Iterator[str]:
    """Where the energy is from, what it leaves out, and why a row has none."""
    power = report.power
    if power is None:
        if report.no_power:
            yield f"energy: not measurable here: {report.no_power}"
        return
    idle = f"{power.idle_w:.2f} W idle, {power.idle_how}" if power.idle_w is not None else f"idle {power.idle_how}"
    left = f"; leaves out {power.leaves_out}" if power.leaves_out else ""
    yield f"energy: by {power.name} ({power.how}); accuracy: {power.accuracy}{left}; {idle}, subtracted"
    reasons: dict[str, list[str]] = {}
    for row in report.measurements:
        if row.repeats and (why := spent(row, power).reason):
            reasons.setdefault(why, []).append(row.name)
    for why, names in reasons.items():
        yield f"no energy of {', '.join(dict.fromkeys(names))}: {why}"


def _table(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("backend", no_wrap=True)
    if _several(report, "variant"):
        table.add_column("variant", overflow="fold", min_width=11)
    if _several(report, "threads"):
        table.add_column("threads", justify="right", no_wrap=True)
    return table


def _identity(report: Report, row: Measurement) -> list[str]:
    variant = [escape(row.variant)] if _several(report, "variant") else []
    return [row.backend, *variant, *([str(row.threads)] if _several(report, "threads") else [])]


def _several(report: Report, field: str) -> bool:
    return len({getattr(row, field) for row in report.measurements}) > 1


def _numbers(row: Measurement, numbers: Summary) -> Iterator[str]:
    latency = numbers.latency
    yield from (_ms(latency.p50_ms), _ms(latency.p90_ms), _ms(latency.p99_ms))
    if row.scenario == "server":
        yield _count(row.server["rate_per_s"] if row.server else None)
    else:
        yield _count(numbers.fps)
    interval = latency.mean_interval_ms
    yield "-" if interval is None else f"{(interval.high - interval.low) / 2 / latency.mean_ms:.1%}"


def _agreement(report: Report, row: Measurement) -> str:
    found = row.agreement
    if found is None:
        return "not compared"
    if row.name == report.reference and found.agrees:
        return "reference"
    text = "no numbers" if found.cosine is None else f"{found.cosine:.4f}, {found.max_abs_error:.1g}"
    return text if found.agrees else f"WRONG ({text})"


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
    yield from _power(report)
    timer = max((repeat.timer_ns for row in report.measurements for repeat in row.repeats), default=0)
    fastest = min((min(r.latency_ns) for row in report.measurements for r in row.repeats if r.latency_ns), default=0)
    if timer * 100 > fastest > 0:
        yield f"reading the clock takes {timer} ns of each sample"


def _wrong(row: Measurement) -> bool:
    return row.agreement is not None and not row.agreement.agrees


def _accuracy(report: Report, row: Measurement) -> float | None:
    """What the manifest states for the variant."""
    accuracy: float | None = report.model["variants"][row.variant]["accuracy"]
    return accuracy


def _readings(row: Measurement, name: str) -> list[float]:
    """What a sensor said through all repeats."""
    found = (series.values for repeat in row.repeats for series in repeat.series if series.name == name)
    return [value for values in found for value in values if value is not None]


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
