"""What came of a run, as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from piaccel.cli._run_live import causes, ms
from piaccel.cli._text import printable
from piaccel.pipeline.masking import masked
from piaccel.pipeline.runner import Summary
from piaccel.pipeline.snapshot import Snapshot, StreamNumbers


def show(summary: Summary, console: Console) -> None:
    """Print ages, stages, frames, sinks, temperature, and whether the numbers may be believed."""
    seen = summary.numbers
    console.print(_ages(seen.streams))
    if any(stream.stages for stream in seen.streams):
        console.print(_stages(seen.streams))
    console.print(_frames(seen))
    if seen.sinks:
        console.print(_sinks(seen))
    for line in _remarks(summary):
        console.print(f"[dim]{_safe(line)}[/dim]")
    verdict = summary.verdict
    if verdict.valid:
        console.print("[bold green]valid[/bold green]")
    else:
        console.print(f"[bold yellow]not valid[/bold yellow]: {_safe('; '.join(verdict.reasons))}")


def _ages(streams: Iterable[StreamNumbers]) -> Table:
    table = _table(
        "stream", "runs on", numbers=("results", "per s", "age p50 ms", "p95", "p99", "max", "gap ms", "±", "late")
    )
    for stream in streams:
        age, gap = stream.age, stream.gap
        per_s = None if not gap.mean_ms else 1e3 / gap.mean_ms
        table.add_row(
            _safe(stream.name),
            _safe("/".join(each for each in (stream.backend, stream.variant) if each) or "-"),
            str(stream.answered),
            "-" if per_s is None else f"{per_s:.1f}",
            *(ms(value) for value in (age.p50_ms, age.p95_ms, age.p99_ms, age.max_ms, gap.mean_ms, gap.sd_ms)),
            "-" if stream.deadline_ms is None else str(stream.late),
        )
    return table


def _stages(streams: Iterable[StreamNumbers]) -> Table:
    table = _table("stream", "stage", numbers=("p50 ms", "p95", "p99", "max"))
    for stream in streams:
        for name, spread in stream.stages.items():
            values = (spread.p50_ms, spread.p95_ms, spread.p99_ms, spread.max_ms)
            table.add_row(_safe(stream.name), _safe(name), *(ms(value) for value in values))
    return table


def _frames(seen: Snapshot) -> Table:
    table = _table("stream", numbers=("offered", "answered", "failed"))
    table.add_column("dropped")
    for stream in seen.streams:
        counts = (stream.offered, stream.answered, stream.failed)
        table.add_row(_safe(stream.name), *map(str, counts), _safe(causes(stream.dropped)))
    return table


def _sinks(seen: Snapshot) -> Table:
    table = _table("sink", "delivery", numbers=("sent", "retries"))
    for name in ("given up", "trouble"):
        table.add_column(name)
    for sink in seen.sinks:
        table.add_row(
            _safe(sink.name), _safe(sink.delivery), str(sink.sent), str(sink.retries),
            _safe(causes(sink.given_up)), _safe(sink.error or "-"),
        )  # fmt: skip
    return table


def _remarks(summary: Summary) -> Iterable[str]:
    for camera in summary.numbers.cameras:
        troubles = {"frames lost": camera.lost, "reconnects": camera.reconnects, "restamped": camera.restamped}
        rest = "".join(f", {name}: {count}" for name, count in troubles.items() if count)
        yield f"source {camera.name}: {camera.produced} frames, ages count from the {camera.clock} time{rest}"
    degrees = [point.get("temperature_c") for point in summary.numbers.history]
    known = [each for each in degrees if each is not None]
    if summary.hottest_c is not None:
        lowest = min([*known, summary.hottest_c])
        yield f"temperature {lowest:.0f} to {summary.hottest_c:.0f} °C"
    else:
        yield "temperature not measurable here"
    yield _power(summary)
    yield from (f"heat: {step}" for step in summary.numbers.steps)
    yield f"ended: {summary.ended}, after {summary.numbers.up_s:.1f} s"


def _power(summary: Summary) -> str:
    if summary.mean_w is None:
        return "power not measurable here"
    answered = sum(stream.answered for stream in summary.numbers.streams)
    joules = summary.mean_w * summary.numbers.up_s
    each = f", {joules / answered * 1e3:.3g} mJ a result with the idle power in it" if answered else ""
    return f"power {summary.mean_w:.2f} W in the mean{each}"


def _table(*texts: str, numbers: Iterable[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in texts:
        table.add_column(name, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _safe(text: str) -> str:
    return escape(printable(masked(text)))
