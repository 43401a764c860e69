"""``piaccel models``: the catalogue, and what is on this machine of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from piaccel.cli import _served as served
from piaccel.cli._text import print_json, printable, wide_console
from piaccel.errors import OptionError, PiaccelError

if TYPE_CHECKING:
    from piaccel.catalogue.entries import Entry, RemoteFile
    from piaccel.catalogue.fetch import Progress
    from piaccel.cli._operator import Operator

Document = dict[str, Any]


def print_all(operator: Operator, own: Sequence[Path], json: bool, *, must_answer: bool) -> None:
    """What the service serves, then the catalogue. A service that nobody named need not answer."""
    service, silence = None, ""
    try:
        service = operator.service()
    except PiaccelError as error:
        if must_answer:
            raise
        silence = str(error)
    rows = _rows(own)
    if json:
        print_json({"served": service, "catalogue": rows})
        return
    console = wide_console()
    if service is not None:
        served.print_served(service)
    else:
        from rich.markup import escape

        console.print(f"[dim]{escape(printable(silence))}[/]", soft_wrap=True)
    console.print()
    _print_rows(rows)


def pull(name: str, own: Sequence[Path], *, to: Path | None, offline: bool, mirror: str, json: bool) -> None:
    """Bring a model here, and say where it is and what to do with it."""
    from piaccel import catalogue

    entry = catalogue.entry_of(name, catalogue.read(own))
    try:
        with _bar() as (progress, tell):
            network = catalogue.Network(mirror=mirror, tell=tell)
            path = catalogue.pull(entry, to=to, network=network, offline=offline, progress=progress)
    except KeyboardInterrupt:
        typer.echo("what came so far is kept: the same command goes on from there", err=True)
        raise
    if json:
        print_json({"name": entry.name, "path": str(path), "entry": entry})
        return
    shown = printable(str(path))
    typer.echo(shown)
    typer.echo(f"  {printable(entry.title)}; licence {printable(entry.licence)}", err=True)
    for command in ("predict {} PICTURE", "bench {}", "choose {} --fps 15", "push {} REPOSITORY"):
        typer.echo(f"  -> piaccel {command.format(_quoted(shown))}", err=True)


def verify(name: str | None, own: Sequence[Path], json: bool) -> None:
    """Hash what was pulled; exit code 1 where something is not what it was."""
    from piaccel import catalogue
    from piaccel.catalogue import shelf
    from piaccel.errors import NotFoundError

    entries = catalogue.read(own)
    names = shelf.names() if name is None else [name]
    checks = []
    for each in names:
        path = shelf.path_of(each)
        if path is None:
            raise NotFoundError(f"{each} is not on this machine", hint=f"piaccel models pull {each}")
        checks += list(shelf.check(each, path, entries.get(each)))
    if json:
        keys = ("model", "file", "note")
        rows = [{key: getattr(check, key) for key in keys} | {"error": str(check.error or "")} for check in checks]
        print_json([{**row, "ok": not row["error"]} for row in rows])
    else:
        for check in checks:
            text = f": {check.error}" if check.error else f" ({check.note})" if check.note else ""
            typer.echo(printable(f"{'FAIL' if check.error else 'ok  '} {check.model} {check.file}{text}"))
        if not checks:
            typer.echo("no model is on this machine")
    wrong = sorted({check.model for check in checks if check.error})
    if wrong:
        for each in wrong:
            typer.echo(printable(f"  -> piaccel models pull {each}"), err=True)
        raise typer.Exit(1)


def remove(name: str, *, yes: bool, json: bool) -> None:
    """Take a model off this machine, after asking."""
    from piaccel.catalogue import shelf

    if not yes:
        if not sys.stdin.isatty():
            raise OptionError(f"{name} is removed only after a yes", hint=f"piaccel models remove {name} --yes")
        typer.confirm(printable(f"remove {shelf.folder() / name}?"), abort=True, err=True)
    path = shelf.remove(name)
    if json:
        print_json({"removed": str(path)})
    else:
        typer.echo(printable(f"{path} is removed"))


def _rows(own: Sequence[Path]) -> list[Document]:
    """The catalogue's models and those on the shelf that are in no catalogue, by name. ``path`` is None: not here."""
    from piaccel import catalogue
    from piaccel.bundles import Bundle
    from piaccel.catalogue import shelf

    rows = {name: _row(entry, shelf.path_of(name)) for name, entry in catalogue.read(own).items()}
    for name in shelf.names():
        if name in rows:
            continue
        path = shelf.path_of(name)
        row: Document = dict.fromkeys(next(iter(rows.values())))
        rows[name] = {**row, "name": name, "path": str(path)}
        try:
            bundle = Bundle.open(path or "")
        except PiaccelError as error:
            rows[name]["title"] = f"cannot be read: {error}"
            continue
        if bundle.manifest:
            rows[name] |= {
                "title": bundle.manifest.description,
                "licence": bundle.manifest.licence,
                "task": bundle.manifest.task.get("family"),
                "precision": bundle.variants[0].precision,
                "input": bundle.preprocess.size if bundle.preprocess else None,
            }
    return [rows[name] for name in sorted(rows)]


def _row(entry: Entry, path: Path | None) -> Document:
    return {
        "name": entry.name,
        "title": entry.title,
        "task": entry.task.get("family"),
        "input": entry.preprocess.size,
        "precision": entry.precision,
        "size_bytes": entry.size,
        "licence": entry.licence,
        "licence_source": entry.licence_source,
        "accuracy": entry.accuracy,
        "notes": entry.notes,
        "urls": entry.file.urls,
        "path": None if path is None else str(path),
    }


def _print_rows(rows: list[Document]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("catalogue", "here", "task", "input", "precision"):
        table.add_column(name, no_wrap=True)
    table.add_column("MB", justify="right", no_wrap=True)
    for name in ("licence", "accuracy as published"):
        table.add_column(name, no_wrap=True)
    for row in rows:
        size, accuracy, shape = row["size_bytes"], row["accuracy"], row["input"]
        cells = (
            row["name"],
            "yes" if row["path"] else "-",
            row["task"] or "unknown",
            f"{shape[0]}x{shape[1]}" if shape else "unknown",
            row["precision"] or "unknown",
            "unknown" if size is None else f"{size / 1e6:.1f}",
            row["licence"] or "unknown",
            "unknown" if accuracy is None else f"{accuracy.metric} {accuracy.value:g}",
        )
        table.add_row(*(escape(printable(cell)) for cell in cells))
    console = wide_console()
    console.print(table)
    if any(row["path"] is None for row in rows):
        console.print("[dim]to have one here: piaccel models pull NAME[/]")


def _quoted(text: str) -> str:
    import shlex

    return shlex.quote(text)


@contextmanager
def _bar() -> Iterator[tuple[Progress | None, Callable[[str], None]]]:
    """Yield what is told how far the pull is, and what goes wrong: a bar where somebody sees it, lines in any case."""
    if not sys.stderr.isatty():
        yield None, lambda what: typer.echo(printable(what), err=True)
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(24), DownloadColumn())
    with Progress(*columns, TransferSpeedColumn(), TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        shown: dict[str, Any] = {}

        def progress(file: RemoteFile, done: int) -> None:
            if file.name not in shown:
                shown[file.name] = bar.add_task(printable(file.name), total=file.size)
            bar.update(shown[file.name], completed=done)

        yield progress, lambda what: bar.console.print(printable(what), markup=False, highlight=False, soft_wrap=True)
