"""What systemd is told, on a real datagram socket."""

import asyncio
import json
import os
import select
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from piaccel.serving.watchdog import Notifier, guard
from tests.serving.serve import served


class Systemd:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.link = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.link.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self.link.settimeout(10)

    def heard(self) -> str:
        return self.link.recv(4096).decode()

    def silent(self) -> bool:
        return not select.select([self.link], [], [], 0)[0]

    def notifier(self, **environ: str) -> Notifier:
        return Notifier({"NOTIFY_SOCKET": self.address, **environ})


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    address = str(tmp_path / "notify") if request.param == "path" else f"@piaccel-test-{os.getpid()}"
    end = Systemd(address)
    yield end
    end.link.close()


def test_readiness_status_reloading_and_stopping_are_told(systemd: Systemd) -> None:
    notifier = systemd.notifier()
    assert notifier.ready("2 models")
    assert systemd.heard() == "READY=1\nSTATUS=2 models"
    assert notifier.status("parts:\nversion 3 on probation")
    assert systemd.heard() == "STATUS=parts: version 3 on probation"
    assert notifier.reloading()
    assert systemd.heard().startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert notifier.stopping()
    assert systemd.heard() == "STOPPING=1"


def test_without_systemd_nothing_is_told() -> None:
    notifier = Notifier({})
    assert not notifier.ready()
    assert not notifier.beat()
    assert notifier.watchdog_s is None
    asyncio.run(guard(notifier, lambda: 0, _never))


def test_a_socket_that_is_gone_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert not Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()
    assert "systemd cannot be told READY=1" in caplog.text


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_s_time_is_read_as_systemd_says(environ: dict[str, str], expected: float | None) -> None:
    assert Notifier(environ).watchdog_s == expected


async def _never() -> bool:
    raise AssertionError("not asked")


def test_answered_requests_feed_the_watchdog_and_no_run_is_made_for_it(systemd: Systemd) -> None:
    async def body() -> None:
        answered = 0

        def count() -> int:
            nonlocal answered
            answered += 1
            return answered

        task = asyncio.create_task(guard(systemd.notifier(WATCHDOG_USEC="20000"), count, _never))
        assert [await asyncio.to_thread(systemd.heard) for _ in range(3)] == ["WATCHDOG=1"] * 3
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(body())


def test_an_idle_service_runs_its_models_to_feed_the_watchdog(systemd: Systemd) -> None:
    async def body() -> None:
        runs = 0

        async def progress() -> bool:
            nonlocal runs
            runs += 1
            return True

        task = asyncio.create_task(guard(systemd.notifier(WATCHDOG_USEC="20000"), lambda: 7, progress))
        assert await asyncio.to_thread(systemd.heard) == "WATCHDOG=1"
        assert runs >= 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(body())


@pytest.mark.parametrize("how", ["false", "hangs", "fails"])
def test_a_service_whose_models_do_not_answer_starves_the_watchdog(how: str, systemd: Systemd) -> None:
    """The event loop turns all the while: a timer would have fed it."""

    async def body() -> None:
        asked = asyncio.Event()

        async def progress() -> bool:
            asked.set()
            if how == "hangs":
                await asyncio.sleep(60)
            if how == "fails":
                raise RuntimeError("its process died")
            return False

        task = asyncio.create_task(guard(systemd.notifier(WATCHDOG_USEC="20000"), lambda: 7, progress))
        await asked.wait()
        await asyncio.sleep(0.2)
        assert systemd.silent()
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(body())


def test_it_feeds_again_once_a_model_answers_again(systemd: Systemd) -> None:
    async def body() -> None:
        tries = 0

        async def progress() -> bool:
            nonlocal tries
            tries += 1
            return tries > 3

        task = asyncio.create_task(guard(systemd.notifier(WATCHDOG_USEC="20000"), lambda: 7, progress))
        assert await asyncio.to_thread(systemd.heard) == "WATCHDOG=1"
        assert tries == 4
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(body())


def test_a_service_tells_systemd_of_its_life_and_starves_the_watchdog_while_its_model_hangs(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    systemd = Systemd(str(tmp_path / "notify"))
    systemd.link.settimeout(60)
    monkeypatch.setenv("NOTIFY_SOCKET", systemd.address)
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    with served(repository) as service:
        assert systemd.heard() == "READY=1\nSTATUS=serving parts 1"
        assert systemd.heard() == "WATCHDOG=1"  # nobody asked for anything: it ran the model itself
        (worker,) = service.children()
        os.kill(worker, signal.SIGSTOP)
        time.sleep(1)  # a beat may have been on its way
        while not systemd.silent():
            systemd.heard()
        time.sleep(2)
        assert systemd.silent()
        assert service.ask("GET", "/v2/health/live")[0] == 200  # only a look at the model tells
        os.kill(worker, signal.SIGCONT)
        assert systemd.heard() == "WATCHDOG=1"
        assert service.stop() == 0
        told = [systemd.heard()]
        while told[-1] != "STOPPING=1":
            told.append(systemd.heard())
        assert set(told[:-1]) <= {"WATCHDOG=1"}
        assert service.process.stderr is not None
        lines = [json.loads(line) for line in service.process.stderr.read().splitlines() if line.startswith("{")]
        assert {"promoted", "committed"} <= {line["event"] for line in lines}
    systemd.link.close()
