"""Whether a version that was only looked at so far may serve."""

from __future__ import annotations

import asyncio
from math import ceil
from pathlib import Path

from piaccel.errors import ModelError
from piaccel.serving.lineup import Lineup
from piaccel.serving.runner import GoldenCheck, Runner


class RefusedError(ModelError):
    """The version must not serve, and is put into quarantine."""


def golden(lineup: Lineup, found: GoldenCheck) -> None:
    """Raise RefusedError when the golden check says that the version must not serve."""
    settings = lineup.settings
    if found.reason:
        raise RefusedError(f"golden check: {found.reason}")
    if not found.samples and settings.golden == "required":
        raise RefusedError("it has no golden samples, and they are required")
    if settings.latency_budget_s is not None and found.latency_ms:
        p95 = sorted(found.latency_ms)[ceil(0.95 * len(found.latency_ms)) - 1]
        if p95 > settings.latency_budget_s * 1e3:
            raise RefusedError(
                f"golden check: p95 {p95:.1f} ms, the budget is {settings.latency_budget_s * 1e3:.1f} ms"
            )
    budget = settings.memory_budget_bytes
    if budget is not None and found.memory_bytes is not None and found.memory_bytes > budget:
        raise RefusedError(f"golden check: {found.memory_bytes / 1e6:.0f} MB, the budget is {budget / 1e6:.0f} MB")


async def by_the_old(lineup: Lineup, runner: Runner) -> None:
    """Ask the samples of the committed version, too: swapped labels pass samples that were made with them."""
    committed = lineup.record.committed
    if committed is None or not lineup.settings.agreement:
        return
    path: Path = await asyncio.to_thread(lineup.means.store.verify, committed.digest)
    golden = await runner.check(path)
    if golden.samples and 1 - golden.failed / golden.samples < lineup.settings.agreement:
        share = 1 - golden.failed / golden.samples
        raise RefusedError(
            f"agrees in {share:.0%} of {golden.samples} golden samples of version {committed.version}, "
            f"{lineup.settings.agreement:.0%} asked: {golden.reason}"
        )
