"""What ``piaccel serve`` is told: options of the command line and ``piaccel.toml``.

Durations and sizes are written with their units: ``deadline = "250ms"``, ``max_body = "16MiB"``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from piaccel import specs
from piaccel.errors import ModelError, NotFoundError, OptionError
from piaccel.pipeline.heat import HeatSettings

MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """``[server]``: what listens where, and what it accepts."""

    host: str = "127.0.0.1"
    port: int = 8000
    grpc_port: int | None = 8001
    """None: no gRPC."""
    metrics_port: int | None = 8002
    """None: no metrics on a port of their own."""
    metrics_host: str = "127.0.0.1"
    """Metrics ask for no key: whoever reaches this address reads them."""
    name: str = "piaccel"
    names: tuple[str, ...] = ()
    """Host names under which clients reach it, beside this machine's own; any with keys."""
    keys: str | None = None
    """A file of API keys, see docs/security.md."""
    tls_cert: str | None = None
    tls_key: str | None = None
    insecure: bool = False
    """Listen beyond loopback without keys or TLS."""
    repository_api: bool = False
    """Allow load, unload, promote, rollback over the network."""
    dashboard: bool = True
    max_body_bytes: int = 16 * MIB
    header_timeout_s: float = 10.0
    body_timeout_s: float = 30.0
    keep_alive_s: float = 75.0
    connections: int = 256
    drain_s: float = 30.0
    """Longest wait for requests under way when the service ends."""
    triton_metrics: bool = False
    """Also the nv_inference_* names, for existing dashboards."""
    trusted_keys: tuple[str, ...] = ()
    """ed25519 public keys (files or base64) of which one must have signed a version; none: signatures are not asked."""
    state_dir: str | None = None
    """Where the service remembers; REPO/.piaccel when not given."""
    poll_s: float = 1.0
    """How often the repository is looked at."""
    settle_s: float = 2.0
    """A dropped-in folder must stay unchanged for so long before it counts as whole."""
    log_json: bool = True
    otlp_endpoint: str | None = None
    """An OpenTelemetry collector, such as http://collector:4318; extra "trace"."""


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """``[models.NAME]``, with ``[defaults]`` for all."""

    backend: str = "auto"
    variant: str | None = None
    threads: int | None = None
    options: tuple[str, ...] = ()
    isolation: Literal["process", "thread"] = "process"
    instances: int = 1
    """Runners of each version."""
    policy: Literal["latest", "specific", "all"] = "latest"
    keep: int = 1
    """Policy latest: how many of the newest versions stay loaded."""
    versions: tuple[str, ...] = ()
    """Policy specific."""
    required: bool = True
    """Whether the service is ready only with this model."""
    deadline_s: float = 10.0
    """For requests that name none."""
    priority: int = 2
    golden: Literal["required", "if-present"] = "if-present"
    latency_budget_s: float | None = None
    """The candidate's p95 on its golden samples must be below; the bundle's own budget holds where it has one."""
    memory_budget_bytes: int | None = None
    probation_requests: int = 100
    probation_s: float = 60.0
    """Probation ends, well, after so many requests or so long, whichever comes first."""
    probation_errors: float = 0.02
    """Share of failed requests that a version on probation may have."""
    probation_slower: float = 2.0
    """How many times the p95 of the version before a version on probation may take."""
    agreement: float = 0.5
    """Share of compared answers in which the candidate must agree with the version before it; 0: not compared."""
    compare_share: float = 0.1
    """Share of the requests that both versions answer, for the comparison, while memory allows both."""
    attempts: int = 2
    """Starts that a version on probation is given before it is rolled back."""
    batch: Literal["off", "auto"] = "off"
    """auto: raw requests that wait anyway run together, where it was measured to pay on this board."""
    max_batch: int = 8
    hang_s: float = 30.0
    """A run that takes longer is taken for hung."""
    ladder: tuple[str, ...] = ()
    """Variants to step down to while the board is hot, the best first."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything; made by ``read`` or by hand."""

    repository: Path
    server: ServerSettings = ServerSettings()
    defaults: ModelSettings = ModelSettings()
    models: Mapping[str, ModelSettings] = field(default_factory=dict)
    heat: HeatSettings = field(default_factory=HeatSettings)
    root: str = "/"
    """Where the board's files are: a fake board's folder in tests."""

    def model(self, name: str) -> ModelSettings:
        return self.models.get(name, self.defaults)

    @property
    def state_dir(self) -> Path:
        return Path(self.server.state_dir) if self.server.state_dir else self.repository / ".piaccel"


def read(repository: Path, config: Path | None = None, **server: Any) -> Settings:
    """Read ``piaccel.toml`` and lay the options of the command line over it (None leaves what the file says).

    Raises NotFoundError, ModelError for what is no TOML, OptionError naming the table and the key.
    """
    tables: dict[str, Any] = {}
    if config is not None:
        try:
            tables = tomllib.loads(config.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise NotFoundError(f"{config}: no such file") from error
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ModelError(f"{config}: not valid TOML: {error}") from error
    known = ("server", "defaults", "models", "heat")
    for name in tables:
        if name not in known:
            raise OptionError(f"{config} has no table [{name}]", hint=f"the tables are {', '.join(known)}")
    given = {key: value for key, value in server.items() if value is not None}
    base = specs.options(ServerSettings, "server", tables.get("server", {}))
    defaults = dict(tables.get("defaults", {}))
    return Settings(
        repository=repository,
        server=replace(base, **given),
        defaults=specs.options(ModelSettings, "defaults", defaults),
        models={
            name: specs.options(ModelSettings, f"models.{name}", {**defaults, **table})
            for name, table in tables.get("models", {}).items()
        },
        heat=specs.options(HeatSettings, "heat", tables.get("heat", {})),
    )
