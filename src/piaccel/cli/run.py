"""``piaccel run``."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piaccel.cli import _options as options
from piaccel.cli._progress import progress
from piaccel.cli._text import print_json, printable, wide_console
from piaccel.errors import OptionError

if TYPE_CHECKING:
    from piaccel.pipeline.runner import Pipeline
    from piaccel.pipeline.settings import Settings


def run(
    config: Annotated[
        Path | None, typer.Argument(help="A TOML file that says everything; see docs/run.md.", metavar="[FILE.toml]")
    ] = None,
    source: Annotated[
        list[str],
        typer.Option(
            "--source", "-s", help="picamera, usb:0, rtsp://..., a video, a folder, synthetic; may be repeated."
        ),
    ] = [],  # noqa: B006 - typer copies it
    model: Annotated[list[str], typer.Option("--model", "-m", help="A bundle or a model file; may be repeated.")] = [],  # noqa: B006 - typer copies it
    sink: Annotated[
        list[str],
        typer.Option(
            "--sink", "-k", help="console, jsonl:PATH, mqtt://HOST/TOPIC, gpio:17,reject=LABEL, ...; may be repeated."
        ),
    ] = [],  # noqa: B006 - typer copies it
    policy: Annotated[
        str | None, typer.Option(help="latest (the default), fresh, paced or every: which frame is answered next.")
    ] = None,
    deadline: Annotated[
        str | None, typer.Option(help="A frame older than this is dropped before inference, such as 80ms.")
    ] = None,
    period: Annotated[str | None, typer.Option(help="Policy paced: from one result to the next.")] = None,
    trigger: Annotated[
        str | None, typer.Option(help="One result a part: source, gpio:27,delay=30ms, encoder:17+27,counts=400.")
    ] = None,
    frames: Annotated[int | None, typer.Option("--frames", "-n", min=1, help="End after so many results.")] = None,
    seconds: Annotated[float | None, typer.Option("--seconds", min=0.1, help="End after so long.")] = None,
    backend: options.Backend = "auto",
    no_fallback: options.NoFallback = False,
    variant: options.VariantName = None,
    threads: options.Threads = None,
    option: options.BackendOptions = [],  # noqa: B006 - typer copies it
    workers: Annotated[int, typer.Option(min=1, help="Copies of the model at work at the same time.")] = 1,
    isolate: Annotated[
        bool, typer.Option("--isolate", help="Run the model in a process of its own: a crash costs one frame.")
    ] = False,
    roi: Annotated[
        str | None, typer.Option(metavar="X,Y,W,H", help="Region of interest, in pixels or shares of the frame.")
    ] = None,
    tiles: Annotated[
        str | None, typer.Option(metavar="COLSxROWS", help="Look at the frame in overlapping tiles.")
    ] = None,
    track: Annotated[bool, typer.Option("--track", help="Give detections ids that stay the same.")] = False,
    rung: Annotated[
        list[str],
        typer.Option(
            metavar="KEY=VALUE,...", help="A step down when the board is hot: variant=..., rate=5; repeatable."
        ),
    ] = [],  # noqa: B006 - typer copies it
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Lowest confidence to report (detection, pose).")
    ] = None,
    web: Annotated[
        str | None, typer.Option(metavar="[HOST:]PORT", help="Show pictures and charts in a browser, and /metrics.")
    ] = None,
    log: Annotated[Path | None, typer.Option(help="Write the monitor's numbers here, as JSON lines.")] = None,
    name: Annotated[str | None, typer.Option(help="This device's name in the events' ids.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check and show what would run; open no camera, model or sink.")
    ] = False,
    json: options.Json = False,
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
    """Run camera, model and output in real time, and say at the end how old the results were.

    \b
    Examples:
      piaccel run --source usb:0 --model demo/bundle --sink console --deadline 80ms
      piaccel run --source synthetic:fps=30 --model demo/bundle --sink jsonl:out.jsonl
      piaccel run line.toml --web 8080
    """
    from piaccel.bench import energy
    from piaccel.device.power import Beside
    from piaccel.pipeline.runner import Pipeline

    given = options.overrides(task, labels, size, mean, std, colour, resize)
    stream = {
        "policy": policy,
        "deadline": deadline,
        "period": period,
        "trigger": trigger,
        "backend": backend,
        "fallback": not no_fallback,
        "variant": variant,
        "threads": threads,
        "options": option,
        "workers": workers,
        "isolate": isolate,
        "roi": _numbers(roi),
        "tiles": tiles,
        "track": track,
        "ladder": [_rung(each) for each in rung],
        "threshold": threshold,
        "task": given.pop("task"),
        "labels": None if labels is None else str(given.pop("labels")),
        "overrides": {key: value for key, value in given.items() if value is not None and key != "labels"},
    }
    settings = _settings(config, source, model, sink, stream)
    settings = _with(settings, name=name, web=_address(web), log=None if log is None else str(log))
    if dry_run:
        _check(settings, json)
        return
    meter, _ = energy.asked(power, root)
    with progress("looking at the model and the runtimes") as tell:
        pipeline = Pipeline(settings=settings, root=root, sensors=Beside(root, meter), progress=tell)
        with _stopped_by_signals(pipeline):
            pipeline.start(frames)
    _go(pipeline, frames, seconds, json)


def _go(pipeline: Pipeline, frames: int | None, seconds: float | None, json: bool) -> None:
    from piaccel.cli import _run_live, _run_summary

    if pipeline.settings.web and not json:
        typer.echo(f"watch it at http://{_seen_from_here(pipeline.settings.web)}/", err=True)
    live = _run_live.live(pipeline.snapshot) if sys.stderr.isatty() else nullcontext()
    with _stopped_by_signals(pipeline), live:
        summary = pipeline.wait(frames, seconds)
    if json:
        print_json(summary)
    else:
        _run_summary.show(summary, wide_console())
    if summary.error:
        typer.echo(f"piaccel: error: {printable(summary.error)}", err=True)
        if summary.hint:
            typer.echo(f"  -> {printable(summary.hint)}", err=True)
        raise typer.Exit(1)


@contextmanager
def _stopped_by_signals(pipeline: Pipeline) -> Iterator[None]:
    """SIGTERM and Ctrl-C end the run as they should: what is under way is finished, outputs are left safe."""

    def stop(*_: object) -> None:
        pipeline.request_stop()
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a second Ctrl-C does not wait

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _settings(
    config: Path | None, sources: list[str], models: list[str], sinks: list[str], stream: dict[str, Any]
) -> Settings:
    from piaccel.pipeline import settings

    if config is not None:
        changed = [key for key, value in stream.items() if value not in (None, False, [], {}, "auto", 1, True)]
        if sources or models or sinks or changed:
            raise OptionError(
                f"{config} says what runs: --source, --model, --sink and options of a stream stand in it",
                hint="change the file, or leave it out",
            )
        return settings.read(config)
    if not models:
        raise OptionError("a pipeline needs a model", hint="--model demo/bundle, or a TOML file")
    table = {key: value for key, value in stream.items() if value is not None}
    pairs = [(source, model) for source in sources or [""] for model in models]
    names = _stream_names(pairs)
    return settings.structure(
        {
            "sinks": sinks,
            "stream": {
                each: {**table, "source": source, "model": model}
                for each, (source, model) in zip(names, pairs, strict=True)
            },
        }
    )


def _stream_names(pairs: list[tuple[str, str]]) -> list[str]:
    """ "main", or numbers where there are several."""
    return ["main"] if len(pairs) == 1 else [f"stream{number}" for number in range(1, len(pairs) + 1)]


def _with(settings: Settings, **given: Any) -> Settings:
    import dataclasses

    return dataclasses.replace(settings, **{key: value for key, value in given.items() if value is not None})


def _check(settings: Settings, json: bool) -> None:
    """Check all that can be checked without opening anything, and show it."""
    from piaccel.pipeline.runner import Pipeline

    Pipeline(settings=settings).check()
    if json:
        print_json(settings)
        return
    for name, each in settings.streams.items():
        how = each.policy if each.trigger is None else f"triggered by {each.trigger}"
        late = "" if each.deadline_s is None else f", deadline {each.deadline_s * 1000:g} ms"
        typer.echo(
            printable(f"{name}: {each.source or 'its own camera'} -> {each.model} ({each.backend}), {how}{late}")
        )
    for name in settings.sinks:
        typer.echo(printable(f"sink {name}"))


def _seen_from_here(address: str) -> str:
    """The address as a browser takes it: every interface is this machine's name, a port alone is this machine."""
    host, _, port = address.rpartition(":")
    return f"{socket.gethostname() if host in ('0.0.0.0', '[::]') else host or '127.0.0.1'}:{port}"


def _address(text: str | None) -> str | None:
    return text if text is None or ":" in text else f"127.0.0.1:{text}"


def _numbers(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) != 4:
        raise OptionError(f"--roi {text!r} is not X,Y,WIDTH,HEIGHT", hint="such as --roi 0.25,0,0.5,1")
    return values


def _rung(text: str) -> dict[str, Any]:
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(equals and key.strip() for key, equals, _ in pairs):
        raise OptionError(f"--rung {text!r} is not KEY=VALUE,...", hint="such as --rung variant=int8-320 --rung rate=5")
    return {key.strip(): value.strip() for key, _, value in pairs}
