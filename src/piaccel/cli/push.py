"""``piaccel push``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from piaccel.cli import _options as options
from piaccel.cli._text import print_json
from piaccel.errors import OptionError

if TYPE_CHECKING:
    from piaccel.serving.publish import Published


def push(
    bundle: Annotated[Path | None, typer.Argument(help="The bundle's folder.", metavar="BUNDLE")] = None,
    repository: Annotated[
        Path | None, typer.Argument(help="The folder that piaccel serve watches.", metavar="REPO")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The model's name; the bundle's when not given.")] = None,
    version: Annotated[str | None, typer.Option(help="The version; the next number when not given.")] = None,
    sign: Annotated[
        list[Path], typer.Option("--sign", metavar="KEYFILE", help="Sign it with this private key; may be repeated.")
    ] = [],  # noqa: B006 - typer copies it
    golden: Annotated[
        list[Path],
        typer.Option("--golden", metavar="IMAGES", help="Pictures (or a folder) for the golden check; repeatable."),
    ] = [],  # noqa: B006 - typer copies it
    latency: options.LatencyBudgets = [],  # noqa: B006 - typer copies it
    memory: options.MemoryBudgets = [],  # noqa: B006 - typer copies it
    not_after: Annotated[
        str | None, typer.Option("--not-after", metavar="DATE", help="No device takes it after this day.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="For whom it is meant, such as pi5; written down.")] = None,
    new_key: Annotated[
        Path | None, typer.Option("--new-key", metavar="KEYFILE", help="Make a key to sign with, and nothing else.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, say what would be, write nothing.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Put a bundle into a repository as a new version: checked, with the list of its files, signed if asked.

    A service that watches the repository takes it at once. Nothing there is ever changed: a version is new.

    Examples: piaccel push parts/ models/ --golden pictures/ --sign release.key
              piaccel push --new-key release.key
    """
    if new_key is not None:
        if bundle is not None or dry_run:
            raise OptionError("--new-key KEYFILE makes a key and takes nothing else")
        _make_key(new_key, json)
        return
    if bundle is None or repository is None:
        raise OptionError("name a bundle and a repository", hint="piaccel push BUNDLE REPO")
    from piaccel.serving import publish

    done = publish.publish(
        bundle,
        repository,
        name=name,
        version=version,
        keys=sign,
        pictures=golden,
        latency_ms=options.budgets("--latency", latency),
        memory_mb=options.budgets("--memory", memory),
        not_after=publish.date(not_after) if not_after is not None else None,
        device=device,
        dry_run=dry_run,
    )
    if json:
        _print_json(done)
    else:
        _print(done, repository)


def _make_key(path: Path, json: bool) -> None:
    from piaccel.serving import release

    text = release.new_signing_key(path)
    if json:
        print_json({"private": str(path), "public": text})
        return
    typer.echo(f"{path} is the private key: keep it off the devices, and a copy of it in a safe place")
    typer.echo(f"{path}.pub is the public one; trust it in piaccel.toml:")
    typer.echo(f'  [server]\n  trusted_keys = ["{text}"]')


def _print(done: Published, repository: Path) -> None:
    for check in done.checks:
        note = f" ({check.note})" if check.note else ""
        typer.echo(f"ok   {check.variant} {check.what}{note}")
    verb = "would be" if done.dry_run else "is"
    signed = f"signed by {', '.join(done.keys)}" if done.keys else "not signed"
    samples = f"{done.samples} golden samples" if done.samples else "no golden samples"
    typer.echo(
        f"{done.path} {verb} version {done.version} of {done.model}, release {done.counter}: "
        f"{len(done.files)} files, {samples}, {signed}"
    )
    if not done.samples:
        typer.echo("note: without golden samples a wrong answer is seen on probation only; give --golden IMAGES")
    if not done.dry_run:
        typer.echo(
            f"next: a service that watches {repository} takes it by itself; start one: piaccel serve {repository}"
        )


def _print_json(done: Published) -> None:
    checks = [{"variant": each.variant, "check": each.what, "note": each.note} for each in done.checks]
    print_json(
        {
            "path": str(done.path),
            "model": done.model,
            "version": done.version,
            "counter": done.counter,
            "files": done.files,
            "samples": done.samples,
            "keys": done.keys,
            "dry_run": done.dry_run,
            "checks": checks,
        }
    )
