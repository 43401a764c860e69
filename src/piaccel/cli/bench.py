"""``piaccel bench``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piaccel.cli import _options as options
from piaccel.cli._progress import progress
from piaccel.cli._text import wide_console
from piaccel.errors import OptionError, UnavailableError

if TYPE_CHECKING:
    from piaccel.bench import Report


def bench(
    model: options.ModelArgument,
    backend: Annotated[str, typer.Option("--backend", "-b", help="all, or backends' names with commas.")] = "all",
    variant: Annotated[str | None, typer.Option(help="Only these variants of the bundle, with commas.")] = None,
    threads: Annotated[
        str | None,
        typer.Option("--threads", "-t", metavar="N,...", help="CPU threads, with commas; one a core if not."),
    ] = None,
    image: Annotated[
        list[Path],
        typer.Option(help="A picture, or a folder of them, to feed and to measure end to end with; repeatable."),
    ] = [],  # noqa: B006 - typer copies it
    scenario: Annotated[
        str, typer.Option(help="single-stream, multi-stream, offline, server (after MLPerf LoadGen), or camera.")
    ] = "single-stream",
    duration: Annotated[float, typer.Option(metavar="S", help="Seconds that each repeat measures at least.")] = 3.0,
    repeats: Annotated[int, typer.Option(min=1, help="Fresh processes for each row.")] = 3,
    latency_bound: Annotated[
        float | None, typer.Option(metavar="MS", help="Scenario server: 99 % must be answered within this.")
    ] = None,
    source: Annotated[
        str, typer.Option("--source", "-s", help="Scenario camera: picamera, usb:0, rtsp://..., synthetic:fps=30.")
    ] = "",
    policy: Annotated[str, typer.Option(help="Scenario camera: latest, fresh or every.")] = "latest",
    deadline: Annotated[
        str | None, typer.Option(help="Scenario camera: frames older than this are dropped, such as 80ms.")
    ] = None,
    option: options.BackendOptions = [],  # noqa: B006
    delegate: options.Delegate = None,
    require_full_delegation: options.FullDelegation = False,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report, every sample included.")] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as a page of its own.")] = None,
    cached: Annotated[
        bool, typer.Option("--cached", help="Measure nothing: show what auto measured, and what it picked.")
    ] = False,
    task: options.TaskName = None,
    labels: options.Labels = None,
    size: options.Size = None,
    mean: options.Mean = None,
    std: options.Std = None,
    colour: options.Colour = None,
    resize: options.Resize = None,
    power: options.Power = "auto",
    root: options.Root = Path("/"),
) -> None:
    """Measure a model in every runtime that can open it: which is fastest, is it right, can the number be trusted?

    Example: piaccel bench demo/bundle --image demo/images/gear_good.jpg --threads 1,2 --html report.html
    """
    _check_targets(json, html)
    option = options.delegation(option, delegate, require_full_delegation)
    given = options.overrides(task, labels, size, mean, std, colour, resize)
    counts = None if threads is None else _counts(threads)
    if cached:
        report = _remembered(model, variant, counts, option, root, given)
    else:
        report = _measure(
            model,
            backends=None if backend == "all" else _names("--backend", backend),
            variants=None if variant is None else _names("--variant", variant),
            threads=counts,
            scenario=scenario,
            images=image,
            duration_s=duration,
            repeats=repeats,
            latency_bound_ms=latency_bound,
            **_camera(scenario, source, policy, deadline),
            options=option,
            power=power,
            root=root,
            **given,
        )
    try:
        _write(report, json, html)
    finally:  # what was measured for minutes is shown, whatever becomes of the files
        _show(report)
    if report.interrupted:
        raise typer.Exit(130)
    if not any(row.repeats for row in report.measurements):
        raise typer.Exit(1)


def _camera(scenario: str, source: str, policy: str, deadline: str | None) -> dict[str, Any]:
    """What the scenario camera needs; its frames come through a pipeline."""
    if scenario != "camera":
        if source or deadline is not None or policy != "latest":
            raise OptionError(f"--source, --policy and --deadline are for --scenario camera, not for {scenario}")
        return {}
    from piaccel import sources, specs
    from piaccel.pipeline import policies
    from piaccel.pipeline.camera_scenario import MEASURE

    if not source:
        raise OptionError(
            "--scenario camera needs a source", hint="such as --source usb:0 or --source synthetic:fps=30"
        )
    sources.make(source)
    policies.make(policy, lambda frame, cause: None)
    deadline_s = None if deadline is None else specs.duration_s(deadline, "--deadline")
    return {"source": source, "policy": policy, "deadline_s": deadline_s, "measure": MEASURE}


def _check_targets(json: Path | None, html: Path | None) -> None:
    """Raise OptionError for what could not be written, before anything is measured."""
    for target in (json, html):
        if target is None:
            continue
        if target.is_dir():
            raise OptionError(f"{target} is a folder, the report is a file")
        folder = next(each for each in target.absolute().parents if each.exists())
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            raise OptionError(f"{target} cannot be written: {folder} takes no files from this user")
    if json is not None and html is not None and json.absolute() == html.absolute():
        raise OptionError(f"--json and --html both name {json}", hint="give each report a file of its own")


def _measure(model: Path, **arguments: Any) -> Report:
    """Run the benchmark under a progress bar, where somebody is there to see it."""
    from piaccel.bench.run import benchmark

    with progress("looking at the model and the runtimes") as tell:
        return benchmark(model, progress=tell, **arguments)


def _remembered(
    model: Path, variant: str | None, counts: list[int] | None, option: list[str], root: Path, given: dict[str, Any]
) -> Report:
    """Print what was picked and return the measurements behind it."""
    from piaccel import fastest
    from piaccel.bundles import Bundle

    if counts is not None and len(counts) > 1:
        raise OptionError("--cached is for one number of threads, or for none named")
    count = counts[0] if counts else None
    found = fastest.cached(Bundle.open(model), variant=variant, threads=count, options=option, root=root, **given)
    if found is None:
        raise UnavailableError(
            f"{model}: auto has not measured it yet with this board, these files and these versions",
            hint=f"piaccel predict {model} IMAGE",
        )
    pick = found.pick
    threads = "1 thread" if pick.threads == 1 else f"{pick.threads} threads"
    typer.echo(f"auto picked {pick.variant} on {pick.backend} with {threads}: {pick.why}")
    typer.echo(f"remembered in {found.remembered}")
    return found.report


def _write(report: Report, json: Path | None, html: Path | None) -> None:
    if json is not None:
        from piaccel.bench import report as data

        data.write(report, json)
    if html is not None:
        from piaccel.bench import html as page

        page.write(report, html)
    for path in (json, html):
        if path is not None:
            typer.echo(f"wrote {path}", err=True)


def _show(report: Report) -> None:
    from piaccel.cli import _bench_table as table

    table.show(report, wide_console())


def _names(option: str, text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise OptionError(f"{option} {text!r} names nothing")
    return names


def _counts(text: str) -> list[int]:
    names = _names("--threads", text)
    if not all(name.isdecimal() for name in names):
        raise OptionError(f"--threads {text!r} is not a list of numbers", hint="write it as --threads 1,2,4")
    return [int(name) for name in names]
