"""``piaccel serve``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piaccel.cli import _options as options
from piaccel.cli._text import print_json, printable
from piaccel.errors import NotFoundError, OptionError

if TYPE_CHECKING:
    from piaccel.serving.server import Addresses
    from piaccel.serving.service import Service
    from piaccel.serving.settings import Settings


def serve(
    repository: Annotated[
        Path | None, typer.Argument(help="A folder with MODEL/VERSION/ folders, each a bundle.", metavar="REPO")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on; loopback by default.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="REST and dashboard; 8000 by default.")] = None,
    grpc_port: Annotated[int | None, typer.Option(min=0, max=65535, help="8001 by default.")] = None,
    no_grpc: Annotated[bool, typer.Option("--no-grpc", help="REST only: 20 MB less.")] = False,
    metrics_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Prometheus metrics; 8002 by default.")
    ] = None,
    no_metrics: Annotated[bool, typer.Option("--no-metrics", help="No metrics on a port of their own.")] = False,
    config: Annotated[Path | None, typer.Option(help="piaccel.toml: models, limits, keys; see docs/serve.md.")] = None,
    name: Annotated[str | None, typer.Option(help="This service's name.")] = None,
    keys: Annotated[Path | None, typer.Option(help="File of API keys.")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate chain, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key, PEM.")] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Listen beyond loopback without keys and TLS.")] = False,
    repository_api: Annotated[
        bool, typer.Option("--repository-api", help="Allow load, unload, promote and rollback over the network.")
    ] = False,
    new_key: Annotated[
        str | None, typer.Option("--new-key", metavar="NAME", help="Make an API key, print it once, and stop.")
    ] = None,
    scope: Annotated[list[str], typer.Option(help="Of --new-key: infer, read, admin; may be repeated.")] = [],  # noqa: B006 - typer copies it
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check and show what would be served; load nothing.")
    ] = False,
    json: options.Json = False,
    root: options.Root = Path("/"),
) -> None:
    """Serve the models of a repository over the Open Inference Protocol, with versions, hot swap and rollback.

    \b
    Examples:
      piaccel push demo/bundle models --name parts
      piaccel serve models --repository-api
      piaccel serve models --config piaccel.toml --host 0.0.0.0 --keys keys.toml --tls-cert line.crt --tls-key line.key
      piaccel serve --new-key line-3 --scope infer --keys keys.toml
    """
    if new_key is not None:
        _make_key(new_key, scope, keys)
        return
    if repository is None:
        raise OptionError("serve needs a repository", hint="piaccel push BUNDLE models makes one; then: serve models")
    if not repository.is_dir():
        raise NotFoundError(f"{repository}: no such folder", hint="make a repository with: piaccel push BUNDLE REPO")
    given: dict[str, Any] = {
        "host": host,
        "port": port,
        "grpc_port": grpc_port,
        "metrics_port": metrics_port,
        "name": name,
        "keys": None if keys is None else str(keys),
        "tls_cert": None if tls_cert is None else str(tls_cert),
        "tls_key": None if tls_key is None else str(tls_key),
        "insecure": insecure or None,
        "repository_api": repository_api or None,
    }
    import dataclasses

    from piaccel.serving import settings as reader

    settings = dataclasses.replace(reader.read(repository, config, **given), root=str(root))
    if no_grpc:
        settings = dataclasses.replace(settings, server=dataclasses.replace(settings.server, grpc_port=None))
    if no_metrics:
        settings = dataclasses.replace(settings, server=dataclasses.replace(settings.server, metrics_port=None))
    if dry_run:
        _check(settings, json)
        return
    from piaccel.serving import server

    server.run(settings, lambda addresses, service: _greet(addresses, service, json))


def _greet(addresses: Addresses, service: Service, json: bool) -> None:
    seen = service.snapshot()
    if json:
        import msgspec

        told = {
            "url": addresses.url,
            "grpc": None if addresses.grpc is None else "{}:{}".format(*addresses.grpc),
            "metrics": None if addresses.metrics is None else "http://{}:{}/metrics".format(*addresses.metrics),
            "ready": seen.ready,
            "reasons": seen.reasons,
            "models": {model.name: model.serving or None for model in seen.models},
        }
        typer.echo(msgspec.json.encode(told).decode())  # one line: whoever starts us reads one
        return
    typer.echo(f"serving at {addresses.url}/ (dashboard), {addresses.url}/v2 (Open Inference Protocol)", err=True)
    if addresses.grpc is not None:
        typer.echo("gRPC at {}:{}".format(*addresses.grpc), err=True)
    if addresses.metrics is not None:
        typer.echo("metrics at http://{}:{}/metrics".format(*addresses.metrics), err=True)
    for model in seen.models:
        row = next((each for each in model.versions if each.version == model.serving), None)
        text = "no version serves" if row is None else f"version {row.version}, {row.variant} on {row.backend}"
        typer.echo(printable(f"  {model.name}: {text}"), err=True)
    for reason in seen.reasons:
        typer.echo(printable(f"not ready: {reason}"), err=True)


def _check(settings: Settings, json: bool) -> None:
    """Say what the repository holds and what would listen."""
    from piaccel.serving import access
    from piaccel.serving.repository import Repository, order

    access.check_bind(settings)
    found = Repository(settings.repository, settle_s=0).scan()
    if json:
        print_json(
            {
                "repository": str(settings.repository),
                "server": settings.server,
                "defaults": settings.defaults,
                "configured": settings.models,
                "models": {
                    name: {each.version: each.reason for each in versions.values()} for name, versions in found.items()
                },
            }
        )
        return
    for name, versions in sorted(found.items()):
        for version in sorted(versions, key=order):
            each = versions[version]
            typer.echo(printable(f"{name} {version}: {'whole' if each.whole else each.reason}"))
    for name in settings.models:
        if name not in found:
            typer.echo(printable(f"{name}: configured, and not in the repository"))


def _make_key(name: str, scopes: list[str], path: Path | None) -> None:
    from piaccel.serving import access

    if path is None:
        raise OptionError("--new-key needs the file to write it to", hint="--keys keys.toml")
    key = access.add_key(path, name, scopes or ["infer"])
    typer.echo(f"the key of {printable(name)}, shown once; the file keeps its hash only:", err=True)
    typer.echo(key)
