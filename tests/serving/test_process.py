"""A version in a process of its own, with real processes and the real demo model."""

import asyncio
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import psutil  # type: ignore[import-untyped]
import pytest

from piaccel import images
from piaccel.errors import CrashError, HangError, InputError, ModelError, PiaccelError
from piaccel.serving import child, memory
from piaccel.serving.crew import Crew
from piaccel.serving.inline import InlineRunner
from piaccel.serving.messages import Tensor
from piaccel.serving.process import ProcessRunner
from piaccel.serving.runner import Opening
from tests.conftest import DEMO

T = TypeVar("T")
LONG_S = 60.0
OPENING = Opening(path=DEMO / "bundle", backend="litert", variant="fp32-tflite", threads=1)
PICTURE = next(DEMO.glob("images/*")).read_bytes()


@asynccontextmanager
async def opened(opening: Opening = OPENING, **given: Any) -> AsyncIterator[ProcessRunner]:
    runner = await ProcessRunner.open(opening, **{"hang_s": LONG_S, **given})
    try:
        yield runner
    finally:
        await runner.close()


def noise(seed: int) -> Tensor:
    return Tensor.of("serving_default_args_0", np.random.default_rng(seed).random((1, 96, 96, 3), np.float32))


def test_tensors_and_pictures_are_answered_bit_for_bit_as_in_a_thread() -> None:
    async def body() -> None:
        thread = await InlineRunner.open(OPENING)
        async with opened() as runner:
            for seed in range(5):
                given = [noise(seed)]
                (ours,), (theirs,) = await runner.infer(given), await thread.infer(given)
                assert (ours.name, ours.datatype, ours.shape) == (theirs.name, theirs.datatype, theirs.shape)
                assert bytes(ours.data) == bytes(theirs.data)
            for path in sorted(DEMO.glob("images/*"))[:3]:
                image = path.read_bytes()
                here, there = await runner.predict(image, annotate=True), await thread.predict(image, annotate=True)
                assert (here.result, here.drawn) == (there.result, there.drawn)
                assert here.times_ms.keys() == there.times_ms.keys()
            assert (await runner.check()).samples == (await thread.check()).samples
            own = {"load_s": 0, "memory_bytes": 0, "warm_ns": 0, "why": ""}
            assert {**vars(runner.facts), **own} == {**vars(thread.facts), **own}
        await thread.close()

    asyncio.run(body())


async def held(runner: ProcessRunner, call: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """A call that has reached the process, which does not get on with it until it is sent SIGCONT."""
    os.kill(runner.pid or 0, signal.SIGSTOP)
    task = asyncio.ensure_future(call)
    await asyncio.sleep(0)
    return task


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_a_process_that_ends_while_it_answers_is_told_with_its_signal(number: signal.Signals) -> None:
    async def body() -> None:
        async with opened() as runner:
            task = await held(runner, runner.infer([noise(1)]))
            os.kill(runner.pid or 0, number)
            os.kill(runner.pid or 0, signal.SIGCONT)
            with pytest.raises(CrashError, match=f"ended while it answered: {number.name}"):
                await task
            assert not runner.alive
            assert runner.pid is None
            with pytest.raises(CrashError, match=number.name):
                await runner.predict(PICTURE)

    asyncio.run(body())


def test_a_process_that_ends_between_two_calls_is_noticed_at_once() -> None:
    async def body() -> None:
        async with opened() as runner:
            heard: asyncio.Future[PiaccelError] = asyncio.get_running_loop().create_future()
            runner.on_exit = heard.set_result
            os.kill(runner.pid or 0, signal.SIGKILL)
            error = await asyncio.wait_for(heard, LONG_S)
            assert "between two calls: SIGKILL" in str(error)
            assert not runner.alive

    asyncio.run(body())


def test_signals_to_the_whole_group_are_the_service_s_own_affair() -> None:
    async def body() -> None:
        async with opened() as runner:
            for number in (signal.SIGINT, signal.SIGTERM):
                os.kill(runner.pid or 0, number)
                assert len(await runner.infer([noise(1)])) == 1
            assert int(Path(f"/proc/{runner.pid}/oom_score_adj").read_text(encoding="ascii")) >= 500

    asyncio.run(body())


def test_a_process_that_does_not_answer_is_ended() -> None:
    async def body() -> None:
        async with opened(hang_s=0.3) as runner:
            pid = runner.pid or 0
            task = await held(runner, runner.infer([noise(1)]))
            with pytest.raises(HangError, match=r"within 0\.3 s"):
                await task
            await runner.close()
            assert not psutil.pid_exists(pid)

    asyncio.run(body())


def test_the_answer_to_a_call_that_was_given_up_is_nobody_else_s() -> None:
    async def body() -> None:
        async with opened() as runner:
            expected = [bytes((await runner.infer([noise(seed)]))[0].data) for seed in range(6)]
            for seed in range(5):
                task = await held(runner, runner.infer([noise(seed)]))
                task.cancel()
                following = asyncio.ensure_future(runner.infer([noise(seed + 1)]))
                await asyncio.sleep(0)
                os.kill(runner.pid or 0, signal.SIGCONT)
                assert bytes((await following)[0].data) == expected[seed + 1]
                assert task.cancelled()

    asyncio.run(body())


def test_what_the_process_refuses_is_raised_here_and_it_goes_on() -> None:
    async def body() -> None:
        async with opened() as runner:
            with pytest.raises(InputError):
                await runner.predict(b"no picture")
            with pytest.raises(InputError, match="too many"):
                await runner.infer([noise(1)] * 3000)
            assert (await runner.predict(PICTURE)).result["kind"] == "classification"

    asyncio.run(body())


def test_a_picture_larger_than_all_before_it_fits() -> None:
    async def body() -> None:
        large = images.encode_jpeg(np.random.default_rng(0).integers(0, 256, (1500, 2000, 3), np.uint8), 95)
        async with opened() as runner:
            await runner.predict(PICTURE)
            assert (await runner.predict(large, annotate=True)).drawn is not None
            assert len(await runner.infer([noise(1)])) == 1

    asyncio.run(body())


def test_a_model_that_cannot_be_opened_is_told_as_in_a_thread_and_leaves_nothing_behind(tmp_path: Path) -> None:
    async def body() -> None:
        before = os.listdir("/proc/self/fd")
        for kind in (InlineRunner.open(Opening(path=tmp_path)), ProcessRunner.open(Opening(path=tmp_path), hang_s=1)):
            with pytest.raises(PiaccelError) as refused:
                await kind
            assert not isinstance(refused.value, CrashError)
            assert str(tmp_path) in str(refused.value)
        assert len(os.listdir("/proc/self/fd")) == len(before)

    asyncio.run(body())


def test_opening_can_be_given_up(tmp_path: Path) -> None:
    async def body() -> None:
        mine = psutil.Process()
        before = {child.pid for child in mine.children()}
        task = asyncio.ensure_future(ProcessRunner.open(OPENING, hang_s=1))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert {child.pid for child in mine.children()} == before

    asyncio.run(body())


def test_a_process_to_look_at_runs_when_nobody_else_wants_to_until_it_is_lifted() -> None:
    def policies(pid: int) -> set[int]:
        return {os.sched_getscheduler(int(thread)) for thread in os.listdir(f"/proc/{pid}/task")}

    async def body() -> None:
        async with opened(idle=True) as runner:
            assert policies(runner.pid or 0) == {os.SCHED_IDLE}
            if os.geteuid() == 0:
                os.seteuid(65534)
                try:
                    assert not await runner.prioritize()
                finally:
                    os.seteuid(0)
                assert policies(runner.pid or 0) == {os.SCHED_IDLE}
            if await runner.prioritize():
                assert policies(runner.pid or 0) == {os.SCHED_OTHER}
            assert len(await runner.infer([noise(1)])) == 1

    asyncio.run(body())


def test_a_version_that_needs_more_memory_than_it_may_have_is_told_so() -> None:
    async def body() -> None:
        with pytest.raises(CrashError, match="out of memory, its limit is 24 MiB"):
            await ProcessRunner.open(OPENING, hang_s=LONG_S, memory_limit_bytes=24 << 20)
        async with opened(memory_limit_bytes=1 << 30) as runner:
            assert 10 << 20 < (runner.facts.memory_bytes or 0) < 200 << 20

    asyncio.run(body())


def test_the_cause_is_memory_whatever_python_and_the_runtime_raise_when_it_ends() -> None:
    async def body() -> None:
        for limit_kib in range(15_360, 40_960, 3_333):
            with pytest.raises(CrashError, match="out of memory, its limit is"):
                await ProcessRunner.open(OPENING, hang_s=LONG_S, memory_limit_bytes=limit_kib << 10)

    asyncio.run(body())


def test_an_error_near_the_limit_is_told_as_it_is_only_where_memory_cannot_be_its_cause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (memory.allocated_bytes() + (1 << 20), -1))
    assert child._starved(ValueError("field 'target' is required for AnnAssign"))
    assert not child._starved(InputError("the input has another shape"))
    wrapped = ModelError("could not be opened")
    wrapped.__cause__ = MemoryError()
    assert child._starved(wrapped)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (memory.allocated_bytes() + (9 << 20), -1))
    assert not child._starved(ValueError("x"))
    monkeypatch.setattr(resource, "getrlimit", lambda _: (-1, -1))
    assert not child._starved(ValueError("x"))


def test_a_version_with_a_memory_limit_opens_though_no_process_opened_its_file_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    async def body() -> None:
        async with opened(memory_limit_bytes=1 << 30) as runner:
            assert await runner.infer([noise(1)])

    asyncio.run(body())


def test_opencv_is_loaded_with_a_version_that_expects_pictures_and_else_for_the_first_one() -> None:
    async def body() -> None:
        async with opened(replace(OPENING, pictures=False)) as bare, opened() as ready:
            maps = {runner: Path(f"/proc/{runner.pid}/maps") for runner in (bare, ready)}
            await bare.infer([noise(1)])
            assert "cv2" not in maps[bare].read_text(encoding="utf-8")
            assert "cv2" in maps[ready].read_text(encoding="utf-8")
            assert (bare.facts.memory_bytes or 0) < (ready.facts.memory_bytes or 0)
            assert (await bare.predict(PICTURE)).result == (await ready.predict(PICTURE)).result
            assert "cv2" in maps[bare].read_text(encoding="utf-8")

    asyncio.run(body())


def test_the_memory_that_both_share_has_no_name() -> None:
    async def body() -> None:
        async with opened() as runner:
            await runner.infer([noise(1)])
            maps = Path(f"/proc/{runner.pid}/maps").read_text(encoding="utf-8")
            assert "/memfd:piaccel (deleted)" in maps
            assert "/dev/shm" not in maps

    asyncio.run(body())


def test_a_process_ends_with_the_service() -> None:
    program = (
        "import asyncio, time\n"
        "from tests.serving.test_process import OPENING, ProcessRunner\n"
        "async def body():\n"
        "    runner = await ProcessRunner.open(OPENING, hang_s=9)\n"
        "    print(runner.pid, flush=True)\n"
        "    time.sleep(600)\n"
        "asyncio.run(body())\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=DEMO.parent) as service:
        assert service.stdout is not None
        process = psutil.Process(int(service.stdout.readline()))
        service.kill()
    process.wait(LONG_S)


def test_nobody_hangs_and_all_answers_are_right_while_clients_give_up_and_processes_end() -> None:
    async def body() -> None:
        chance = random.Random(3)
        crew = Crew(partial(ProcessRunner.open, OPENING, hang_s=LONG_S))
        crew.on_broken = lambda _: None
        await crew.start()
        expected = [bytes((await crew.runner.infer([noise(seed)]))[0].data) for seed in range(20)]
        given_up = answered = 0

        async def client() -> None:
            nonlocal given_up, answered
            for _ in range(15):
                seed = chance.randrange(20)
                deadline = time.monotonic_ns() + round(LONG_S * 1e9)
                asked = crew.do(lambda runner, seed=seed: runner.infer([noise(seed)]), deadline_ns=deadline)  # type: ignore[misc]
                if chance.random() < 0.3:
                    task = asyncio.ensure_future(asked)
                    await asyncio.sleep(chance.random() * 0.01)
                    task.cancel()
                    given_up += 1
                else:
                    done = await asked
                    assert bytes(done.value[0].data) == expected[seed]
                    answered += 1

        async def assassin() -> None:
            await asyncio.sleep(0.02)
            os.kill(crew.pids[0], signal.SIGKILL)

        await crew.do(lambda runner: runner.infer([noise(0)]), deadline_ns=time.monotonic_ns() + 10**11)
        await asyncio.wait_for(asyncio.gather(assassin(), *(client() for _ in range(8))), LONG_S)
        assert (crew.crashes, given_up + answered) == (1, 120)
        assert crew.retried <= 1
        await crew.close()
        assert (crew.queued, crew.running) == (0, 0)

    asyncio.run(body())


@pytest.mark.parametrize(
    "words",
    [
        "libavutil.so.57: failed to map segment from shared object",
        "libvpx.so.11: cannot map zero-fill pages",
        "[Errno 12] Cannot allocate memory",
    ],
)
def test_a_library_that_no_longer_fits_is_told_as_memory_far_from_the_limit_too(words: str) -> None:
    """The linker asks for a whole segment at a time: megabytes may be left when it fails."""
    assert child._starved(ImportError(words))
    wrapped = ImportError("numpy cannot be imported")
    wrapped.__cause__ = OSError(words)
    assert child._starved(wrapped)
    assert not child._starved(ImportError("libavutil.so.57: cannot open shared object file"))
