"""What serves after a start: the committed version, whatever the power did, or the one before it."""

from __future__ import annotations

import asyncio
import time

from piaccel.errors import ChecksumError, NotFoundError, PiaccelError, ServiceError
from piaccel.serving import swap
from piaccel.serving.ledger import Ref
from piaccel.serving.lineup import Lineup
from piaccel.serving.repository import order
from piaccel.serving.version import Version


async def boot(lineup: Lineup) -> None:
    """Load the committed version, else the one before it; a candidate that ended the service too often is put away."""
    async with lineup.lock:
        record = lineup.record
        candidate = record.candidate
        if candidate is not None and record.attempts >= lineup.settings.attempts:
            record.candidate = None
            reason = f"it ended the service {record.attempts} times while it was tried"
            record.attempts = 0
            await swap.quarantine(lineup, candidate.version, candidate.digest, reason)
        if record.unloaded:
            return
        for ref in (record.committed, record.previous):
            if ref is None or lineup.serving:
                continue
            try:
                version = await _opened(lineup, ref)
            except (PiaccelError, OSError) as error:
                lineup.trouble = f"version {ref.version} does not start: {_short(error)}"
                lineup.tell("alarm", ref.version, str(error))
                continue
            lineup.loaded[version.name] = version
            lineup.serving = version.name
            lineup.trouble = ""
            swap.guard(lineup, version)
            lineup.tell("loaded", version.name, "")
        for name in dict.fromkeys(record.labels.values()):
            try:
                await swap.stand_by(lineup, name)
            except ServiceError as error:
                lineup.tell("alarm", name, str(error))


async def _opened(lineup: Lineup, ref: Ref) -> Version:
    store = lineup.means.store
    try:
        path = await asyncio.to_thread(store.verify, ref.digest)
    except (ChecksumError, NotFoundError) as error:
        lineup.tell("alarm", ref.version, f"its copy is damaged: {error}")
        found = lineup.found.get(ref.version)
        if found is None or not found.whole:
            raise
        stored = await asyncio.to_thread(store.adopt, found)
        if stored.digest != ref.digest:
            raise
        path = await asyncio.to_thread(store.verify, ref.digest)
    version = await lineup.open(ref.version, ref.digest, path)
    golden = await version.crew.runner.check()
    if golden.failed:
        await version.crew.close()
        raise ServiceError("internal", f"golden check: {golden.reason}")
    version.stage = "committed"
    version.golden_at = time.time()
    return version


def due(lineup: Lineup) -> str:
    """The version that the policy asks for and that does not serve yet; "" for none.

    Newer than everything that was ever committed or put away: what an operator went back to stays.
    """
    record, settings = lineup.record, lineup.settings
    if record.unloaded:
        return ""
    whole = [name for name, found in lineup.found.items() if found.whole]
    if settings.policy == "specific":
        whole = [name for name in whole if name in settings.versions]
    known = {ref.version for ref in (record.committed, record.previous) if ref is not None}
    newest = max((name for name in whole if not _put_away(lineup, name)), key=order, default="")
    if not newest or newest == lineup.serving or any(order(newest) <= order(name) for name in known):
        return ""
    return newest


def absent(lineup: Lineup) -> list[str]:
    """Further versions that the policy wants loaded beside the serving one, and that are not."""
    record, settings = lineup.record, lineup.settings
    if record.unloaded or not lineup.serving:
        return []
    whole = sorted((name for name, found in lineup.found.items() if found.whole), key=order, reverse=True)
    wanted = {
        "latest": [name for name in whole if name != lineup.serving][: settings.keep - 1],
        "all": whole,
        "specific": [name for name in whole if name in settings.versions],
    }[settings.policy]
    return [name for name in wanted if name not in lineup.loaded and not _put_away(lineup, name)]


def _put_away(lineup: Lineup, name: str) -> bool:
    """By its content: a folder that was mended is another version under the same name."""
    return lineup.found[name].digest in lineup.record.quarantined


def _short(error: Exception) -> str:
    """Without what names files: clients read it."""
    return str(error) if isinstance(error, ServiceError) else type(error).__name__
