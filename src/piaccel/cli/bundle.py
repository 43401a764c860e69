"""``piaccel bundle``."""

from __future__ import annotations

import shutil
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from piaccel.cli import _options as options
from piaccel.cli._text import print_json
from piaccel.errors import OptionError


def bundle(
    files: Annotated[list[Path] | None, typer.Argument(help="Files of one network.", metavar="FILE...")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The folder to make.")] = None,
    verify: Annotated[Path | None, typer.Option("--verify", metavar="DIR", help="Check this bundle instead.")] = None,
    name: Annotated[str | None, typer.Option(help="The model's name; the folder's when not given.")] = None,
    description: Annotated[str, typer.Option(help="One line on what it is for.")] = "",
    licence: Annotated[str, typer.Option(help="The model's licence, such as Apache-2.0.")] = "",
    fallback: Annotated[
        str | None,
        typer.Option(help="Backends in the order in which they are to serve: 'hailo > edgetpu > litert'."),
    ] = None,
    golden: Annotated[
        list[Path],
        typer.Option("--golden", metavar="IMAGES", help="Pictures (or a folder) whose answers a service checks."),
    ] = [],  # noqa: B006 - typer copies it
    latency: options.LatencyBudgets = [],  # noqa: B006 - typer copies it
    memory: options.MemoryBudgets = [],  # noqa: B006 - typer copies it
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be made; make nothing.")] = False,
    json: options.Json = False,
    task: options.TaskName = None,
    labels: options.Labels = None,
    size: options.Size = None,
    mean: options.Mean = None,
    std: options.Std = None,
    colour: options.Colour = None,
    resize: options.Resize = None,
) -> None:
    """Make a bundle from files of one network, or check one.

    Examples: piaccel bundle net.tflite net.onnx --labels labels.txt --out parts/
              piaccel bundle --verify parts/
    """
    if verify is not None:
        if files or out or golden:
            raise OptionError("--verify DIR checks a bundle and takes no other file")
        _verify(verify, json)
        return
    if not files or out is None:
        raise OptionError("name the model's files and the folder to make", hint="piaccel bundle FILE... --out DIR")
    from piaccel import packing
    from piaccel.fallback import order_of

    given = options.overrides(task, labels, size, mean, std, colour, resize)
    made, guesses = packing.pack(
        files,
        out,
        name=name,
        description=description,
        licence=licence,
        fallback=order_of(fallback) if fallback else (),
        dry_run=dry_run,
        **given,
    )
    if golden and not dry_run:
        _add_samples(out, golden, options.budgets("--latency", latency), options.budgets("--memory", memory))
    if json:
        document = {"out": str(out), "dry_run": dry_run, "manifest": made, "guesses": guesses}
        print_json(document)
        return
    for guess in guesses:
        typer.echo(f"guessed: {guess}", err=True)
    verb = "would hold" if dry_run else "holds"
    count = f"{len(made.variants)} variant{'s' if len(made.variants) > 1 else ''}"
    typer.echo(f"{out} {verb} {count} of {made.name}, task {made.task['family']}:")
    for table in made.variants:
        typer.echo(f"  {table.name} ({table.precision})")


def _add_samples(out: Path, pictures: list[Path], latency_ms: dict[str, float], memory_mb: dict[str, float]) -> None:
    """Let the new bundle answer its golden samples; without them it is not what was asked for, and goes again."""
    from piaccel.serving import golden

    try:
        golden.make(out, pictures, latency_ms=latency_ms, memory_mb=memory_mb)
    except BaseException:
        shutil.rmtree(out)
        raise


def _verify(folder: Path, json: bool) -> None:
    from piaccel import packing
    from piaccel.bundles import Bundle
    from piaccel.serving import golden

    checks = []
    bundle = Bundle.open(folder)
    for check in chain(packing.check(bundle), golden.verify(bundle)):
        checks.append(check)
        if not json:
            state = "FAIL" if check.error else ("ok  " if not check.note or check.what == "answers" else "skip")
            text = f": {check.error}" if check.error else f" ({check.note})" if check.note else ""
            typer.echo(f"{state} {check.variant} {check.what}{text}")
    if json:
        rows = [
            {"variant": c.variant, "check": c.what, "ok": c.error is None, "error": str(c.error or ""), "note": c.note}
            for c in checks
        ]
        print_json(rows)
    if any(check.error for check in checks):
        raise typer.Exit(1)
