"""``piaccel choose``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from piaccel.cli import _options as options
from piaccel.cli._progress import progress
from piaccel.cli._text import print_json, wide_console
from piaccel.errors import OptionError

if TYPE_CHECKING:
    from piaccel.selection import Selection


def choose(
    models: Annotated[list[Path], typer.Argument(help="Bundles, model files, or folders that hold some.")],
    fps: Annotated[str | None, typer.Option("--fps", metavar="N", help="At least so many pictures a second.")] = None,
    max_accuracy_drop: Annotated[
        str | None, typer.Option(metavar="P%", help="So many points of accuracy below the best one, such as 1.5%.")
    ] = None,
    max_latency_p99: Annotated[
        str | None, typer.Option("--max-latency-p99", metavar="TIME", help="99 of 100 answers within, such as 80ms.")
    ] = None,
    max_temp: Annotated[str | None, typer.Option(metavar="C", help="Highest temperature of the SoC.")] = None,
    max_power: Annotated[str | None, typer.Option(metavar="W", help="Highest mean power.")] = None,
    max_memory: Annotated[str | None, typer.Option(metavar="SIZE", help="Peak of the process, such as 500MB.")] = None,
    prefer: Annotated[
        str, typer.Option(help="What decides between those that fit: accuracy, speed, memory or power.")
    ] = "accuracy",
    allow_unknown: Annotated[
        bool, typer.Option("--allow-unknown", help="Take a limit that cannot be judged here for met.")
    ] = False,
    images: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Measure accuracy on these; a folder a class, or class_17.jpg.")
    ] = None,
    write: Annotated[
        str | None, typer.Option(metavar="WHERE", help="Write the pick: bundle (model.toml) or service (--config).")
    ] = None,
    config: Annotated[Path, typer.Option(metavar="FILE", help="The service's configuration.")] = Path("piaccel.toml"),
    name: Annotated[
        str | None, typer.Option(help="The service's name of the model; the bundle's if not given.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be written, write nothing.")] = False,
    backend: Annotated[str, typer.Option("--backend", "-b", help="all, or backends' names with commas.")] = "all",
    option: options.BackendOptions = [],  # noqa: B006 - typer copies it
    json: options.Json = False,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page with the front drawn.")] = None,
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
    """Find what to run on this board: which model, variant, backend and threads meet the limits, by measuring.

    Exit code 0: the pick fits; 1: nothing fits, or a limit cannot be judged here; 2: wrong command.

    \b
    Examples:
      piaccel choose demo/bundle --fps 15 --max-latency-p99 80ms --max-accuracy-drop 1.5%
      piaccel choose demo/bundle --images demo/images --prefer speed --html choice.html
      piaccel choose models/ --max-memory 500MB --write service --config piaccel.toml --dry-run
    """
    from piaccel import selection
    from piaccel.bench import energy
    from piaccel.selection import choose as chooser
    from piaccel.selection import limits

    if write not in (None, "bundle", "service"):
        raise OptionError(f"--write {write!r} is neither bundle nor service")
    if dry_run and write is None:
        raise OptionError("--dry-run is for --write")
    if prefer not in selection.PREFERENCES:
        raise OptionError(f"--prefer {prefer!r} is unknown", hint=f"choose from {', '.join(selection.PREFERENCES)}")
    if html is not None and html.is_dir():
        raise OptionError(f"{html} is a folder, the page is a file")
    given = limits.parse(
        {
            "--fps": fps,
            "--max-accuracy-drop": max_accuracy_drop,
            "--max-latency-p99": max_latency_p99,
            "--max-temp": max_temp,
            "--max-power": max_power,
            "--max-memory": max_memory,
        }
    )
    source, _ = energy.asked(power, root)
    with progress("looking at the models and the runtimes") as tell:
        found = chooser.choose(
            models,
            given,
            images=images,
            prefer=prefer,
            allow_unknown=allow_unknown,
            backends=None if backend == "all" else [each.strip() for each in backend.split(",")],
            options=option,
            power=source,
            root=root,
            progress=tell,
            **options.overrides(task, labels, size, mean, std, colour, resize),
        )
    try:
        if html is not None:
            _write_page(found, html)
    finally:  # what was measured for minutes is shown, whatever becomes of the files
        if json:
            print_json(found)
        else:
            from piaccel.cli import _choose_table as table

            table.show(found, wide_console())
    if write is not None:
        _write_back(found, write, config, name, dry_run)
    if found.interrupted:
        raise typer.Exit(130)
    if not found.fits:
        raise typer.Exit(1)


def _write_page(found: Selection, path: Path) -> None:
    from piaccel.files import write_atomic
    from piaccel.selection import html as page

    write_atomic(path, page.render(found))
    typer.echo(f"wrote {path}", err=True)


def _write_back(found: Selection, where: str, config: Path, name: str | None, dry_run: bool) -> None:
    """Write the pick; one that does not fit, or was found in a search that Ctrl-C ended, is not written."""
    from piaccel.selection import writing

    if found.pick is None or not found.fits or found.interrupted:
        typer.echo("nothing written: no pick is known to fit", err=True)
        return
    if where == "bundle":
        edit = writing.for_bundle(found.pick, found.board)
    else:
        edit = writing.for_service(found.pick, config, name or found.pick.model)
    if not edit.diff():
        typer.echo(f"{edit.path} says so already", err=True)
    elif dry_run:
        typer.echo(edit.diff(), nl=False, err=True)
    else:
        edit.apply()
        typer.echo(f"wrote {edit.path}", err=True)
