"""A version in a process of its own, with real processes and the real demo model."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from piaccel.errors import CrashError, HangError, InferenceError, InputError, ModelError
from piaccel.serving.inline import InlineRunner
from piaccel.serving.messages import Tensor
from piaccel.serving.process import ProcessRunner
from piaccel.serving.runner import Opening
from tests.conftest import DEMO

LONG_S = 60.0
OPENING = Opening(path=DEMO / "bundle", backend="litert", variant="fp32-tflite", threads=1)
GREY = Tensor.of("image", np.full((1, 96, 96, 3), 0.5, np.float32))
PICTURE = next(DEMO.glob("images/*")).read_bytes()


@asynccontextmanager
async def opened(opening: Opening = OPENING, **given: Any) -> AsyncIterator[ProcessRunner]:
    runner = await ProcessRunner.open(opening, **{"hang_s": LONG_S, **given})
    try:
        yield runner
    finally:
        await runner.close()


def noise(seed: int) -> Tensor:
    return Tensor.of("image", np.random.default_rng(seed).random((1, 96, 96, 3), np.float32))


async def ended(runner: ProcessRunner) -> None:
    """Until the service has heard of its end."""
    gone = asyncio.Event()
    runner.on_exit = lambda _: gone.set()
    if runner.alive:
        await asyncio.wait_for(gone.wait(), LONG_S)


def test_tensors_and_pictures_are_answered_bit_for_bit_as_in_a_thread() -> None:
    async def body() -> None:
        thread = await InlineRunner.open(OPENING)
        async with opened() as runner:
            name = runner.facts.inputs[0].name
            for seed in range(5):
                given = [Tensor(name, "FP32", (1, 96, 96, 3), noise(seed).data)]
                (ours,), (theirs,) = await runner.infer(given), await thread.infer(given)
                assert (ours.name, ours.datatype, ours.shape) == (theirs.name, theirs.datatype, theirs.shape)
                assert bytes(ours.data) == bytes(theirs.data)
            for path in sorted(DEMO.glob("images/*"))[:3]:
                image = path.read_bytes()
                here, there = await runner.predict(image, annotate=True), await thread.predict(image, annotate=True)
                assert (here.result, here.drawn) == (there.result, there.drawn)
                assert here.times_ms.keys() == there.times_ms.keys()
            assert (await runner.check()).samples == (await thread.check()).samples
            assert {**vars(runner.facts), "load_s": 0, "memory_bytes": 0, "why": ""} == {
                **vars(thread.facts), "load_s": 0, "memory_bytes": 0, "why": ""
            }  # fmt: skip
        await thread.close()

    asyncio.run(body())
