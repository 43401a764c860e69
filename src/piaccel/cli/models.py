"""``piaccel models``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from piaccel.cli import _options as options
from piaccel.errors import OptionError

_LOCAL = "http://127.0.0.1:8000"


class Action(StrEnum):
    """What may be asked."""

    list = "list"
    pull = "pull"
    verify = "verify"
    remove = "remove"
    show = "show"
    load = "load"
    unload = "unload"
    promote = "promote"
    rollback = "rollback"
    label = "label"
    shadow = "shadow"
    release = "release"


def models(
    action: Annotated[Action, typer.Argument(help="What to do; 'list' when not given.")] = Action.list,
    model: Annotated[str | None, typer.Argument(help="The model's name.")] = None,
    version: Annotated[str | None, typer.Argument(help="One of its versions.")] = None,
    to: Annotated[Path | None, typer.Option("--to", metavar="DIR", help="Of 'pull': make the bundle here.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Of 'pull': ask no server, take what is here.")] = False,
    mirror: Annotated[
        str, typer.Option("--mirror", envvar="PIACCEL_MIRROR", help="Of 'pull': ask this address, same paths.")
    ] = "",
    catalogue: Annotated[
        list[Path], typer.Option("--catalogue", metavar="FILE.toml", help="A list of your own; may be repeated.")
    ] = [],  # noqa: B006 - typer copies it
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Of 'remove': do not ask.")] = False,
    url: Annotated[str | None, typer.Option("--url", help=f"Where the service is; {_LOCAL} when not given.")] = None,
    key: Annotated[str, typer.Option("--key", envvar="PIACCEL_KEY", help="The key, where the service asks.")] = "",
    label: Annotated[str, typer.Option("--label", help="Of 'label': the label's name.")] = "canary",
    share: Annotated[
        float, typer.Option("--share", min=0.0, max=1.0, help="Of 'label': of the requests that name no version.")
    ] = 0.0,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until a swap is committed or taken back.")
    ] = True,
    json: options.Json = False,
) -> None:
    """Pull models of the catalogue; show and steer those of a running service: versions, swaps, rollback, labels.

    'list' shows what a service serves and what the catalogue has; 'pull', 'verify' and 'remove' are about models on
    this machine, the others about a service. The exit code is 1 when what was asked did not happen: a version that was
    promoted and then rolled back, too. 'label' and 'shadow' without a version take the label away and end the shadow.

    \b
    Examples: piaccel models
              piaccel models pull mobilenet-v2
              piaccel models verify
              piaccel models show parts
              piaccel models promote parts 2
              piaccel models label parts 3 --label canary --share 0.1
              piaccel models rollback parts --url http://pi:8000
    """
    from piaccel.cli import _pulled as pulled
    from piaccel.cli import _served as served
    from piaccel.cli._operator import Operator

    operator = Operator(_LOCAL if url is None else url, key)
    if action in (Action.list, Action.verify) and model is None:
        if action is Action.list:
            pulled.print_all(operator, catalogue, json, must_answer=url is not None)
        else:
            pulled.verify(None, catalogue, json)
        return
    if action is Action.list:
        raise OptionError("list takes no model", hint=f"'piaccel models show {model}' shows one that is served")
    if model is None:
        raise OptionError(f"{action} needs a model", hint=f"piaccel models {action} MODEL; 'piaccel models' lists them")
    if action in (Action.pull, Action.verify, Action.remove) and version is not None:
        raise OptionError(f"{action} takes one model, and no version", hint=f"piaccel models {action} {model}")
    match action:
        case Action.pull:
            pulled.pull(model, catalogue, to=to, offline=offline, mirror=mirror, json=json)
        case Action.verify:
            pulled.verify(model, catalogue, json)
        case Action.remove:
            pulled.remove(model, yes=yes, json=json)
        case _:
            served.steer(operator, action, model, version, label=label, share=share, wait=wait, json=json)
