"""``piaccel compile``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piaccel.cli import _options as options
from piaccel.cli._text import print_json, printable

if TYPE_CHECKING:
    from piaccel.compilers import Step
    from piaccel.compilers._compilation import Compiled, Plan


def compile(
    model: Annotated[Path, typer.Argument(help="A bundle's folder, or a model file.")],
    target: Annotated[str, typer.Option("--target", help="edgetpu, hailo8, hailo8l, hailo10h or imx500.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Make a new bundle here; else the bundle itself grows.")
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Pictures of what the network will see (Hailo).")
    ] = None,
    variant: Annotated[str | None, typer.Option("--variant", help="Compile this variant of the bundle.")] = None,
    source: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Compile this file of the same network, which is not in the bundle."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The new variant's name.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the commands; run none.")] = False,
    json: options.Json = False,
) -> None:
    """Compile a model for an accelerator with its vendor's compiler, and add the result to the bundle.

    Where the compiler is not installed, the steps and the host that they need are shown, and the exit status is 1.

    Examples: piaccel compile parts/ --target edgetpu
              piaccel compile parts/ --target hailo8l --calibration pictures/
    """
    from piaccel.compilers import _compilation

    plan = _compilation.plan(model, target, variant=variant, source=source, calibration=calibration)
    steps = plan.steps()
    if not steps[0].installed:
        _show_steps(plan, steps, json)
        raise typer.Exit(1)
    if dry_run:
        _show_commands(plan, steps, json)
        return
    done = _compilation.build(plan, out, name, tell=lambda command: typer.echo(f"$ {printable(command)}", err=True))
    _show_result(plan, done, json)
    if done.left:
        raise typer.Exit(1)


def _show_steps(plan: Plan, steps: tuple[Step, ...], json: bool) -> None:
    if json:
        print_json({**_document(plan, steps), "installed": False})
        return
    typer.echo(f"{steps[0].command[0]} is not installed here, so nothing was compiled. To compile {plan.source.name}:")
    _show_hosts(plan, steps)


def _show_hosts(plan: Plan, steps: tuple[Step, ...]) -> None:
    for host in dict.fromkeys(step.host for step in steps):
        typer.echo(f"\nOn {host.title}:")
        for line in host.setup:
            typer.echo(f"  {line}")
        if host is steps[0].host:
            pictures = " --calibration FOLDER-OF-PICTURES" if plan.compiler.calibrates else ""
            typer.echo(
                "  pipx install 'piaccel[onnx]'   # Python 3.11 or newer; the vendor's programs stay on the PATH"
            )
            typer.echo(f"  piaccel compile {_shown(plan)} --target {plan.target}{pictures}   # on a copy of the bundle")
        for step in steps:
            if step.host is host:
                typer.echo(f"  # by hand: {shlex.join(step.command)}")
    typer.echo("\nThen copy the bundle back. What each step does: docs/compile.md")


def _shown(plan: Plan) -> str:
    return shlex.quote(str(plan.bundle.path)) + (" --out DIR" if plan.bare else "")


def _show_commands(plan: Plan, steps: tuple[Step, ...], json: bool) -> None:
    if json:
        print_json({**_document(plan, steps), "installed": all(step.installed for step in steps)})
        return
    for step in steps:
        typer.echo(shlex.join(step.command) + ("" if step.installed else f"   # on {step.host.title}"))


def _show_result(plan: Plan, done: Compiled, json: bool) -> None:
    report = done.report
    if json:
        print_json({**_document(plan, done.left), "bundle": str(done.bundle), "variant": done.variant, "report": report,
                    "carry": done.carry, "guesses": done.guesses})  # fmt: skip
        return
    for guess in done.guesses:
        typer.echo(f"guessed: {guess}", err=True)
    if done.variant is None or report is None:
        typer.echo(
            f"{done.carry} is made; {done.left[0].command[0]} is not installed here. To finish, copy the bundle to"
        )
        for step in done.left:
            typer.echo(f"\n{step.host.title}:")
            for line in step.host.setup:
                typer.echo(f"  {line}")
            assert done.carry is not None
            source = shlex.quote(str(done.carry))
            typer.echo(f"  piaccel compile {shlex.quote(str(done.bundle))} --target {plan.target} --source {source}")
        return
    typer.echo(f"{done.bundle} holds {done.variant.name}, compiled for {plan.target} by the {report.compiler}")
    if report.taken is not None:
        typer.echo(f"  operators: {report.taken} on the accelerator, {report.left or 0} on the CPU")
    fits = {True: "yes", False: "no", None: "the compiler does not say"}[report.fits]
    typer.echo(f"  fits into the accelerator's memory: {fits}")
    for key, value in report.facts.items():
        typer.echo(f"  {key}: {printable(value)}")
    for note in report.notes:
        typer.echo(f"  note: {printable(note)}")


def _document(plan: Plan, steps: tuple[Step, ...]) -> dict[str, Any]:
    return {
        "target": plan.target,
        "source": str(plan.source),
        "steps": [
            {"command": list(step.command), "host": step.host.title, "setup": list(step.host.setup),
             "installed": step.installed}
            for step in steps
        ],
    }  # fmt: skip
