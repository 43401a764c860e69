"""The service: what REST, gRPC, the dashboard and the metrics stand on.

One event loop owns it; nothing here is thread-safe.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from piaccel.errors import ServiceError
from piaccel.pipeline.histogram import Histogram
from piaccel.serving import datatypes
from piaccel.serving.crew import Crew
from piaccel.serving.inline import InlineRunner
from piaccel.serving.messages import PictureRequest, PictureResponse, Request, Response
from piaccel.serving.runner import Opening
from piaccel.serving.settings import Settings
from piaccel.serving.snapshot import Happening, ModelNumbers, ServiceNumbers, VersionNumbers
from piaccel.serving.version import Version
from piaccel.tensors import TensorSpec
from piaccel.version import __version__

EXTENSIONS = (
    "binary_tensor_data",
    "classification",
    "model_repository",
    "model_configuration",
    "schedule_policy",
    "statistics",
)


class Service:
    """Models, their versions, and who answers. ``start`` first, ``stop`` last."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.draining = False
        self._started_at = time.time()
        self._begun = time.monotonic()
        self._models: dict[str, dict[str, Version]] = {}
        self._serving: dict[str, str] = {}
        self._happenings: deque[Happening] = deque(maxlen=100)
        self.listeners: list[Callable[[Happening], None]] = []

    async def start(self) -> None:
        """Load what the repository holds; a model that cannot be loaded is reported, and does not stop the others."""
        for folder in sorted(self.settings.repository.iterdir()):
            if folder.is_dir() and not folder.name.startswith("."):
                chosen = max((each for each in folder.iterdir()), key=lambda path: int(path.name))
                settings = self.settings.model(folder.name)
                opening = Opening(path=chosen, backend=settings.backend, variant=settings.variant, threads=1)

                async def open_runner(opening: Opening = opening) -> InlineRunner:
                    return await InlineRunner.open(opening)

                crew = Crew(open_runner)
                await crew.start()
                version = Version(folder.name, chosen.name, "", crew, settings)
                version.stage = "committed"
                self._models[folder.name] = {chosen.name: version}
                self._serving[folder.name] = chosen.name
                self._tell("loaded", folder.name, chosen.name)

    async def stop(self) -> None:
        """Answer what is under way, refuse the rest, end every process. Idempotent."""
        self.draining = True
        for versions in self._models.values():
            for version in versions.values():
                await version.drained(self.settings.server.drain_s)
                await version.crew.close()

    # What clients ask

    async def infer(self, request: Request) -> Response:
        """Answer raw tensors. Raises ServiceError."""
        with self._route(request.model, request.version) as version:
            return await version.infer(request)

    async def predict(self, request: PictureRequest) -> PictureResponse:
        """Answer a picture's file with the task's result. Raises ServiceError."""
        with self._route(request.model, request.version) as version:
            return await version.predict(request)

    def live(self) -> bool:
        return True

    def ready(self) -> bool:
        return not self.draining and not self.reasons()

    def reasons(self) -> list[str]:
        """Why the service is not ready; nothing when it is."""
        return ["it is shutting down"] if self.draining else []

    def model_ready(self, model: str, version: str = "") -> bool:
        """Whether the model (this version of it) would be answered; False for an unknown one."""
        try:
            self._find(model, version)
        except ServiceError:
            return False
        return not self.draining

    def metadata(self, model: str, version: str = "") -> dict[str, Any]:
        """``{"name", "versions", "platform", "inputs", "outputs"}`` as the protocol has it. Raises ServiceError."""
        found = self._find(model, version)
        return {
            "name": model,
            "versions": sorted(self._models[model], key=_order),
            "platform": f"piaccel_{found.facts.backend}",
            "inputs": [_described(spec) for spec in found.facts.inputs],
            "outputs": [_described(spec) for spec in found.facts.outputs],
        }

    def config(self, model: str, version: str = "") -> dict[str, Any]:
        """Triton's ModelConfig as JSON has it (model configuration extension). Raises ServiceError."""
        found = self._find(model, version)

        def described(spec: TensorSpec) -> dict[str, Any]:
            return {
                "name": spec.name,
                "data_type": f"TYPE_{datatypes.name_of(spec.dtype)}".replace("TYPE_BYTES", "TYPE_STRING"),
                "dims": [str(-1 if size is None else size) for size in spec.shape],
            }

        return {
            "name": model,
            "platform": f"piaccel_{found.facts.backend}",
            "backend": found.facts.backend,
            "version_policy": {"latest": {"num_versions": found.settings.keep}},
            "max_batch_size": 0,
            "input": [described(spec) for spec in found.facts.inputs],
            "output": [described(spec) for spec in found.facts.outputs],
            "instance_group": [{"name": model, "kind": "KIND_CPU", "count": found.settings.instances}],
        }

    def index(self, ready_only: bool = False) -> list[dict[str, str]]:
        """The repository index: ``{"name", "version", "state", "reason"}`` of every version known."""
        rows = [
            {"name": model.name, "version": each.version, "state": each.state, "reason": each.reason}
            for model in self.snapshot().models
            for each in model.versions
        ]
        return [row for row in rows if not ready_only or row["state"] == "READY"]

    def numbers(self, model: str = "", version: str = "") -> list[tuple[str, VersionNumbers]]:
        """(model, numbers) of the loaded versions asked for, all for "" (statistics). Raises ServiceError."""
        if model:
            self._find(model, version)
        return [
            (each.name, numbers)
            for each in self.snapshot().models
            for numbers in each.versions
            if numbers.loaded_at is not None and model in ("", each.name) and version in ("", numbers.version)
        ]

    def histograms(self) -> dict[tuple[str, str, str], dict[str, Histogram]]:
        """(model, version, variant) to the distributions of its answered requests, of every loaded version."""
        return {
            (model, each.name, each.facts.variant): each.meter.histograms
            for model, versions in self._models.items()
            for each in versions.values()
        }

    # What operators ask

    async def load(self, model: str, version: str = "") -> None:
        """Bring in the newest version, or this one; returns when it serves. Raises ServiceError."""
        raise ServiceError("unsupported", "not yet")

    async def unload(self, model: str, version: str = "") -> None:
        """Drain and end the model, or this version of it; the index keeps it as UNAVAILABLE. Raises ServiceError."""
        raise ServiceError("unsupported", "not yet")

    async def promote(self, model: str, version: str) -> None:
        """Make a version the one that serves: a swap with golden check and probation. Raises ServiceError."""
        raise ServiceError("unsupported", "not yet")

    async def rollback(self, model: str) -> str:
        """Go back to the version before; return its name. Raises ServiceError."""
        raise ServiceError("unsupported", "not yet")

    async def label(self, model: str, label: str, version: str, share: float = 0.0) -> None:
        """Give a loaded version a label; "" takes the label away. ``share`` of the requests that name no version go
        to it. Raises ServiceError."""
        raise ServiceError("unsupported", "not yet")

    async def shadow(self, model: str, version: str) -> None:
        """Let a version see a share of the requests, its answers compared and not returned; "" ends it."""
        raise ServiceError("unsupported", "not yet")

    async def release(self, model: str, version: str) -> None:
        """Take a version out of quarantine, so that it may be tried again. Raises ServiceError."""
        raise ServiceError("unsupported", "not yet")

    def snapshot(self) -> ServiceNumbers:
        """Everything known, now."""
        return ServiceNumbers(
            name=self.settings.server.name,
            software=__version__,
            started_at=self._started_at,
            uptime_s=time.monotonic() - self._begun,
            live=self.live(),
            ready=self.ready(),
            reasons=tuple(self.reasons()),
            draining=self.draining,
            repository_api=self.settings.server.repository_api,
            models=tuple(
                ModelNumbers(
                    name=name,
                    ready=self.model_ready(name),
                    required=self.settings.model(name).required,
                    serving=self._serving.get(name, ""),
                    versions=tuple(_numbers(each) for each in versions.values()),
                )
                for name, versions in self._models.items()
            ),
            happenings=tuple(reversed(self._happenings)),
        )

    def _find(self, model: str, version: str) -> Version:
        versions = self._models.get(model)
        if versions is None:
            raise ServiceError("not_found", f"unknown model {model!r}")
        name = version or self._serving.get(model, "")
        if name not in versions:
            raise ServiceError("not_found", f"model {model!r} has no version {name!r}")
        return versions[name]

    def _route(self, model: str, version: str) -> Version:
        if self.draining:
            raise ServiceError("unavailable", "the service is shutting down", retry_after_s=5.0)
        return self._find(model, version)

    def _tell(self, what: str, model: str = "", version: str = "", reason: str = "") -> None:
        happening = Happening(at=time.time(), what=what, model=model, version=version, reason=reason)
        self._happenings.append(happening)
        for listener in self.listeners:
            listener(happening)


def _described(spec: TensorSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "datatype": datatypes.name_of(spec.dtype),
        "shape": [-1 if size is None else size for size in spec.shape],
    }


def _numbers(version: Version) -> VersionNumbers:
    meter, facts = version.meter, version.facts
    return VersionNumbers(
        version=version.name,
        state="READY",
        stage=version.stage,
        reason=version.reason,
        digest=version.digest,
        backend=facts.backend,
        variant=facts.variant,
        threads=facts.threads,
        why=facts.why,
        kind=facts.kind,
        pid=next(iter(version.crew.pids), None),
        memory_bytes=facts.memory_bytes,
        loaded_at=version.loaded_at,
        last_request_at=meter.last_request_at,
        succeeded=meter.succeeded,
        failed=dict(meter.failed),
        runs=meter.runs,
        queued=version.crew.queued,
        running=version.crew.running,
        rate=meter.rate,
        p50_ms=meter.percentile_ms(50),
        p95_ms=meter.percentile_ms(95),
        p99_ms=meter.percentile_ms(99),
        queue_ns=meter.queue_ns,
        input_ns=meter.input_ns,
        infer_ns=meter.infer_ns,
        output_ns=meter.output_ns,
        total_ns=meter.total_ns,
        failed_ns=meter.failed_ns,
        crashes=version.crew.crashes,
        hangs=version.crew.hangs,
        cancelled=version.crew.cancelled,
    )


def _order(version: str) -> tuple[int, str]:
    return (int(version), "") if version.isdecimal() else (-1, version)
