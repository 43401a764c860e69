"""``piaccel predict``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piaccel.cli import _options as options
from piaccel.cli._progress import progress
from piaccel.errors import OptionError, PiaccelError

if TYPE_CHECKING:
    from piaccel.models import Model
    from piaccel.tasks import Result


def predict(
    model: options.ModelArgument,
    images: Annotated[list[Path], typer.Argument(help="Pictures, or folders of pictures.", metavar="IMAGE...")],
    backend: options.Backend = "auto",
    variant: options.VariantName = None,
    threads: options.Threads = None,
    option: options.BackendOptions = [],  # noqa: B006 - typer copies it
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

    Example: piaccel predict demo/bundle demo/images --backend litert --top 1
    """
    from piaccel import auto
    from piaccel import images as pictures

    given = options.overrides(task, labels, size, mean, std, colour, resize)
    given["task_options"] = {key: value for key, value in (("top", top), ("threshold", threshold)) if value is not None}
    paths = pictures.find_images(images)
    if save is not None and len(paths) > 1 and save.suffix.lower() in pictures.SUFFIXES:
        raise OptionError(f"--save {save} is one file for {len(paths)} pictures", hint="give a folder to --save")
    with progress("looking at the model and the runtimes") as tell:
        loaded = auto.load(
            model, backend, variant=variant, threads=threads, options=option, root=root, progress=tell, **given
        )
    failed: PiaccelError | None = None
    answers: list[dict[str, Any]] = []
    with loaded:
        if not json:
            _introduce(loaded)
        for path in paths:
            try:
                picture = pictures.read_image(path)
                result = loaded.predict(picture)
                if save is not None:
                    pictures.write_image(_target(save, path, len(paths)), result.draw(picture))
            except PiaccelError as error:
                failed = failed or error
                answers.append({"image": str(path), "error": str(error)})
                if not json:
                    typer.echo(str(error) if str(path) in str(error) else f"{path}: {error}", err=True)
                continue
            answers.append({"image": str(path), "kind": result.kind, **result.to_dict()})
            if not json:
                _print(path, result)
    if json:
        _print_json(loaded, answers)
    if failed is not None:
        raise typer.Exit(1)


def _target(save: Path, picture: Path, count: int) -> Path:
    from piaccel.images import SUFFIXES

    if count == 1 and save.suffix.lower() in SUFFIXES:
        return save
    return save / f"{picture.stem}.jpg"


def _introduce(model: Model) -> None:
    threads = f"{model.threads} thread{'s' if model.threads > 1 else ''}"
    typer.echo(f"{model.bundle.name}: {model.variant.name} on {model.backend}, {threads} ({model.why})", err=True)
    for guess in model.guesses:
        typer.echo(f"  guessed: {guess}", err=True)


def _print(path: Path, result: Result) -> None:
    lines = result.lines()
    if len(lines) == 1:
        typer.echo(f"{path}: {lines[0]}")
        return
    typer.echo(f"{path}:" + ("" if lines else " nothing found"))
    for line in lines:
        typer.echo(f"  {line}")


def _print_json(model: Model, answers: list[dict[str, Any]]) -> None:
    import msgspec

    document = {
        "model": model.bundle.name,
        "variant": model.variant.name,
        "backend": model.backend,
        "why": model.why,
        "guesses": model.guesses,
        "results": answers,
    }
    typer.echo(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())
