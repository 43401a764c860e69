"""A model of the service: its versions, who answers, and who steps in."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from piaccel.errors import CrashError, HangError, PiaccelError, ServiceError
from piaccel.serving.crew import Crew
from piaccel.serving.ledger import Ledger, Record
from piaccel.serving.messages import PictureRequest, PictureResponse, Request, Response
from piaccel.serving.probation import Probation
from piaccel.serving.repository import Found
from piaccel.serving.runner import Opening, Runner
from piaccel.serving.settings import ModelSettings, Settings
from piaccel.serving.snapshot import Stage
from piaccel.serving.store import Store
from piaccel.serving.version import Version

A = TypeVar("A", Request, PictureRequest)
T = TypeVar("T", Response, PictureResponse)
STABLE = "stable"
"""The label that always names the serving version."""
_LOWEST = 9
"""Priority of answers that nobody waits for."""
_log = logging.getLogger("piaccel")


@dataclass(kw_only=True)
class Means:
    """What every lineup works with."""

    settings: Settings
    store: Store
    ledger: Ledger
    tell: Callable[[str, str, str, str], None]
    """(what, model, version, reason): something worth a line in the log."""
    memory_available: Callable[[], float | None]
    open_runner: Callable[[Opening, ModelSettings, bool], Awaitable[Runner]]
    """The last argument asks for a low priority, for what is only being looked at."""


@dataclass
class Passing:
    """A version on its way in or out that is not (yet) loaded."""

    stage: Stage
    reason: str = ""


class Lineup:
    """What is loaded of one model, and the routes to it. ``swap`` and ``boot`` change it under ``lock``."""

    def __init__(self, name: str, means: Means) -> None:
        self.name = name
        self.means = means
        self.settings: ModelSettings = means.settings.model(name)
        self.record: Record = means.ledger.read(name)
        self.found: dict[str, Found] = {}
        self.loaded: dict[str, Version] = {}
        self.serving = ""
        self.before = ""
        """The version that answered before the one on probation; loaded still where memory allows."""
        self.probation: Probation | None = None
        self.shadowed = ""
        self.passing: dict[str, Passing] = {}
        self.gap_until: float | None = None
        """While one version has to go before the next may come: when it is worth asking again (CLOCK_MONOTONIC)."""
        self.trouble = ""
        """Why nobody serves."""
        self.rung = 0
        self.pictures = False
        """Whether clients have sent pictures: the next version is made ready for them then."""
        self.lock = asyncio.Lock()
        self.tasks: set[asyncio.Task[None]] = set()
        self._turns: dict[str, float] = {}
        self._comparing = False
        self._asked = 0.0

    # Routes

    def pick(self, version: str = "") -> Version:
        """The version that this version's name, this label, or none means. Raises ServiceError."""
        name = self._named(version) if version else self.serving
        found = self.loaded.get(name)
        if found is not None and found.stage != "draining":
            return found
        if version and self.record.unloaded is False and name not in self.found and name not in self.record.labels:
            raise ServiceError("not_found", f"model {self.name!r} has no version {version!r}")
        if self.gap_until is not None:
            wait = max(1.0, self.gap_until - time.monotonic())
            raise ServiceError("unavailable", f"{self.name}: a version is being replaced", retry_after_s=wait)
        why = "it is unloaded" if self.record.unloaded else self.trouble or "it is not loaded"
        wanted = f"{self.name} version {version}" if version else self.name
        raise ServiceError("unavailable", f"{wanted}: {why}", retry_after_s=5.0)

    def _named(self, version: str) -> str:
        if version in self.loaded:
            return version
        return self.serving if version == STABLE else self.record.labels.get(version, version)

    def _next(self) -> str:
        for label, share in self.record.shares.items():
            name = self.record.labels.get(label, "")
            if share > 0 and name in self.loaded and self.loaded[name].stage == "standby":
                self._turns[label] = self._turns.get(label, 0.0) + share
                if self._turns[label] >= 1:
                    self._turns[label] -= 1
                    return name
        return self.serving

    def stand_in(self, version: Version) -> Version | None:
        """Who answers instead when this version, being tried out, fails; None where nobody does."""
        name = self.before if version.name == self.serving else self.serving
        other = self.loaded.get(name)
        tried_out = self.probation is not None or version.name != self.serving
        return other if tried_out and other is not None and other is not version else None

    async def infer(self, request: Request) -> Response:
        """Answer raw tensors. Raises ServiceError."""
        return await self._answer(request, Version.infer)

    async def predict(self, request: PictureRequest) -> PictureResponse:
        """Answer a picture. Raises ServiceError."""
        self.pictures = True
        return await self._answer(request, Version.predict)

    async def _answer(self, request: A, call: Callable[[Version, A], Awaitable[T]]) -> T:
        version = self.pick(request.version or self._next())
        begun = time.monotonic()
        try:
            with version:
                answer = await call(version, request)
        except ServiceError as error:
            self._saw(version, error.kind, begun)
            other = None if request.version else self.stand_in(version)
            if other is None or error.kind not in ("internal", "unavailable"):
                raise
            with other:
                return await call(other, request)
        self._saw(version, "", begun)
        if self.shadowed or (self.probation is not None and version.name == self.serving):
            self._compare(version, request, answer, call)
        return answer

    def _saw(self, version: Version, failed: str, begun: float) -> None:
        if self.probation is not None and version.name == self.serving:
            self.probation.saw(failed, (time.monotonic() - begun) * 1e3)

    def _compare(
        self,
        version: Version,
        request: A,
        answer: T,
        call: Callable[[Version, A], Awaitable[T]],
    ) -> None:
        """Let another version answer the same, for a share of the requests, when the model has nothing else to do."""
        other = self.loaded.get(self.shadowed if self.shadowed else self.before)
        self._asked += self.settings.compare_share
        if other is None or other is version or self._comparing or self._asked < 1:
            self._asked = min(self._asked, 1.0)
            return
        self._asked -= 1
        self._comparing = True
        quiet = replace(request, priority=_LOWEST, deadline_ns=None)
        self.start(self._compared(version, other, quiet, answer, call))

    async def _compared(
        self,
        version: Version,
        other: Version,
        request: A,
        answer: T,
        call: Callable[[Version, A], Awaitable[T]],
    ) -> None:
        from piaccel.serving import compared  # 16 MB that most services never need

        try:
            with other:
                second = await call(other, request)
            if isinstance(answer, PictureResponse) and isinstance(second, PictureResponse):
                agrees = compared.agrees(version.facts.kind, answer.result, second.result)
            else:
                assert isinstance(answer, Response)
                assert isinstance(second, Response)
                agrees = compared.agrees_tensors(answer.outputs, second.outputs)
            judged = other if other.name == self.shadowed else version
            judged.compared += 1
            judged.agreed += agrees
            if self.probation is not None and version.name == self.serving and judged is version:
                self.probation.compare(agrees)
        except ServiceError as error:
            _log.debug("%s: nothing to compare with: %s", self.name, error)
        finally:
            self._comparing = False

    # What is loaded

    async def open(self, name: str, digest: str, path: Path, first: Runner | None = None) -> Version:
        """Open a version's runners (``first`` is one that is open already). Raises what ``Runner.open`` raises."""
        settings = self.settings
        ready = [first] if first is not None else []

        async def open_runner() -> Runner:
            return ready.pop() if ready else await self.means.open_runner(self.opening(path), settings, False)

        crew = Crew(open_runner, instances=settings.instances)
        try:
            await crew.start()
        except BaseException:
            await crew.close()
            raise
        weighing = await crew.runner.weigh(settings.max_batch) if settings.batch == "auto" else None
        return Version(self.name, name, digest, crew, settings, weighing)

    def opening(self, path: Path, rung: int | None = None) -> Opening:
        """How a version is opened, on this rung of the heat ladder."""
        chosen = self.settings
        step = self.rung if rung is None else rung
        variant = chosen.ladder[step] if chosen.ladder else chosen.variant
        return Opening(
            path=path,
            backend=chosen.backend,
            variant=variant,
            threads=chosen.threads,
            options=chosen.options,
            pictures=self.pictures,
        )

    async def retire(self, version: Version) -> None:
        """Give it no new request, let those under way finish, then end it."""
        self._take_out(version)
        await self._end(version)

    def dismiss(self, version: Version) -> None:
        """Do what ``retire`` does, without waiting for the end."""
        self._take_out(version)
        self.start(self._end(version))

    def _take_out(self, version: Version) -> None:
        version.stage = "draining"
        if self.loaded.get(version.name) is version:
            del self.loaded[version.name]
        self.passing[version.name] = Passing("draining")

    async def _end(self, version: Version) -> None:
        if not await version.drained(self.means.settings.server.drain_s):
            _log.warning("%s version %s: ended with requests under way", self.name, version.name)
        await version.crew.close()
        if self.passing.get(version.name) == Passing("draining"):
            del self.passing[version.name]

    async def close(self) -> None:
        """Drain and end everything."""
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await asyncio.gather(*(self.retire(version) for version in list(self.loaded.values())))

    def start(self, work: Awaitable[None]) -> None:
        """Do something beside; it ends with the lineup."""

        async def watched() -> None:
            try:
                await work
            except (PiaccelError, CrashError, HangError) as error:
                _log.warning("%s: %s", self.name, error)

        task = asyncio.create_task(watched())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def save(self) -> None:
        """Write the record. Raises WriteError on a full or read-only disk."""
        self.means.ledger.write(self.name, self.record)

    def tell(self, what: str, version: str = "", reason: str = "") -> None:
        """Something worth a line in the log."""
        self.means.tell(what, self.name, version, reason)

    @property
    def ready(self) -> bool:
        """Whether a request that names no version would be answered. A swap does not change it."""
        return not self.record.unloaded and self.serving in self.loaded
