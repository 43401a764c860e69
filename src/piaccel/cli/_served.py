"""``piaccel models``: what a running service serves, and what it is asked to change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from piaccel.cli._text import print_json, printable, wide_console
from piaccel.errors import OptionError, PiaccelError

if TYPE_CHECKING:
    from piaccel.cli._operator import Operator

Document = dict[str, Any]
_STAGES = {"committed": "green", "quarantined": "red", "unloaded": "dim", "probation": "cyan", "draining": "yellow"}


def steer(
    operator: Operator,
    action: str,
    model: str,
    version: str | None,
    *,
    label: str,
    share: float,
    wait: bool,
    json: bool,
) -> None:
    """Show a model, or have the service change it and say what came of it."""
    if action == "show":
        _show(operator.model(model), json)
        return
    if version is None and action in ("promote", "release"):
        raise OptionError(f"{action} needs a version", hint=f"'piaccel models show {model}' lists them")
    bodies: dict[str, Document] = {
        "promote": {"version": version},
        "release": {"version": version},
        "shadow": {"version": version},
        "label": {"label": label, "version": version, "share": share},
    }
    body = bodies.get(action, {"version": version} if version else {})
    before = operator.model(model)
    operator.change(model, action, body)
    after = operator.model(model)
    if action in ("load", "promote") and wait:
        wanted = after["serving"] if version is None else version
        after = _followed(operator, model, wanted or "", quiet=json)
    if json:
        print_json(after)
    else:
        typer.echo(printable(_done(action, before, after, version, label, share)))


def print_served(service: Document) -> None:
    """The table of all models of a service."""
    from rich.markup import escape
    from rich.table import Table

    state = "ready" if service["ready"] else "not ready"
    console = wide_console()
    console.print(f"[bold]{escape(printable(service['name']))}[/] is {state}, piaccel {escape(service['software'])}")
    for reason in (*service["reasons"], *service["alarms"]):
        console.print(f"  [red]{escape(printable(reason))}[/]")
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("model", "ready", "serves", "before", "swapping", "runs on"):
        table.add_column(name, no_wrap=True)
    for name in ("per s", "p95 ms", "errors"):
        table.add_column(name, justify="right", no_wrap=True)
    for model in sorted(service["models"], key=lambda each: str(each["name"])):
        serving = next((each for each in model["versions"] if each["version"] == model["serving"]), None)
        cells = [
            model["name"],
            "yes" if model["ready"] else "no",
            model["serving"],
            model["previous"],
            model["swapping"],
        ]
        table.add_row(*(escape(printable(cell)) or "-" for cell in cells), *_numbers(serving))
    console.print(table)


def _show(model: Document, json: bool) -> None:
    if json:
        print_json(model)
        return
    from rich.markup import escape
    from rich.table import Table

    console = wide_console()
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("version", "stage", "labels", "share", "runs on"):
        table.add_column(name, no_wrap=True)
    for name in ("per s", "p95 ms", "errors", "answered", "memory", "agrees"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in model["versions"]:
        colour, loaded = _STAGES.get(each["stage"], "default"), each["loaded_at"] is not None
        table.add_row(
            f"[bold]{escape(printable(each['version']))}[/]",
            f"[{colour}]{escape(printable(each['stage']))}[/]",
            escape(printable(", ".join(each["labels"]))) or "-",
            f"{each['share']:.0%}" if loaded else "-",
            *_numbers(each),
            str(each["succeeded"]) if loaded else "-",
            "-" if each["memory_bytes"] is None else f"{each['memory_bytes'] / 1e6:.0f} MB",
            "-" if each["agreement"] is None else f"{each['agreement']:.0%}",
        )
    console.print(table)
    for each in model["versions"]:
        if each["reason"] not in ("", each["stage"]):
            console.print(f"{escape(printable(each['version']))}: {escape(printable(each['reason']))}", soft_wrap=True)


def _numbers(version: Document | None) -> list[str]:
    if version is None or version["loaded_at"] is None:
        return ["-", "-", "-", "-"]
    from rich.markup import escape

    return [
        escape(printable("/".join(each for each in (version["backend"], version["variant"]) if each))) or "-",
        "-" if version["rate"] is None else f"{version['rate']:.1f}",
        "-" if version["p95_ms"] is None else f"{version['p95_ms']:.1f}",
        str(sum(version["failed"].values())),
    ]


def _followed(operator: Operator, model: str, wanted: str, *, quiet: bool) -> Document:
    """Watch a swap until it is decided. Raises PiaccelError with the reason when the version does not stay."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False, quiet=quiet)
    with console.status(f"version {printable(wanted)}", spinner="dots") as line:
        said = ""
        for now in operator.watch(model):
            version = next((each for each in now["versions"] if each["version"] == wanted), None)
            stage = "unknown" if version is None else str(version["stage"])
            if stage in ("committed", "standby", "shadow") and now["swapping"] != wanted:
                return now
            if version is not None and stage in ("quarantined", "unloaded", "unknown"):
                why = version["reason"] or "no reason is known"
                raise PiaccelError(
                    f"{model} version {wanted} was rolled back: {why}" if said else f"{model} version {wanted}: {why}",
                    hint=f"version {now['serving']} serves" if now["serving"] else "no version serves",
                )
            left = version["probation_left"] if version is not None else None
            said = f"version {wanted}: {stage}" + ("" if left is None else f", {left} requests left")
            line.update(printable(said))
            if not console.is_terminal and stage != getattr(line, "stage", None):
                console.print(printable(said), soft_wrap=True)
                line.stage = stage  # type: ignore[attr-defined]
    raise AssertionError("watching ends with a return or an error")


def _done(action: str, before: Document, after: Document, version: str | None, label: str, share: float) -> str:
    name = after["name"]
    serves = f"{name} version {after['serving']} serves" if after["serving"] else f"no version of {name} serves"
    match action:
        case "label" if version:
            return f"{name} version {version} is {label} and gets {share:.0%} of the requests that name no version"
        case "label":
            return f"{name} has no label {label} any more"
        case "shadow":
            return (
                f"{name} version {version} sees what {after['serving']} answers" if version else f"{name} has no shadow"
            )
        case "release":
            return f"{name} version {version} is out of quarantine"
        case "unload" if version:
            return f"{name} version {version} is unloaded; {serves}"
        case _:
            was = before["serving"]
            return serves + (f", before it {was}" if was and was != after["serving"] else "")
