"""``piaccel service``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from piaccel.cli import _options as options
from piaccel.errors import NotFoundError, OptionError, UnavailableError

_ACTIONS = ("install", "remove", "show")


def service(
    action: Annotated[str, typer.Argument(help="install, remove or show.", metavar="ACTION")],
    repository: Annotated[
        Path | None, typer.Option("--repository", metavar="R", help="The models; /var/lib/piaccel/models by default.")
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", metavar="C", help="The service's piaccel.toml.")] = None,
    user: Annotated[
        str | None, typer.Option("--user", metavar="U", help="Run as this user; a user of its own by default.")
    ] = None,
    now: Annotated[bool, typer.Option("--now", help="Also run the systemctl commands that are printed.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done; change nothing.")] = False,
    root: options.Root = Path("/"),
) -> None:
    """Have systemd start the service at boot, watch it and restart it; or take that back.

    \b
    Examples:
      piaccel service install --dry-run
      sudo piaccel service install --config /etc/piaccel.toml --now
      sudo piaccel service remove --now
    """
    from piaccel.serving import unit

    if action not in _ACTIONS:
        raise OptionError(f"{action!r} is no action", hint=f"choose from {', '.join(_ACTIONS)}")
    if now and (root != Path("/") or dry_run or action == "show"):
        raise OptionError("--now changes this machine: it goes with install and remove, without --root and --dry-run")
    path = root / unit.UNIT
    if action == "remove":
        commands = [["systemctl", "stop", unit.NAME], ["systemctl", "daemon-reload"]]
        if dry_run:
            typer.echo(f"would remove {path}")
            _show(commands)
            return
        unit.remove(root)
        typer.echo(f"removed {path}; models and their history stay in {unit.STATE}")
        _do(commands, now)
        return
    if config is not None and not config.is_file():
        raise NotFoundError(f"{config}: no such file")
    text = unit.Unit(
        python=Path(sys.executable),
        repository=unit.REPOSITORY if repository is None else repository.absolute(),
        config=None if config is None else config.absolute(),
        user=user,
        groups=unit.groups_of(root),
    ).text()
    if action == "show":
        typer.echo(text, nl=False)
        return
    commands = [["systemctl", "daemon-reload"], ["systemctl", "enable", unit.NAME], ["systemctl", "restart", unit.NAME]]
    if dry_run:
        typer.echo(f"would write {path}:\n\n{text}")
        _show(commands)
        return
    typer.echo(f"wrote {path}" if unit.install(root, text) else f"{path} is as it should be")
    _do(commands, now)


def _do(commands: list[list[str]], now: bool) -> None:
    if not now:
        _show(commands)
        return
    for command in commands:
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError as error:
            raise UnavailableError("there is no systemctl here", hint="start piaccel serve in another way") from error
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise UnavailableError(
                f"{' '.join(command)} failed: {said[0] if said else f'exit code {done.returncode}'}",
                hint="journalctl -u piaccel tells more",
            )
        typer.echo(f"ran {' '.join(command)}")


def _show(commands: list[list[str]]) -> None:
    typer.echo("then run:")
    for command in commands:
        typer.echo(f"  sudo {' '.join(command)}")
