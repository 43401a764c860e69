"""What goes on beside requests: the board's sensors, the heat ladder, systemd's watchdog, old copies tidied away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from piaccel.errors import PiaccelError
from piaccel.serving import ladder, watchdog
from piaccel.serving.board import PERIOD_S, Board
from piaccel.serving.service import Service
from piaccel.serving.thermal import Lateness, Thermal

_log = logging.getLogger("piaccel")


@asynccontextmanager
async def looked_after(service: Service, notifier: watchdog.Notifier | None = None) -> AsyncIterator[None]:
    """Keep the service's readings fresh, step when it is hot, and feed the watchdog, while the body runs."""
    notifier = notifier or watchdog.Notifier()
    board = Board(service.settings.root)
    board.start()
    tasks = [
        asyncio.create_task(_watch(service, board)),
        asyncio.create_task(watchdog.guard(notifier, service.answered, service.progress)),
    ]
    notifier.ready(_status(service))
    try:
        yield
    finally:
        notifier.stopping()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(board.stop)


async def _watch(service: Service, board: Board, period_s: float = PERIOD_S) -> None:
    thermal, lateness = Thermal(service.settings.heat), Lateness()
    while True:
        await look(service, board, thermal, lateness)
        await asyncio.sleep(period_s)


async def look(service: Service, board: Board, thermal: Thermal, lateness: Lateness) -> None:
    """Take over the last readings, and the steps that they call for."""
    service.observe(board.readings, board.throttled, board.alarms)
    thermal.watch({name: len(lineup.settings.ladder) for name, lineup in service.lineups.items()})
    for step in thermal.update(board.readings, lateness.update(service.snapshot())):
        lineup = service.lineups[step.model]
        try:
            await ladder.step(lineup, step.rung, step.reason)
        except PiaccelError as error:
            lineup.tell("alarm", lineup.serving, f"rung {step.rung} cannot be taken: {error}")


def _status(service: Service) -> str:
    serving = [f"{name} {lineup.serving}" for name, lineup in service.lineups.items() if lineup.serving]
    return f"serving {', '.join(serving)}" if serving else "no model serves"
