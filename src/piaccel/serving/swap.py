"""Bringing a version in: verified at a low priority, routed to, watched on probation, committed or taken back.

Whatever fails keeps or restores the version before and puts the new one into quarantine with the reason; a full disk, a
read-only root or too little memory are no fault of the version, and it is tried again later.
"""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

from piaccel.errors import ModelError, PiaccelError, ServiceError, UnavailableError, WriteError
from piaccel.serving import judge
from piaccel.serving.ledger import Progress, Ref
from piaccel.serving.lineup import Lineup, Passing
from piaccel.serving.probation import Probation
from piaccel.serving.repository import order
from piaccel.serving.runner import Runner
from piaccel.serving.store import Stored, digest_of
from piaccel.serving.version import Version

GAP_S = 15.0
"""What clients are told to wait while a version is replaced without two at a time in memory."""
MEMORY_FACTOR = 1.3
"""Two versions are held at a time where so many times the new one's need is available."""
_FIRST_GUESS_BYTES = 120 << 20
"""What a version takes before one was ever loaded: an interpreter, NumPy, a runtime, a small network."""
_WATCH_S = 0.05


async def bring(lineup: Lineup, name: str) -> None:
    """Make version ``name`` the one that serves; returns when it does, its probation goes on.

    Raises ServiceError with the reason when it does not; the version before serves then.
    """
    async with lineup.lock:
        old = lineup.loaded.get(lineup.serving)
        found = lineup.found.get(name)
        if old is not None and old.name == name and found is not None and old.digest == found.digest:
            return
        await _settle(lineup)
        old = lineup.loaded.get(lineup.serving)
        stored = await take(lineup, name)
        gap = old is not None and not _fits(lineup, old)
        if gap:
            assert old is not None
            lineup.gap_until = time.monotonic() + GAP_S
            lineup.tell("gap", name, "memory does not allow two versions: requests are refused until it is loaded")
            await lineup.retire(old)
        try:
            version = await verified(lineup, name, stored)
            await _attempted(lineup, name, stored, "probation" if lineup.record.committed else "verified", count=False)
        except (PiaccelError, asyncio.CancelledError) as error:
            if gap and old is not None:
                await _restore(lineup, old)
            raise await _told(lineup, name, stored.digest, error) from error
        finally:
            lineup.gap_until = None
        _route(lineup, version, old)
        if lineup.record.committed is None:
            await _commit(lineup, version, stored)
            return
    lineup.start(_watch(lineup, version, stored))


async def take(lineup: Lineup, name: str) -> Stored:
    """Copy a version from the repository into the store, checked. Raises ServiceError."""
    found = lineup.found.get(name)
    if found is None:
        raise ServiceError("not_found", f"model {lineup.name!r} has no version {name!r}")
    if not found.whole:
        raise ServiceError("invalid_argument", f"{lineup.name} version {name}: {found.reason}")
    lineup.passing[name] = Passing("staged")
    try:
        in_place = lineup.record.committed is None and lineup.means.ledger.read_only
        adopt = lineup.means.store.open_in_place if in_place else lineup.means.store.adopt
        stored = await asyncio.to_thread(adopt, found)
        if kept := lineup.record.quarantined.get(stored.digest):
            raise ServiceError("invalid_argument", f"{lineup.name} version {name} is in quarantine: {kept.reason}")
        await asyncio.to_thread(_check_signature, lineup, stored.path)
    except ModelError as error:
        reason = words(lineup, error)
        await quarantine(lineup, name, found.digest or digest_of(found.path), reason)
        raise ServiceError("invalid_argument", f"{lineup.name} version {name}: {reason}") from error
    except WriteError as error:
        raise ServiceError("unavailable", f"{lineup.name} version {name}: {error}", retry_after_s=60.0) from error
    finally:
        lineup.passing.pop(name, None)
    return stored


async def verified(lineup: Lineup, name: str, stored: Stored) -> Version:
    """Load and warm up at a low priority, check the golden samples, and make it ready for requests.

    Raises RefusedError, or what opening it raises.
    """
    await _attempted(lineup, name, stored, "staged", count=True)
    lineup.passing[name] = Passing("verifying")
    runner: Runner | None = None
    try:
        path = await asyncio.to_thread(lineup.means.store.verify, stored.digest)
        runner = await lineup.means.open_runner(lineup.opening(path), lineup.settings, True)
        judge.golden(lineup, await runner.check())
        await judge.by_the_old(lineup, runner)
        if lineup.settings.isolation == "thread" or not await runner.prioritize():
            await runner.close()
            runner = await lineup.means.open_runner(lineup.opening(path), lineup.settings, False)
        version = await lineup.open(name, stored.digest, path, runner)
    except BaseException:
        if runner is not None:
            await runner.close()
        raise
    finally:
        lineup.passing.pop(name, None)
    version.golden_at = time.time()
    return version


async def quarantine(lineup: Lineup, name: str, digest: str, reason: str) -> None:
    """Remember that this version must not be tried again, and why."""
    lineup.record.quarantine(digest, name, reason)
    await _try_to_save(lineup)
    lineup.tell("quarantined", name, reason)


async def take_back(lineup: Lineup, reason: str) -> None:
    """End the probation of the serving version: the one before serves again. Call it with the lineup's lock held."""
    bad, before = lineup.loaded.get(lineup.serving), lineup.record.committed
    lineup.probation = None
    candidate = lineup.record.candidate
    if candidate is not None:
        await quarantine(lineup, candidate.version, candidate.digest, reason)
        lineup.record.candidate, lineup.record.attempts = None, 0
    old = lineup.loaded.get(lineup.before)
    if old is None and before is not None:
        if bad is not None:
            lineup.gap_until = time.monotonic() + GAP_S
            await lineup.retire(bad)
        old = await _again(lineup, before.version, before.digest)
        lineup.loaded[old.name] = old
        lineup.gap_until = None
    if old is not None:
        old.stage = "committed"
        lineup.serving = old.name
    lineup.before = ""
    if bad is not None and bad.stage != "draining":
        lineup.dismiss(bad)
    lineup.tell("rolled back", lineup.serving, reason)
    await _try_to_save(lineup)


def _route(lineup: Lineup, version: Version, old: Version | None) -> None:
    """From here on new requests go to the new version."""
    lineup.trouble = ""
    same = lineup.loaded.get(version.name)
    lineup.loaded[version.name] = version
    lineup.serving = version.name
    lineup.before = old.name if old is not None and old.stage != "draining" and old.name != version.name else ""
    version.stage = "probation"
    if old is not None and old.stage != "draining":
        old.stage = "standby"
    if same is not None and same is not version:
        lineup.dismiss(same)
    p95 = old.meter.percentile_ms(95) if old is not None and old.meter.succeeded >= 20 else None
    lineup.probation = Probation(lineup.settings, before_p95_ms=p95)
    guard(lineup, version)
    lineup.tell("promoted", version.name, f"before: {old.name}" if old is not None else "")


async def _watch(lineup: Lineup, version: Version, stored: Stored) -> None:
    """Wait for the end of the probation."""
    while lineup.probation is not None and lineup.serving == version.name:
        verdict = lineup.probation.verdict
        if verdict is None:
            await asyncio.sleep(min(_WATCH_S, max(0.01, lineup.probation.left_s)))
            continue
        async with lineup.lock:
            if lineup.serving != version.name or lineup.probation is None:
                return
            if verdict:
                await take_back(lineup, verdict)
            else:
                await _commit(lineup, version, stored)
        return


async def _commit(lineup: Lineup, version: Version, stored: Stored) -> None:
    record = lineup.record
    if record.committed is not None and record.committed.digest != stored.digest:
        record.previous = record.committed
    record.committed, record.candidate, record.attempts = Ref(version.name, stored.digest), None, 0
    record.happened("committed", version.name)
    await _try_to_save(lineup)
    version.stage = "committed"
    lineup.probation = None
    lineup.before = ""
    lineup.tell("committed", version.name, "")
    for other in surplus(lineup):
        lineup.dismiss(other)


def surplus(lineup: Lineup) -> list[Version]:
    """Loaded versions that the policy does not keep and no label or shadow names."""
    settings = lineup.settings
    named = {lineup.serving, lineup.before, lineup.shadowed, *lineup.record.labels.values()}
    others = sorted((name for name in lineup.loaded if name not in named), key=order, reverse=True)
    kept = {"latest": others[: settings.keep - 1], "all": others, "specific": list(settings.versions)}[settings.policy]
    return [lineup.loaded[name] for name in others if name not in kept and lineup.loaded[name].stage != "draining"]


async def _settle(lineup: Lineup) -> None:
    """A version that is still on probation is taken back before the next comes: nobody has vouched for it yet."""
    if lineup.probation is not None:
        await take_back(lineup, "another version was asked for while it was on probation")


def guard(lineup: Lineup, version: Version) -> None:
    """Act when the version's processes crash or hang again and again."""
    version.crew.on_broken = lambda reason: _broken(lineup, version, reason)


def _broken(lineup: Lineup, version: Version, reason: str) -> None:
    async def work() -> None:
        async with lineup.lock:
            if lineup.loaded.get(version.name) is not version or version.stage == "draining":
                return
            if lineup.probation is not None and lineup.serving == version.name:
                await take_back(lineup, reason)
            elif lineup.serving == version.name:
                await fall_back(lineup, version, reason)
            else:
                await quarantine(lineup, version.name, version.digest, reason)
                lineup.dismiss(version)

    lineup.start(work())


async def fall_back(lineup: Lineup, version: Version, reason: str) -> None:
    """A committed version cannot be relied on any more: go back to the one before it, where there is one."""
    record = lineup.record
    before = record.previous
    if before is None:
        lineup.tell("crash", version.name, f"{reason}; there is no version to go back to")
        return
    old = await _again(lineup, before.version, before.digest)
    await quarantine(lineup, version.name, version.digest, reason)
    record.committed, record.previous = before, None
    record.happened("rolled back", version.name, reason)
    await _try_to_save(lineup)
    lineup.loaded[old.name] = old
    lineup.serving = old.name
    lineup.tell("rolled back", old.name, reason)
    lineup.dismiss(version)


async def _restore(lineup: Lineup, old: Version) -> None:
    """Load the version again that had to go for the new one's sake."""
    again = await _again(lineup, old.name, old.digest)
    lineup.loaded[again.name] = again
    lineup.serving = again.name


async def _again(lineup: Lineup, name: str, digest: str) -> Version:
    """Open a version that was committed once; it is not routed to yet."""
    path = await asyncio.to_thread(lineup.means.store.verify, digest)
    version = await lineup.open(name, digest, path)
    version.stage = "committed"
    guard(lineup, version)
    return version


async def _attempted(lineup: Lineup, name: str, stored: Stored, stage: Progress, *, count: bool) -> None:
    """Write down how far the version has come, before it is tried: what takes the board down is not tried for ever."""
    record = lineup.record
    if record.candidate is None or record.candidate.digest != stored.digest:
        record.attempts = 0
    record.candidate = Ref(name, stored.digest)
    record.stage = stage
    if count and record.attempts >= lineup.settings.attempts:
        raise judge.RefusedError(f"it ended the service {record.attempts} times while it was tried")
    record.attempts += count
    if record.committed is None and lineup.means.ledger.read_only:
        return  # a read-only card from the first start on: it serves, and remembers nothing
    await asyncio.to_thread(lineup.save)


def _fits(lineup: Lineup, old: Version) -> bool:
    """Whether memory allows both versions at a time; unknown counts as yes."""
    available = lineup.means.memory_available()
    need = old.facts.memory_bytes or _FIRST_GUESS_BYTES
    return available is None or available > MEMORY_FACTOR * need


def _check_signature(lineup: Lineup, path: Path) -> None:
    keys = lineup.means.settings.server.trusted_keys
    if not keys:
        return
    from piaccel.serving import release  # needs cryptography

    record = lineup.record
    found = release.verify(
        path,
        release.read_keys(keys),
        model=lineup.name,
        now=time.time(),
        highest=record.counters,
        newest=record.newest,
    )
    record.newest = max(found.made_at, record.newest)
    record.counters = {**record.counters, found.key_id: max(found.counter, record.counters.get(found.key_id, 0))}


async def _told(lineup: Lineup, name: str, digest: str, error: BaseException) -> BaseException:
    """Put a version that was at fault into quarantine; what the caller is told."""
    lineup.record.candidate = None
    if isinstance(error, ServiceError | WriteError | UnavailableError):
        return ServiceError("unavailable", f"{lineup.name} version {name}: {words(lineup, error)}", retry_after_s=60.0)
    if isinstance(error, asyncio.CancelledError):
        return error
    lineup.record.attempts = 0
    reason = words(lineup, error)
    await quarantine(lineup, name, digest, reason)
    return ServiceError("invalid_argument", f"{lineup.name} version {name} was refused: {reason}")


def words(lineup: Lineup, error: BaseException) -> str:
    """What an error says, without the folders of this machine: clients read it."""
    text = str(error)
    for folder in (
        rf"{re.escape(str(lineup.means.store.folder))}/\w+",
        re.escape(str(lineup.means.settings.repository)),
    ):
        text = re.sub(rf"{folder}(/|(?=\W|$))", "", text)
    return text.removeprefix(", ")


async def _try_to_save(lineup: Lineup) -> None:
    """A full or read-only disk must not keep a bad version serving: it is forgotten at the next start, and said now."""
    try:
        await asyncio.to_thread(lineup.save)
    except WriteError as error:
        lineup.tell("alarm", "", f"nothing can be written down: {error}")


async def stand_by(lineup: Lineup, name: str) -> Version:
    """Load a version beside the one that serves; it answers who names it, or its label. Raises ServiceError.

    Call it with the lineup's lock held.
    """
    if name in lineup.loaded:
        return lineup.loaded[name]
    stored = await take(lineup, name)
    kept = lineup.record.candidate, lineup.record.stage, lineup.record.attempts
    try:
        version = await verified(lineup, name, stored)
    except (PiaccelError, asyncio.CancelledError) as error:
        raise await _told(lineup, name, stored.digest, error) from error
    lineup.record.candidate, lineup.record.stage, lineup.record.attempts = kept
    await _try_to_save(lineup)
    version.stage = "standby"
    guard(lineup, version)
    lineup.loaded[name] = version
    lineup.tell("loaded", name, "")
    return version
