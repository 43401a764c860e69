"""Versions to bring in, and runners that misbehave when told to."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np

from piaccel.errors import CrashError, InferenceError
from piaccel.serving.lineup import Lineup
from piaccel.serving.messages import Bytes, Request, Response, Tensor
from piaccel.serving.runner import GoldenCheck, Opening, Picture, Runner
from piaccel.serving.service import Service
from piaccel.serving.settings import ModelSettings, Settings

GREY = np.full((1, 96, 96, 3), 0.5, np.float32)


def add_version(repository: Path, version: str, model: str = "parts") -> Path:
    """Another version of the demo model: the same network, another description, in place at once."""
    first = repository / "parts" / "1"
    beside = repository / model / f".{version}"
    shutil.copytree(first, beside)
    manifest = beside / "model.toml"
    manifest.write_text(manifest.read_text().replace("description = ", f"description = 'version {version}' # ", 1))
    return beside.rename(repository / model / version)


class Wrapped(Runner):
    """A real runner that fails, answers NaN-free nonsense, or takes long, as its version's ``Faults`` say."""

    def __init__(self, inner: Runner, faults: "Faults") -> None:
        self._inner = inner
        self._faults = faults
        self.facts = inner.facts
        self.calls = 0

    @property
    def pid(self) -> int | None:
        return self._inner.pid

    @property
    def alive(self) -> bool:
        return self._inner.alive

    async def infer(self, inputs: Sequence[Tensor], wanted: Sequence[str] = ()) -> list[Tensor]:
        self.calls += 1
        await self._faults.before(self.calls)
        outputs = await self._inner.infer(inputs, wanted)
        if self._faults.swap_answers:
            outputs = [Tensor.of(each.name, np.roll(each.array(), 1, axis=-1)) for each in outputs]
        return outputs

    async def predict(self, image: Bytes, *, annotate: bool = False) -> Picture:
        self.calls += 1
        await self._faults.before(self.calls)
        return await self._inner.predict(image, annotate=annotate)

    async def check(self, samples: Path | None = None) -> GoldenCheck:
        return self._faults.golden or await self._inner.check(samples)

    async def prioritize(self) -> bool:
        return await self._inner.prioritize()

    async def close(self) -> None:
        await self._inner.close()


class Faults:
    """What goes wrong with a version."""

    def __init__(self) -> None:
        self.fails_from: int | None = None
        self.crashes_at: set[int] = set()
        self.golden: GoldenCheck | None = None
        self.swap_answers = False
        self.opens_with: Exception | None = None
        self.opened = 0
        self.hold: asyncio.Event | None = None

    async def before(self, call: int) -> None:
        if self.hold is not None:
            await self.hold.wait()
        if call in self.crashes_at:
            raise CrashError("the runtime ended its process: SIGSEGV")
        if self.fails_from is not None and call >= self.fails_from:
            raise InferenceError("it broke")


def inject(service: Service) -> dict[str, Faults]:
    """Let runners of the service misbehave: faults by version, told apart by the description in the manifest."""
    faults: dict[str, Faults] = {}
    open_runner = service._means.open_runner

    async def wrapped(opening: Opening, settings: ModelSettings, idle: bool) -> Runner:
        text = (opening.path / "model.toml").read_text()
        version = text.split("'version ")[1].split("'")[0] if "'version " in text else "1"
        mine = faults.setdefault(version, Faults())
        mine.opened += 1
        if mine.opens_with is not None:
            raise mine.opens_with
        return Wrapped(await open_runner(opening, settings, idle), mine)

    service._means.open_runner = wrapped
    return faults


@asynccontextmanager
async def controlled(settings: Settings) -> AsyncIterator[tuple[Service, dict[str, Faults]]]:
    """A service that has started, and the faults its versions shall have."""
    service = Service(settings)
    faults = inject(service)
    await service.start()
    try:
        yield service, faults
    finally:
        await service.stop()


async def ask(service: Service, version: str = "") -> Response:
    """One request with a grey picture."""
    name = service.metadata("parts")["inputs"][0]["name"]
    return await service.infer(Request(model="parts", version=version, inputs=[Tensor.of(name, GREY)]))


async def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for something that happens beside."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


def lineup(service: Service) -> Lineup:
    return service.lineups["parts"]
