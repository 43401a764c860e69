"""A step on the heat ladder: another variant of the serving version answers, and no request is lost."""

from __future__ import annotations

import asyncio

from piaccel.errors import ServiceError
from piaccel.serving.lineup import Lineup
from piaccel.serving.runner import Runner
from piaccel.serving.swap import guard


async def step(lineup: Lineup, rung: int, reason: str) -> None:
    """Let the variant of another rung of the heat ladder answer. Raises ServiceError where its tensors are others."""
    async with lineup.lock:
        old = lineup.loaded.get(lineup.serving)
        if old is None or lineup.probation is not None or rung == lineup.rung:
            return
        path = await asyncio.to_thread(lineup.means.store.verify, old.digest)
        runner = await lineup.means.open_runner(lineup.opening(path, rung), lineup.settings, False)
        if (runner.facts.inputs, _shapes(runner)) != (old.facts.inputs, [spec.shape for spec in old.facts.outputs]):
            await runner.close()
            raise ServiceError("invalid_argument", f"{lineup.name}: rung {rung} takes or gives other tensors")
        before, lineup.rung = lineup.rung, rung
        version = await lineup.open(old.name, old.digest, path, runner)
        version.stage = old.stage
        version.meter = old.meter
        guard(lineup, version)
        lineup.loaded[old.name] = version
        lineup.tell("step", old.name, f"rung {before} to {rung} ({version.facts.variant}): {reason}")
        lineup.dismiss(old)


def _shapes(runner: Runner) -> list[tuple[int | None, ...]]:
    return [spec.shape for spec in runner.facts.outputs]
