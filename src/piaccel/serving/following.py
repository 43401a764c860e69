"""Follows the repository: what lies there now, and what the policies make of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from piaccel.errors import NotFoundError, PiaccelError, ServiceError, WriteError
from piaccel.serving import boot, swap
from piaccel.serving.lineup import Lineup, Means
from piaccel.serving.repository import COPIED, Found, Repository

RETRY_S = 30.0
"""A version that could not be brought in for no fault of its own is tried again after so long."""


class Following:
    """Keeps the lineups of a repository as the policies ask."""

    def __init__(self, means: Means) -> None:
        server = means.settings.server
        self.lineups: dict[str, Lineup] = {}
        self.untidy = True
        """Whether there may be copies in the store that nobody will load again."""
        self._means = means
        self._settle_s = server.settle_s
        self._repository = Repository(
            means.settings.repository, settle_s=server.settle_s, signed=bool(server.trusted_keys)
        )
        self._scanning = asyncio.Lock()
        self._retry: dict[tuple[str, str], float] = {}
        self._busy: set[str] = set()
        self._trouble = ""

    async def begin(self) -> None:
        """Load what is committed, and bring in what comes first. Raises NotFoundError when there is no repository."""
        await self._look()
        await asyncio.gather(*(boot.boot(lineup) for lineup in self.lineups.values()))
        await self.settled(lineup for lineup in self.lineups.values() if not lineup.serving)
        self._tend()
        await asyncio.gather(*(task for lineup in self.lineups.values() if not lineup.serving for task in lineup.tasks))

    async def go_on(self) -> None:
        """Look again and again; runs until it is cancelled."""
        while True:
            await asyncio.sleep(self._means.settings.server.poll_s)
            await self.look()
            self._tend()
            if self.untidy and not any(lineup.lock.locked() for lineup in self.lineups.values()):
                await self._tidy()

    async def look(self) -> None:
        """See what the repository holds now. A repository that is gone for a while changes nothing."""
        try:
            await self._look()
            self._trouble = ""
        except (NotFoundError, OSError) as error:
            if str(error) != self._trouble:
                self._trouble = str(error)
                self._means.tell("alarm", "", "", f"the repository cannot be read: {error}")

    async def settled(self, lineups: Iterable[Lineup]) -> None:
        """Look again for as long as versions of these may still be being copied."""
        waiting = list(lineups)
        until = time.monotonic() + 1.5 * self._settle_s + 0.1
        while time.monotonic() < until and any(
            found.reason == COPIED for lineup in waiting for found in lineup.found.values()
        ):
            await asyncio.sleep(self._settle_s / 4)
            await self.look()

    async def _look(self) -> None:
        async with self._scanning:
            seen: dict[str, dict[str, Found]] = await asyncio.to_thread(self._repository.scan)
        for name in {*seen, *self._means.ledger.names()} - set(self.lineups):
            self.lineups[name] = Lineup(name, self._means)
        for name, lineup in self.lineups.items():
            lineup.found = seen.get(name, {})

    def _tend(self) -> None:
        """Start what the policies ask for."""
        for name, lineup in self.lineups.items():
            if name in self._busy or lineup.lock.locked() or lineup.probation is not None:
                continue
            wanted = boot.due(lineup)
            missing = next(iter(boot.absent(lineup)), "")
            version = wanted or missing
            if version and time.monotonic() >= self._retry.get((name, version), 0.0):
                self._busy.add(name)
                lineup.start(self._follow(lineup, version, serve=bool(wanted)))

    async def _follow(self, lineup: Lineup, version: str, *, serve: bool) -> None:
        try:
            if serve:
                await swap.bring(lineup, version)
            else:
                async with lineup.lock:
                    await swap.stand_by(lineup, version)
        except PiaccelError as error:
            self._retry[lineup.name, version] = time.monotonic() + RETRY_S
            if not lineup.serving:
                lineup.trouble = str(error)
            if not isinstance(error, ServiceError) or error.kind == "unavailable":  # else its quarantine was told
                lineup.tell("alarm", version, str(error))
        finally:
            self._busy.discard(lineup.name)

    async def _tidy(self) -> None:
        """Remove the copies that nobody will load again."""
        self.untidy = False
        keep = {version.digest for lineup in self.lineups.values() for version in lineup.loaded.values()}
        for lineup in self.lineups.values():
            refs = (lineup.record.committed, lineup.record.previous, lineup.record.candidate)
            keep |= {ref.digest for ref in refs if ref is not None}
        try:
            if not await asyncio.to_thread(self._means.store.collect, keep):
                self.untidy = True
        except WriteError as error:
            self._means.tell("alarm", "", "", str(error))
