"""``piaccel predict``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piaccel.cli import _options as options
from piaccel.cli._progress import progress
from piaccel.cli._text import print_json, printable
from piaccel.errors import OptionError, PiaccelError

if TYPE_CHECKING:
    from piaccel.models import Model
    from piaccel.tasks import Result


def predict(
    model: options.ModelArgument,
    images: Annotated[list[Path], typer.Argument(help="Pictures, or folders of pictures.", metavar="IMAGE...")],
    backend: options.Backend = "auto",
    no_fallback: options.NoFallback = False,
    variant: options.VariantName = None,
    threads: options.Threads = None,
    option: options.BackendOptions = [],  # noqa: B006 - typer copies it
    delegate: options.Delegate = None,
    require_full_delegation: options.FullDelegation = False,
    top: Annotated[int | None, typer.Option(min=1, help="How many classes to print (classification).")] = None,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Lowest confidence to report (detection, pose).")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="Write the annotated picture here; a folder when there are several.")
    ] = None,
    json: options.Json = False,
    task: options.TaskName = None,
    labels: options.Labels = None,
    size: options.Size = None,
    mean: options.Mean = None,
    std: options.Std = None,
    colour: options.Colour = None,
    resize: options.Resize = None,
    root: options.Root = Path("/"),
) -> None:
    """Say what a model sees in pictures.

    Examples: piaccel predict demo/bundle demo/images --backend litert --top 1
              piaccel predict parts pictures --backend "hailo > edgetpu > litert"
    """
    from piaccel import auto
    from piaccel import images as pictures

    given = options.overrides(task, labels, size, mean, std, colour, resize)
    given["task_options"] = {key: value for key, value in (("top", top), ("threshold", threshold)) if value is not None}
    option = options.delegation(option, delegate, require_full_delegation)
    if delegate is not None and backend == "auto":
        backend = "litert"  # whose delegate it is
    paths = pictures.find_images(images)
    targets = _targets(save, paths) if save is not None else {}
    with progress("looking at the model and the runtimes") as tell:
        loaded = auto.load(
            model,
            backend,
            variant=variant,
            threads=threads,
            options=option,
            root=root,
            progress=tell,
            fallback=not no_fallback,
            **given,
        )
    failed = False
    hints: set[str] = set()
    answers: list[dict[str, Any]] = []
    with loaded:
        if not json:
            _introduce(loaded)
        for path in paths:
            try:
                picture = pictures.read_image(path)
                result = loaded.predict(picture)
                if path in targets:
                    pictures.write_image(targets[path], result.draw(picture))
            except PiaccelError as error:
                failed = True
                answers.append({"image": str(path), "error": str(error)})
                if not json:
                    _complain(path, error, hints)
                continue
            answers.append({"image": str(path), "backend": result.backend, "kind": result.kind, **result.to_dict()})
            if not json:
                _print(path, result)
    if json:
        _print_json(loaded, answers)
    if failed:
        raise typer.Exit(1)


def _targets(save: Path, pictures: list[Path]) -> dict[Path, Path]:
    """Where each picture's annotated copy goes: no two to the same file, none over a picture that was given."""
    from piaccel.images import SUFFIXES

    if save.suffix.lower() in SUFFIXES and not save.is_dir():
        if len(pictures) > 1:
            raise OptionError(f"--save {save} is one file for {len(pictures)} pictures", hint="give a folder to --save")
        targets = {pictures[0]: save}
    elif save.is_file() or (save.suffix and len(pictures) == 1 and not save.is_dir()):
        raise OptionError(f"--save {save} is neither a folder nor a picture", hint="end its name in .jpg or .png")
    else:
        targets = {}
        names: set[str] = set()
        for picture in pictures:
            number = 1
            while (name := f"{picture.stem}-{number}.jpg" if number > 1 else f"{picture.stem}.jpg") in names:
                number += 1
            names.add(name)
            targets[picture] = save / name
    given = {picture.resolve() for picture in pictures}
    for target in targets.values():
        if target.resolve() in given:
            raise OptionError(f"--save would write over the picture {target}", hint="give another folder to --save")
    return targets


def _complain(path: Path, error: PiaccelError, hints: set[str]) -> None:
    """Print what is wrong with one picture; a hint only once, however many pictures need it."""
    typer.echo(printable(str(error) if str(path) in str(error) else f"{path}: {error}"), err=True)
    if error.hint and error.hint not in hints:
        hints.add(error.hint)
        typer.echo(f"  -> {printable(error.hint)}", err=True)


def _introduce(model: Model) -> None:
    threads = f"{model.threads} thread{'s' if model.threads > 1 else ''}"
    placed = f", {model.session.placement}" if model.session.placement else ""
    runs = f"{model.bundle.name}: {model.variant.name} on {model.backend}, {threads}{placed} ({model.why})"
    typer.echo(printable(runs), err=True)
    for guess in model.guesses:
        typer.echo(f"  guessed: {printable(guess)}", err=True)


def _print(path: Path, result: Result) -> None:
    name, lines = printable(str(path)), [printable(line) for line in result.lines()]
    if len(lines) == 1:
        typer.echo(f"{name}: {lines[0]}")
        return
    typer.echo(f"{name}:")
    for line in lines:
        typer.echo(f"  {line}")


def _print_json(model: Model, answers: list[dict[str, Any]]) -> None:
    document = {
        "model": model.bundle.name,
        "variant": model.variant.name,
        "backend": model.backend,
        "why": model.why,
        "guesses": model.guesses,
        "status": {**asdict(model.status), "degraded": model.status.degraded},
        "results": answers,
    }
    print_json(document)
