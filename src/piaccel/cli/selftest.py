"""``piaccel selftest``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from piaccel.cli import _options as options
from piaccel.cli._progress import progress
from piaccel.cli._text import print_json, printable, wide_console

if TYPE_CHECKING:
    from piaccel.selftest import Proof, SelfTest


def selftest(
    models: Annotated[
        list[Path] | None,
        typer.Argument(help="Bundles or model files; those of the vendors' packages if none.", metavar="MODEL..."),
    ] = None,
    backend: Annotated[str | None, typer.Option("--backend", "-b", help="Only these backends, with commas.")] = None,
    image: Annotated[list[Path], typer.Option(help="A picture, or a folder of them, to test with; repeatable.")] = [],  # noqa: B006 - typer copies it
    soak: Annotated[float, typer.Option(metavar="S", min=0, help="Seconds under load for each accelerator.")] = 60.0,
    duration: Annotated[float, typer.Option(metavar="S", help="Seconds that each repeat measures at least.")] = 2.0,
    option: options.BackendOptions = [],  # noqa: B006
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report here, as Markdown.")] = None,
    json: options.Json = False,
    root: options.Root = Path("/"),
) -> None:
    """Prove every way to run a model on this board: right answers, latency, a minute under load; exit code 1 if not.

    Attach the report to an issue: it is how a path becomes "proven on hardware" in the documentation.

    Example: piaccel selftest parts/ --image pictures/ --out selftest.md
    """
    from piaccel import selftest as tests
    from piaccel.files import write_atomic
    from piaccel.selftest import report

    with progress("looking at the board") as tell:
        result = tests.run(
            models or (),
            only=backend.split(",") if backend else None,
            options=option,
            images=image,
            soak_s=soak,
            duration_s=duration,
            root=root,
            progress=tell,
        )
    if out is not None:
        write_atomic(out, report.markdown(result))
        typer.echo(f"wrote {out}", err=True)
    if json:
        print_json(report.document(result))
    else:
        _print(result)
    if result.interrupted:
        raise typer.Exit(130)
    if not result.passed:
        raise typer.Exit(1)


def _print(result: SelfTest) -> None:
    from rich.markup import escape

    console = wide_console()
    for proof in result.proofs:
        state = "[green]proved[/]" if proof.passed else "[bold red]FAILED[/]"
        console.print(f"{state}  {escape(printable(_line(proof)))}")
        for text in (*proof.reasons, *proof.notes):
            console.print(f"        {escape(printable(text))}")
    for each in result.runtimes:
        if each["state"] != "ready":
            console.print(f"[dim]not tested[/]  {each['name']}: {escape(printable(each['reason']))}")
    if not result.proofs:
        console.print("nothing was tested: no backend that is ready here opens the model")


def _line(proof: Proof) -> str:
    parts = [f"{proof.model}, {proof.variant} on {proof.backend} {proof.version or ''}".rstrip()]
    if proof.p50_ms is not None:
        parts.append(f"{proof.p50_ms:.2f} ms" + ("" if proof.valid else " (not valid)"))
    if proof.soak is not None:
        parts.append(f"{proof.soak.frames} frames in {proof.soak.lasted_s:.0f} s under load")
    return "; ".join(parts)
