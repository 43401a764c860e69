"""A whole service that ends in the midst of a swap, and what serves after its next start: run by test_power_loss.py.

``python -m tests.serving.service_cuts FOLDER BUNDLE POINTS``: ends it before so many of a swap's system calls, evenly
spread, 0 for each of them. In the place of POINTS, ``killer``: version 2 takes it down whenever it is loaded;
``read-only``: FOLDER is a mount that becomes read-only. Prints JSON.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import ai_edge_litert.interpreter  # noqa: F401 - once, for all the processes

from piaccel import config
from piaccel.bundles import Manifest
from piaccel.serving.inline import InlineRunner
from piaccel.serving.runner import Opening, Runner
from piaccel.serving.service import Service
from piaccel.serving.settings import ModelSettings, ServerSettings, Settings
from tests.cutting import instrument
from tests.serving.control import add_version, ask, lineup, until

Opener = Callable[[Opening, ModelSettings, bool], Awaitable[Runner]]
WHOLE = 0
"""In place of a point: to the end."""


def make(root: Path, bundle: Path) -> None:
    """Version 1 with one variant: small, as it is copied many times."""
    folder = root / "parts" / "1"
    folder.mkdir(parents=True)
    manifest = config.read_toml(bundle / "model.toml", Manifest)
    manifest.variants = [each for each in manifest.variants if each.name == "fp32-tflite"]
    (folder / "model.toml").write_bytes(manifest.to_toml())
    for name in ("labels.txt", "fp32.tflite"):
        shutil.copy(bundle / name, folder)


async def inline(opening: Opening, settings: ModelSettings, idle: bool) -> Runner:
    """No process of its own, so that one process is all that ends."""
    return await InlineRunner.open(opening)


async def killer(opening: Opening, settings: ModelSettings, idle: bool) -> Runner:
    """Version 2 takes the board down."""
    if "version 2" in (opening.path / "model.toml").read_text():
        os._exit(9)
    return await inline(opening, settings, idle)


async def served(root: Path, body: Callable[[Service], Awaitable[None]], open_runner: Opener = inline) -> None:
    model = ModelSettings(
        backend="litert", variant="fp32-tflite", threads=1, isolation="thread", probation_requests=3, agreement=0
    )
    service = Service(Settings(repository=root, server=ServerSettings(poll_s=0.02, settle_s=0.02), defaults=model))
    service._means.open_runner = open_runner
    await service.start()
    try:
        await body(service)
    finally:
        await service.stop()


async def committed(service: Service) -> None:
    """Ask until version 2 has passed its probation."""

    def there() -> bool:
        ref = lineup(service).record.committed
        return ref is not None and ref.version == "2"

    while not there():
        await ask(service)
        await asyncio.sleep(0.01)
    await until(lambda: not lineup(service).tasks)


def forked(work: Callable[[int], None]) -> tuple[int, list[str]]:
    """Run in a child, which is given a pipe; return its exit code and the lines that it wrote."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            work(writing)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        lines = pipe.read().split()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), lines


def swap(root: Path, point: int, pipe: int) -> None:
    """Swap, and end before system call number ``point``; tell how many there are when it is WHOLE."""
    count = 0
    write = os.write

    def act(name: str, args: tuple[Any, ...]) -> None:
        nonlocal count
        count += 1
        if count == point:
            os._exit(9)

    async def body(service: Service) -> None:
        await committed(service)
        write(pipe, b"committed\n")

    instrument(act)
    asyncio.run(served(root, body))
    write(pipe, f"{count}\n".encode())


def restart(root: Path, pipe: int) -> None:
    """Start again: tell who answers the first request, then see version 2 committed."""

    async def body(service: Service) -> None:
        assert service.ready(), service.reasons()
        os.write(pipe, f"{(await ask(service)).version}\n".encode())
        async with asyncio.timeout(30):
            await committed(service)
        os.write(pipe, b"committed\n")

    asyncio.run(served(root, body))


async def nothing(service: Service) -> None:
    assert service.ready(), service.reasons()


def prepared(base: Path, bundle: Path) -> None:
    """Version 1 is committed; 2 has been dropped in while nobody looked."""
    make(base, bundle)
    status, _ = forked(lambda pipe: asyncio.run(served(base, ready)))
    assert status == 0
    add_version(base, "2")


async def ready(service: Service) -> None:
    assert service.ready(), service.reasons()


def points(folder: Path, bundle: Path, wanted: int) -> dict[str, Any]:
    base = folder / "base"
    prepared(base, bundle)
    chosen = [WHOLE]
    booted, failures = [], []
    for point in chosen:
        root = folder / "cut"
        shutil.copytree(base, root)
        status, told = forked(lambda pipe, root=root, point=point: swap(root, point, pipe))  # type: ignore[misc]
        if point == WHOLE:
            assert (status, told[0]) == (0, "committed")
            most = int(told[1])
            chosen += [1 + most * index // wanted for index in range(wanted)] if wanted else range(1, most + 1)
        status, after = forked(lambda pipe, root=root: restart(root, pipe))  # type: ignore[misc]
        good = ["2"] if "committed" in told else ["1", "2"]
        if status or len(after) != 2 or after[0] not in good:
            failures.append(f"point {point}, told {told}: the next start ended with {status} and told {after}")
        booted.append(after[0] if after else "")
        shutil.rmtree(root)
    return {"points": most, "booted": booted, "failures": failures}


def starts_with_killer(folder: Path, bundle: Path) -> dict[str, Any]:
    """Start again and again, until the service stays up with version 2 put away."""
    prepared(folder, bundle)

    def start(pipe: int) -> None:
        async def body(service: Service) -> None:
            await until(lambda: bool(lineup(service).record.quarantined))
            answer = await ask(service)
            (kept,) = lineup(service).record.quarantined.values()
            os.write(pipe, f"{answer.version} {kept.version} {kept.reason}".encode())

        asyncio.run(served(folder, body, killer))

    ends: list[int] = []
    while len(ends) < 6 and (not ends or ends[-1] != 0):
        status, told = forked(start)
        ends.append(status)
    again, _ = forked(start)
    return {"ends": ends, "again": again, "told": " ".join(told)}


def on_read_only(folder: Path, bundle: Path) -> dict[str, Any]:
    """What serves, with a state and without one, and what is said of the version that cannot come in."""
    root, new = folder / "known", folder / "new"
    prepared(root, bundle)
    make(new, bundle)
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    found = {}
    for where in (root, new):

        async def body(service: Service, where: Path = where) -> None:
            await ready(service)
            if where == root:
                await until(lambda: any(each.what == "alarm" for each in service.snapshot().happenings))
            found[where.name] = [
                (await ask(service)).version,
                sorted({each.reason for each in service.snapshot().happenings if each.what == "alarm"}),
            ]

        asyncio.run(served(where, body))
    return found


def main(folder: Path, bundle: Path, what: str) -> dict[str, Any]:
    if what == "killer":
        return starts_with_killer(folder, bundle)
    return on_read_only(folder, bundle) if what == "read-only" else points(folder, bundle, int(what))


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])))
