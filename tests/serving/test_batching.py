"""Requests that run together, and never at one another's cost."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from piaccel.errors import CrashError, InputError, ServiceError
from piaccel.serving.batching import Batcher
from piaccel.serving.crew import Crew
from piaccel.serving.messages import Bytes, Tensor
from piaccel.serving.process import ProcessRunner
from piaccel.serving.runner import Facts, GoldenCheck, Opening, Picture, Runner, Weighing
from piaccel.serving.settings import ModelSettings
from piaccel.serving.version import Version
from piaccel.tensors import TensorSpec

FACTS = Facts(
    inputs=(TensorSpec("x", (None, 2), np.dtype(np.float32), "", None),),
    outputs=(TensorSpec("y", (None, 2), np.dtype(np.float32), "", None),),
    backend="none", variant="none", threads=1, why="", kind="classification", family="classification", labels=(),
    load_s=0.0, memory_bytes=None,
)  # fmt: skip


class Doubling(Runner):
    """Doubles what it is given, when it is let; -1 is an input that it refuses."""

    def __init__(self) -> None:
        self.facts = FACTS
        self.runs: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.crashes = 0
        self.flat = False

    @property
    def pid(self) -> int | None:
        return None

    @property
    def alive(self) -> bool:
        return True

    async def infer(self, inputs: Sequence[Tensor], wanted: Sequence[str] = ()) -> list[Tensor]:
        await self.gate.wait()
        array = inputs[0].array()
        self.runs.append(len(array))
        if self.crashes:
            self.crashes -= 1
            raise CrashError("the runtime ended its process: SIGSEGV")
        if (array == -1).any():
            raise InputError("-1 is no picture")
        return [Tensor.of("y", (array * 2).sum(keepdims=True) if self.flat and len(array) > 1 else array * 2)]

    async def predict(self, image: Bytes, *, annotate: bool = False) -> Picture:
        raise NotImplementedError

    async def check(self, samples: Path | None = None) -> GoldenCheck:
        return GoldenCheck(samples=0, reason="")

    async def close(self) -> None:
        pass


def run(body: Callable[[Batcher, Doubling], Awaitable[None]], size: int = 8) -> None:
    async def work() -> None:
        runner = Doubling()

        async def open_runner() -> Runner:
            return runner

        crew = Crew(open_runner)
        await crew.start()
        async with asyncio.timeout(60):
            await body(Batcher(crew, size), runner)
        await crew.close()

    asyncio.run(work())


async def ask(batcher: Batcher, value: float, rows: int = 1, deadline_s: float = 60.0) -> float:
    given = Tensor.of("x", np.full((rows, 2), value, np.float32))
    deadline = time.monotonic_ns() + round(deadline_s * 1e9)
    done = await batcher.infer([given], [], deadline_ns=deadline, priority=2)
    answer = done.value[0].array()
    assert answer.shape == (rows, 2)
    return float(answer[0, 0])


def test_one_request_runs_alone_and_waits_for_nobody() -> None:
    async def body(batcher: Batcher, runner: Doubling) -> None:
        assert await ask(batcher, 3) == 6
        assert runner.runs == [1]

    run(body)


def test_what_came_during_a_run_runs_together_and_everybody_gets_their_own() -> None:
    async def body(batcher: Batcher, runner: Doubling) -> None:
        runner.gate.clear()
        first = asyncio.create_task(ask(batcher, 0))
        await asyncio.sleep(0.01)
        others = [asyncio.create_task(ask(batcher, value)) for value in range(1, 12)]
        await asyncio.sleep(0.01)
        runner.gate.set()
        assert await first == 0
        assert await asyncio.gather(*others) == [2 * value for value in range(1, 12)]
        assert runner.runs == [1, 8, 3]
        assert batcher.batches == 2

    run(body)


def test_a_request_at_fault_is_told_and_the_others_are_answered() -> None:
    async def body(batcher: Batcher, runner: Doubling) -> None:
        runner.gate.clear()
        tasks = [asyncio.create_task(ask(batcher, value)) for value in (0, 1, -1, 3)]
        await asyncio.sleep(0.01)
        runner.gate.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(found[2], InputError)
        assert [each for each in found if isinstance(each, float)] == [0, 2, 6]

    run(body)


def test_a_process_that_ends_under_a_batch_costs_nobody_an_answer() -> None:
    async def body(batcher: Batcher, runner: Doubling) -> None:
        runner.gate.clear()
        tasks = [asyncio.create_task(ask(batcher, value)) for value in range(4)]
        await asyncio.sleep(0.01)
        runner.crashes = 1
        runner.gate.set()
        assert await asyncio.gather(*tasks) == [0, 2, 4, 6]

    run(body)


def test_who_is_late_at_the_start_of_the_run_is_told_and_not_run() -> None:
    async def body(batcher: Batcher, runner: Doubling) -> None:
        runner.gate.clear()
        first = asyncio.create_task(ask(batcher, 0))
        await asyncio.sleep(0.01)
        patient = asyncio.create_task(ask(batcher, 1))
        await asyncio.sleep(0)
        hasty = asyncio.create_task(ask(batcher, 2, deadline_s=0.001))
        await asyncio.sleep(0.05)
        runner.gate.set()
        found = await asyncio.gather(first, patient, hasty, return_exceptions=True)
        assert list(found[:2]) == [0.0, 2.0]
        assert isinstance(found[2], ServiceError)
        assert found[2].kind == "deadline_exceeded"
        assert runner.runs == [1, 1]

    run(body)


def test_clients_that_go_away_hurt_nobody() -> None:
    async def body(batcher: Batcher, runner: Doubling) -> None:
        chance = random.Random(7)
        tasks = []
        for value in range(200):
            task = asyncio.create_task(ask(batcher, value))
            tasks.append((value, task, chance.random() < 0.3))
            if chance.random() < 0.2:
                await asyncio.sleep(0)
        for _, task, leaves in tasks:
            if leaves:
                task.cancel()
        for value, task, leaves in tasks:
            found = (await asyncio.gather(task, return_exceptions=True))[0]
            assert found == 2 * value or (leaves and isinstance(found, asyncio.CancelledError))

    run(body)


def test_outputs_without_a_batch_turn_it_off() -> None:
    async def body(batcher: Batcher, runner: Doubling) -> None:
        runner.flat = True
        runner.gate.clear()
        tasks = [asyncio.create_task(ask(batcher, value)) for value in range(4)]
        await asyncio.sleep(0.01)
        runner.gate.set()
        assert await asyncio.gather(*tasks) == [0, 2, 4, 6]
        assert batcher.size == 1

    run(body)


@pytest.mark.parametrize("rows", [8, 9])
def test_a_request_that_fills_a_run_goes_alone(rows: int) -> None:
    async def body(batcher: Batcher, runner: Doubling) -> None:
        assert await ask(batcher, 1, rows) == 2
        assert runner.runs == [rows]

    run(body)


def weighed(alone_ms: float, together_ms: float, size: int = 4, **settings: float) -> bool:
    weighing = Weighing(size=size, alone_ms=alone_ms, together_ms=together_ms)
    crew = Crew(lambda: asyncio.sleep(0, Doubling()))
    version = Version("m", "1", "", crew, ModelSettings(**settings), weighing)  # type: ignore[arg-type]
    return version.batcher is not None


def test_batches_are_on_only_where_they_were_measured_to_pay() -> None:
    async def body() -> None:
        assert weighed(10.0, 8.0)
        assert not weighed(10.0, 9.5)
        assert not weighed(10.0, 12.0)
        assert not weighed(100.0, 80.0, deadline_s=0.5)

    asyncio.run(body())


def test_a_network_with_a_free_batch_is_weighed_and_one_with_a_fixed_batch_is_not(tmp_path: Path, demo: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    model = onnx.load(demo / "bundle" / "fp32.onnx")
    fixed = tmp_path / "fixed.onnx"
    onnx.save(model, fixed)
    for each in (*model.graph.input, *model.graph.output):
        each.type.tensor_type.shape.dim[0].dim_param = "batch"
    free = tmp_path / "free.onnx"
    onnx.save(model, free)

    async def body() -> None:
        for path, expected in ((fixed, False), (free, True)):
            opening = Opening(path=path, backend="onnxruntime", threads=1, overrides={"task": "classification"})
            runner = await ProcessRunner.open(opening, hang_s=60)
            try:
                found = await runner.weigh(4)
                assert (found is not None) is expected
                assert found is None or (found.size in (2, 4) and found.alone_ms > 0 and found.together_ms > 0)
            finally:
                await runner.close()

    asyncio.run(body())


def test_a_batch_of_a_real_network_gives_everybody_what_they_get_alone(tmp_path: Path, demo: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    model = onnx.load(demo / "bundle" / "fp32.onnx")
    for each in (*model.graph.input, *model.graph.output):
        each.type.tensor_type.shape.dim[0].dim_param = "batch"
    path = tmp_path / "free.onnx"
    onnx.save(model, path)
    pictures = np.random.default_rng(3).random((6, 1, 3, 96, 96), np.float32)

    async def body() -> None:
        opening = Opening(path=path, backend="onnxruntime", threads=1, overrides={"task": "classification"})

        async def open_runner() -> Runner:
            return await ProcessRunner.open(opening, hang_s=60)

        crew = Crew(open_runner)
        await crew.start()
        batcher = Batcher(crew, 4)
        name = crew.facts.inputs[0].name
        deadline = time.monotonic_ns() + 10**11
        asked = [batcher.infer([Tensor.of(name, each)], [], deadline_ns=deadline, priority=2) for each in pictures]
        together = [done.value[0].array() for done in await asyncio.gather(*asked)]
        batcher.size = 1
        for picture, found in zip(pictures, together, strict=True):
            done = await batcher.infer([Tensor.of(name, picture)], [], deadline_ns=deadline, priority=2)
            np.testing.assert_allclose(done.value[0].array(), found, atol=1e-4)
        assert batcher.batches
        await crew.close()

    asyncio.run(body())
