"""The service: what REST, gRPC, the dashboard and the metrics stand on.

One event loop owns it; nothing here is thread-safe.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec

from piaccel.device import sensors
from piaccel.errors import ServiceError, WriteError
from piaccel.pipeline.histogram import Histogram
from piaccel.serving import boot, description, memory, swap
from piaccel.serving.following import Following
from piaccel.serving.ledger import Ledger
from piaccel.serving.lineup import STABLE, Lineup, Means
from piaccel.serving.messages import PictureRequest, PictureResponse, Request, Response
from piaccel.serving.opener import open_runner
from piaccel.serving.settings import Settings
from piaccel.serving.snapshot import Happening, ServiceNumbers, VersionNumbers
from piaccel.serving.store import Store
from piaccel.serving.tracing import Tracing
from piaccel.version import __version__

A = TypeVar("A", Request, PictureRequest)
T = TypeVar("T", Response, PictureResponse)

EXTENSIONS = description.EXTENSIONS
_CANARY_S = 30.0
_UNTIDY = ("committed", "quarantined", "rolled back", "unloaded")


class Service:
    """Models, their versions, and who answers. ``start`` first, ``stop`` last."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.draining = False
        self.starting = True
        self.readings: dict[str, float | None] = {}
        """The board's sensors, as whoever samples them last read them."""
        self.throttled: tuple[str, ...] = ()
        self.alarms: tuple[str, ...] = ()
        self.connections = 0
        self.tracing: Tracing | None = None
        """Where requests are traced to."""
        self.listeners: list[Callable[[Happening], None]] = []
        self._started_at = time.time()
        self._begun = time.monotonic()
        self._happenings: deque[Happening] = deque(maxlen=100)
        self._sensors = sensors.find(settings.root)
        self._means = Means(
            settings=settings,
            store=Store(settings.state_dir / "store"),
            ledger=Ledger(settings.state_dir / "models"),
            tell=self._tell,
            memory_available=self._sensors["memory_available_bytes"].read,
            open_runner=open_runner,
        )
        self._following = Following(self._means)
        self.lineups = self._following.lineups
        self._poll: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load what is committed, then bring in what the repository holds; a model that cannot be loaded is reported
        and does not stop the others. Raises NotFoundError when there is no repository.
        """
        await self._following.begin()
        self.starting = False
        self._poll = asyncio.create_task(self._following.go_on())

    async def stop(self) -> None:
        """Answer what is under way, refuse the rest, end every process. Idempotent."""
        self.draining = True
        if self._poll is not None:
            self._poll.cancel()
            await asyncio.gather(self._poll, return_exceptions=True)
        await asyncio.gather(*(lineup.close() for lineup in self.lineups.values()))

    # What clients ask

    async def infer(self, request: Request) -> Response:
        """Answer raw tensors. Raises ServiceError."""
        lineup = self._lineup(request.model)
        return await lineup.infer(request) if self.tracing is None else await self._traced(request, lineup.infer)

    async def predict(self, request: PictureRequest) -> PictureResponse:
        """Answer a picture's file with the task's result. Raises ServiceError."""
        lineup = self._lineup(request.model)
        return await lineup.predict(request) if self.tracing is None else await self._traced(request, lineup.predict)

    def live(self) -> bool:
        """Whether the event loop turns: who can ask gets an answer."""
        return True

    def ready(self) -> bool:
        """Whether every required model would be answered."""
        return not self.reasons()

    def reasons(self) -> list[str]:
        """Why the service is not ready; nothing when it is."""
        if self.starting:
            return ["it is starting"]
        wrong = ["it is shutting down"] if self.draining else []
        for name, lineup in self.lineups.items():
            if lineup.settings.required and not lineup.ready and lineup.gap_until is None:
                why = "it is unloaded" if lineup.record.unloaded else lineup.trouble or "no version serves"
                wrong.append(f"{name}: {why}")
        missing = [name for name in self.settings.models if name not in self.lineups]
        return wrong + [f"{name}: not in the repository" for name in missing if self.settings.model(name).required]

    def model_ready(self, model: str, version: str = "") -> bool:
        """Whether the model (this version of it) would be answered; False for an unknown one."""
        try:
            self._lineup(model).pick(version)
        except ServiceError:
            return False
        return not self.draining

    def metadata(self, model: str, version: str = "") -> dict[str, Any]:
        """``{"name", "versions", "platform", "inputs", "outputs"}`` as the protocol has it. Raises ServiceError."""
        lineup = self._lineup(model)
        return description.metadata(lineup, lineup.pick(version))

    def config(self, model: str, version: str = "") -> dict[str, Any]:
        """Triton's ModelConfig as JSON has it (model configuration extension). Raises ServiceError."""
        lineup = self._lineup(model)
        return description.configuration(lineup, lineup.pick(version))

    def index(self, ready_only: bool = False) -> list[dict[str, str]]:
        """The repository index: ``{"name", "version", "state", "reason"}`` of every version known."""
        rows = [
            {"name": model.name, "version": each.version, "state": each.state, "reason": each.reason}
            for model in map(description.numbers, self.lineups.values())
            for each in model.versions
        ]
        return [row for row in rows if not ready_only or row["state"] == "READY"]

    def numbers(self, model: str = "", version: str = "") -> list[tuple[str, VersionNumbers]]:
        """(model, numbers) of the loaded versions asked for, all for "" (statistics). Raises ServiceError."""
        chosen = [self._lineup(model)] if model else list(self.lineups.values())
        name = chosen[0].pick(version).name if model and version else ""
        return [
            (lineup.name, each)
            for lineup in chosen
            for each in description.numbers(lineup).versions
            if each.loaded_at is not None and name in ("", each.version)
        ]

    # What operators ask

    async def load(self, model: str, version: str = "") -> None:
        """Bring in the newest version, or this one; returns when it serves. Raises ServiceError."""
        lineup = await self._seen(model)
        with self._written(lineup):
            lineup.record.unloaded = False
        if not version and not lineup.serving:
            await boot.boot(lineup)
        wanted = version or boot.due(lineup)
        if wanted:
            await swap.bring(lineup, wanted)
        elif not lineup.serving:
            raise ServiceError("invalid_argument", f"{model}: no version can be loaded: {self._why_none(lineup)}")

    async def unload(self, model: str, version: str = "") -> None:
        """Drain and end the model, or this version of it; the index keeps it as UNAVAILABLE. Raises ServiceError."""
        lineup = self._lineup(model)
        async with lineup.lock:
            if version and lineup.pick(version).name != lineup.serving:
                await lineup.retire(lineup.pick(version))
            else:
                lineup.probation = None
                lineup.before = lineup.shadowed = ""
                lineup.record.candidate, lineup.record.attempts = None, 0
                with self._written(lineup):
                    lineup.record.unloaded = True
                lineup.serving = ""
                await asyncio.gather(*(lineup.retire(each) for each in list(lineup.loaded.values())))
        lineup.tell("unloaded", version)

    async def promote(self, model: str, version: str) -> None:
        """Make a version the one that serves: a swap with golden check and probation. Raises ServiceError."""
        lineup = await self._seen(model)
        name = lineup.record.labels.get(version, version)
        with self._written(lineup):
            lineup.record.unloaded = False
        await swap.bring(lineup, name)

    async def rollback(self, model: str) -> str:
        """Go back to the version before; return its name. Raises ServiceError."""
        lineup = self._lineup(model)
        async with lineup.lock:
            if lineup.probation is not None and lineup.record.committed is not None:
                await swap.take_back(lineup, "rolled back by the operator")
                return lineup.serving
            if lineup.record.previous is None or lineup.serving not in lineup.loaded:
                raise ServiceError("invalid_argument", f"{model}: there is no version to go back to")
            await swap.fall_back(lineup, lineup.loaded[lineup.serving], "rolled back by the operator")
        return lineup.serving

    async def label(self, model: str, label: str, version: str, share: float = 0.0) -> None:
        """Give a version a label and load it; "" takes the label away. ``share`` (0 to 1) of the requests that name no
        version go to it. Raises ServiceError.
        """
        lineup = self._lineup(model)
        if label == STABLE:
            raise ServiceError("invalid_argument", "the label stable follows the serving version: promote one")
        if not label or not label.isidentifier() or label.isdecimal():
            raise ServiceError("invalid_argument", "a label is a word such as canary")
        others = sum(each for name, each in lineup.record.shares.items() if name != label)
        if not 0 <= share <= 1 or others + share > 1:
            raise ServiceError("invalid_argument", "the shares of all labels together are at most 1")
        lineup = await self._seen(model)
        async with lineup.lock:
            loaded = await swap.stand_by(lineup, version) if version else None
            with self._written(lineup):
                lineup.record.labels = {**lineup.record.labels, label: version}
                lineup.record.shares = {**lineup.record.shares, label: share}
                if loaded is None:
                    del lineup.record.labels[label], lineup.record.shares[label]
            for other in swap.surplus(lineup):
                lineup.dismiss(other)
        lineup.tell("labelled", version, f"{label}, {share:.0%} of the requests" if version else f"{label} taken away")

    async def shadow(self, model: str, version: str) -> None:
        """Let a version see a share of the requests, its answers compared and not returned; "" ends it."""
        lineup = await self._seen(model)
        async with lineup.lock:
            if version == lineup.serving:
                raise ServiceError("invalid_argument", f"{model} version {version} serves: it cannot be its own shadow")
            loaded = await swap.stand_by(lineup, version) if version else None
            lineup.shadowed = loaded.name if loaded else ""
            for other in swap.surplus(lineup):
                lineup.dismiss(other)
        lineup.tell("shadow", version)

    async def release(self, model: str, version: str) -> None:
        """Take a version out of quarantine, so that it may be tried again. Raises ServiceError."""
        lineup = self._lineup(model)
        put_away = [digest for digest, each in lineup.record.quarantined.items() if each.version == version]
        if not put_away:
            raise ServiceError("invalid_argument", f"{model} version {version} is not in quarantine")
        with self._written(lineup):
            lineup.record.quarantined = {
                digest: each for digest, each in lineup.record.quarantined.items() if digest not in put_away
            }
        lineup.tell("released", version)

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
            models=tuple(map(description.numbers, self.lineups.values())),
            board=dict(self.readings),
            throttled=self.throttled,
            alarms=self.alarms,
            memory_bytes=memory.resident_bytes(),
            connections=self.connections,
            disk_free_bytes=self._disk_free(),
            read_only=self._means.ledger.read_only,
            happenings=tuple(reversed(self._happenings)),
        )

    def histograms(self) -> dict[tuple[str, str, str], dict[str, Histogram]]:
        """The distributions of every loaded version, by (model, version, variant): "total", "queue", "infer"."""
        return {
            (lineup.name, version.name, version.facts.variant): version.meter.histograms
            for lineup in self.lineups.values()
            for version in lineup.loaded.values()
        }

    def answered(self) -> int:
        """Requests answered by what is loaded now: progress, for the watchdog."""
        return sum(version.meter.succeeded for lineup in self.lineups.values() for version in lineup.loaded.values())

    async def progress(self) -> bool:
        """Run every serving version once; whether each that should serve did it."""
        serving = [lineup.loaded[lineup.serving] for lineup in self.lineups.values() if lineup.ready]
        found = await asyncio.gather(*(version.canary(_CANARY_S) for version in serving), return_exceptions=True)
        return not any(isinstance(each, BaseException) for each in found)

    def observe(
        self, readings: Mapping[str, float | None], throttled: tuple[str, ...], alarms: tuple[str, ...]
    ) -> None:
        """Take over what the board's sensors say; a new alarm is told."""
        for alarm in alarms:
            if alarm not in self.alarms:
                self._tell("alarm", reason=alarm)
        self.readings, self.throttled, self.alarms = dict(readings), throttled, alarms

    async def _traced(self, request: A, answer: Callable[[A], Awaitable[T]]) -> T:
        assert self.tracing is not None
        begun = time.monotonic()
        told: T | None = None
        failed = ""
        try:
            told = await answer(request)
            return told
        except ServiceError as error:
            failed = error.kind
            raise
        finally:
            self.tracing.request(
                model=request.model,
                total_ms=(time.monotonic() - begun) * 1e3,
                trace=request.trace,
                times_ms=told.times_ms if told else {},
                version=told.version if told else request.version,
                variant=told.parameters["variant"] if told else "",
                request_id=request.id,
                failed=failed,
            )

    async def _seen(self, model: str) -> Lineup:
        """Look at the repository again, for as long as the model's versions may still be being copied."""
        await self._following.look()
        lineup = self._lineup(model)
        await self._following.settled([lineup])
        return lineup

    def _lineup(self, model: str) -> Lineup:
        if self.draining:
            raise ServiceError("unavailable", "the service is shutting down", retry_after_s=5.0)
        found = self.lineups.get(model)
        if found is None:
            raise ServiceError("not_found", f"unknown model {model[:128]!r}")
        return found

    @contextmanager
    def _written(self, lineup: Lineup) -> Iterator[None]:
        """Change the record and write it down, or refuse: what is asked for must outlive the power."""
        before = msgspec.structs.replace(lineup.record)
        try:
            yield
            lineup.save()
        except WriteError as error:
            lineup.record = before
            raise ServiceError(
                "unavailable", f"it cannot be written down: {error.message}", retry_after_s=60
            ) from error

    def _why_none(self, lineup: Lineup) -> str:
        reasons = [f"{name}: {found.reason}" for name, found in lineup.found.items() if not found.whole]
        reasons += [f"{each.version} is in quarantine: {each.reason}" for each in lineup.record.quarantined.values()]
        return "; ".join(reasons) or "the repository holds none"

    def _disk_free(self) -> int | None:
        try:
            return shutil.disk_usage(self.settings.repository).free
        except OSError:
            return None

    def _tell(self, what: str, model: str = "", version: str = "", reason: str = "") -> None:
        happening = Happening(at=time.time(), what=what, model=model, version=version, reason=reason)
        self._happenings.append(happening)
        self._following.untidy |= what in _UNTIDY
        for listener in self.listeners:
            listener(happening)
