"""``piaccel soak``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piaccel.cli import _options as options
from piaccel.cli._progress import progress
from piaccel.cli._text import print_json, printable, wide_console
from piaccel.errors import InputError, OptionError

if TYPE_CHECKING:
    from piaccel.soak import Plan, Soak
    from piaccel.soak.findings import Findings
    from piaccel.soak.load import Work
    from piaccel.soak.run import Step
    from piaccel.soak.verdict import Verdict

_ROWS = 360


def soak(
    target: Annotated[str, typer.Argument(help="A bundle's folder, a model file, or http://HOST:8000/v2/models/NAME.")],
    minutes: Annotated[float, typer.Option(metavar="MIN", help="How long the load lasts.")] = 30.0,
    rate: Annotated[
        float | None, typer.Option(metavar="N", help="Questions a second; as fast as possible if not given.")
    ] = None,
    confirm: Annotated[
        float | None,
        typer.Option(
            metavar="MIN", help="Try the sustainable rate for so long after throttling; a third of --minutes."
        ),
    ] = None,
    idle: Annotated[
        float, typer.Option(metavar="S", help="Seconds without load before, for the idle temperature.")
    ] = 30.0,
    clients: Annotated[int, typer.Option(min=1, max=256, help="For a URL: how many ask at the same time.")] = 1,
    model: Annotated[str | None, typer.Option("--model", metavar="NAME", help="For the URL of a service.")] = None,
    key_file: Annotated[
        Path | None, typer.Option("--key-file", metavar="FILE", help="For a URL: the file that holds the key.")
    ] = None,
    image: Annotated[Path | None, typer.Option(help="The picture to ask about; made up if not given.")] = None,
    cooling: Annotated[str | None, typer.Option(metavar="TEXT", help="What cools the board, for the report.")] = None,
    ambient: Annotated[float | None, typer.Option(metavar="C", help="The room's temperature, for the report.")] = None,
    backend: options.Backend = "auto",
    no_fallback: options.NoFallback = False,
    variant: options.VariantName = None,
    threads: options.Threads = None,
    option: options.BackendOptions = [],  # noqa: B006 - typer copies it
    delegate: options.Delegate = None,
    require_full_delegation: options.FullDelegation = False,
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write rows, findings and verdict; - prints them.")
    ] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page with the curves.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and how long it takes.")] = False,
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
    """Load a board for half an hour: does it throttle, when, and which rate can it hold?

    Exit code 0: it passed. 1: it throttled, failed, or could not be judged. 2: wrong usage.

    Example: piaccel soak demo/bundle --minutes 30 --cooling "active cooler" --html soak.html
    """
    plan = _plan(minutes, rate, confirm, idle, clients)
    _check_targets(json, html)
    is_url = target.startswith(("http://", "https://"))
    if not is_url and (clients > 1 or model is not None or key_file is not None):
        raise OptionError(
            "--clients, --model and --key-file are for a URL", hint="give http://HOST:8000/v2/models/NAME"
        )
    given = options.overrides(task, labels, size, mean, std, colour, resize)
    with ExitStack() as stack:
        if is_url:
            loaded = _service(target, model, key_file, image, clients, stack)
        else:
            loaded = _local(
                Path(target), image, dry_run, stack,
                backend="litert" if delegate is not None and backend == "auto" else backend,
                fallback=not no_fallback, variant=variant, threads=threads, root=root,
                options=options.delegation(option, delegate, require_full_delegation), **given,
            )  # fmt: skip
        if dry_run:
            _say_plan(loaded, plan)
            return
        seen = _run(loaded, plan, root, power, cooling, ambient)
    from piaccel.soak import html as page
    from piaccel.soak import report
    from piaccel.soak.findings import find
    from piaccel.soak.verdict import judge

    found = find(seen)
    verdict = judge(seen, found)
    if html is not None:
        page.write(seen, html)
        typer.echo(f"wrote {html}", err=True)
    if json == Path("-"):
        print_json(report.document(seen))
    else:
        if json is not None:
            report.write(seen, json)
            typer.echo(f"wrote {json}", err=True)
        _show(seen, found, verdict)
    if not verdict.passed:
        raise typer.Exit(1)


@dataclass(frozen=True)
class _Loaded:
    """What will be asked: ``target`` names it in the report; ``is_here`` whether this board's sensors belong to it."""

    workers: Sequence[Work]
    target: Mapping[str, Any]
    words: str
    is_here: bool = True
    own_memory: bool = False


def _plan(minutes: float, rate: float | None, confirm: float | None, idle: float, clients: int) -> Plan:
    from piaccel.soak import Plan

    for name, value, least in (("--minutes", minutes, 0.0), ("--rate", rate, 0.0), ("--idle", idle, -1.0)):
        if value is not None and not (least < value < 1e6):
            raise OptionError(f"{name} {value:g} is out of range")
    if confirm is not None and not 0 <= confirm < 1e6:
        raise OptionError(f"--confirm {confirm:g} is out of range", hint="0 is not at all")
    load_s = minutes * 60
    return Plan(
        load_s=load_s,
        idle_s=max(idle, 0.0),
        confirm_s=60 * confirm if confirm is not None else load_s / 3,
        rate_per_s=rate,
        clients=clients,
        row_s=max(1.0, load_s / _ROWS),
    )


def _check_targets(json: Path | None, html: Path | None) -> None:
    """Raise OptionError for what could not be written, before half an hour is spent."""
    for path in (json, html):
        if path is None or (path is json and path == Path("-")):
            continue
        if path.is_dir() or not path.absolute().parent.is_dir():
            raise OptionError(f"{path} cannot be written: {'it is a folder' if path.is_dir() else 'no such folder'}")
    if json is not None and html is not None and json.absolute() == html.absolute():
        raise OptionError(f"--json and --html both name {json}", hint="give each a file of its own")


def _local(path: Path, image: Path | None, dry_run: bool, stack: ExitStack, **how: Any) -> _Loaded:
    from piaccel import auto, images
    from piaccel.bench.pictures import synthetic
    from piaccel.bundles import Bundle

    picture = images.read_image(image) if image is not None else synthetic(0, 1)[0]
    if dry_run:  # loading may measure every runtime first
        bundle = Bundle.open(path)
        return _Loaded([], {"model": bundle.name}, f"{bundle.name} on {how['backend']}")
    with progress("looking at the model and the runtimes") as tell:
        model = stack.enter_context(auto.load(path, progress=tell, **how))
    named = {
        "model": model.bundle.name, "path": str(path), "variant": model.variant.name, "backend": model.backend,
        "threads": model.threads, "picture": str(image) if image else "made up",
    }  # fmt: skip
    words = f"{model.bundle.name}: {model.variant.name} on {model.backend}, {model.threads} threads"
    return _Loaded([lambda: model.predict(picture)], named, words, own_memory=True)


def _service(
    url: str, model: str | None, key_file: Path | None, image: Path | None, clients: int, stack: ExitStack
) -> _Loaded:
    from piaccel.soak.client import Client, Target

    place = Target.parse(url, model)
    key = _contents(key_file).decode(errors="replace").strip() if key_file is not None else ""
    blob = _contents(image) if image is not None else None
    workers = [Client(place, key) for _ in range(clients)]
    for worker in workers:
        stack.callback(worker.close)
    metadata = workers[0].metadata()
    for number, worker in enumerate(workers):
        if blob is None:
            worker.ask_tensors(metadata, seed=number)
        else:
            worker.ask_picture(blob)
    named = {
        "model": place.name, "url": url, "versions": ", ".join(map(str, metadata.get("versions") or ())),
        "platform": metadata.get("platform"), "question": "binary tensors" if blob is None else f"the picture {image}",
    }  # fmt: skip
    words = f"{place.name} at {place.host}:{place.port}, {clients} client{'s' if clients > 1 else ''}"
    return _Loaded(workers, named, words, is_here=place.is_here)


def _contents(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def _say_plan(loaded: _Loaded, plan: Plan) -> None:
    from piaccel.soak.verdict import span

    rate = "as fast as possible" if plan.rate_per_s is None else f"{plan.rate_per_s:g} a second"
    typer.echo(f"would load {printable(loaded.words)}, {rate}, for {span(plan.load_s)} after {span(plan.idle_s)} idle")
    if plan.confirm_s:
        typer.echo(f"if it throttles: cool down for at most 5 min, then {span(plan.confirm_s)} at the sustainable rate")
    typer.echo("nothing was loaded")


def _run(loaded: _Loaded, plan: Plan, root: Path, power: str, cooling: str | None, ambient: float | None) -> Soak:
    from piaccel.bench import energy
    from piaccel.device import board, sensors
    from piaccel.soak.findings import limit_c
    from piaccel.soak.memory import rss_bytes
    from piaccel.soak.run import soak as measure
    from piaccel.version import __version__

    is_ours = loaded.is_here or root != Path("/")
    machine = board.detect(root).fingerprint() if is_ours else {}
    source, _ = energy.asked(power, root) if is_ours else (None, "")
    meter = [energy.Watts(source)] if source is not None else []
    typer.echo(printable(loaded.words), err=True)
    with _watched() as tell:
        return measure(
            loaded.workers,
            plan,
            sensors=[*sensors.find(root), *meter] if is_ours else [],
            limit_c=limit_c(machine.get("model")),
            target=loaded.target,
            environment={
                "board": machine, "versions": {"piaccel": __version__}, "cooling": cooling, "ambient_c": ambient,
                "power": energy.words(source),
            },
            rss_bytes=rss_bytes if loaded.own_memory else lambda: None,
            tell=tell,
            sensors_note="" if is_ours else "the service runs on another machine, whose sensors are not read from here",
        )  # fmt: skip


@contextmanager
def _watched() -> Iterator[Callable[[Step], None]]:
    """Yield what shows how far it is, and how hot; on a terminal only."""
    import sys

    if not sys.stderr.isatty():
        yield lambda step: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(24), TimeRemainingColumn(compact=True), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True, refresh_per_second=1) as bar:
        shown = bar.add_task("warming up", total=None)

        def tell(step: Step) -> None:
            row = step.row
            heat = "" if row.temperature_c is None else f"  {row.temperature_c:.1f} °C"
            clock = "" if row.clock_hz is None else f"  {row.clock_hz / 1e6:.0f} MHz"
            held = "  throttled" if (row.throttled or 0) & 0xE else ""
            rate = f"  {row.rate_per_s:.1f}/s" if row.answers else ""
            bar.update(
                shown, total=step.total_s, completed=step.done_s, description=f"{row.stage}{heat}{clock}{rate}{held}"
            )

        yield tell


def _show(seen: Soak, found: Findings, verdict: Verdict) -> None:
    from rich.table import Table

    from piaccel.soak.words import conclusion, table

    console = wide_console()
    shown = Table(box=None, pad_edge=False)
    for name in ("", "begin", "end"):
        shown.add_column(name, justify="left" if not name else "right")
    for line in table(found):
        shown.add_row(*line)
    console.print(shown)
    typer.echo(f"{verdict.kind}: {printable(conclusion(seen, found, verdict))}")
    for reason in verdict.reasons:
        typer.echo(f"  {printable(reason)}")
    for text, count in list(seen.errors.items())[:5]:
        typer.echo(f"  {count} times: {printable(text)}")
    for advice in verdict.advice:
        typer.echo(f"  -> {printable(advice)}")
