"""What it costs that a version runs in a process of its own: a tensor goes there, its answer comes back.

Beside it, in the same turns, what two processes take to wake each other that say nothing but "go" and "done".
"""

from __future__ import annotations

import socket
import statistics
import subprocess
import sys
import time

import numpy as np
import uvloop

from benchmarks import SHARED, Row
from piaccel.serving.host import Host
from piaccel.serving.messages import Tensor
from piaccel.serving.process import ProcessRunner
from piaccel.serving.runner import Opening

MODEL = SHARED / "models/imagenet/mobilenet_v2_1.0_224_quant.tflite"
ROUNDS = 150
BLOCK = 4
BAR_MS = 0.3
_ECHO = """
import socket, sys, time
link = socket.socket(fileno=int(sys.argv[1]))
while asked := link.recv(20):
    until = time.perf_counter_ns() + int(asked)
    while time.perf_counter_ns() < until:
        pass
    link.send(b"done")
"""


def measure() -> list[Row]:
    question = "handing 150 KB to a version's own process and its answer back, mobilenet_v2, 1 thread"
    beside = "the whole call over the same in this process"
    if not MODEL.exists():
        return [Row(question, "not measured: the model is not here")]
    handing, there, here, waking = uvloop.run(_times())  # as the service does
    median_ms = statistics.median(handing) / 1e6
    text = (
        f"{median_ms:.2f} ms (p95 {_p95_ms(handing):.2f} ms), "
        f"{statistics.median(waking) / 1e6:.2f} ms (p95 {_p95_ms(waking):.2f} ms) of it to wake each other"
    )
    extra_ms = (statistics.median(there) - statistics.median(here)) / 1e6
    return [
        Row(question, text, f"at most {BAR_MS} ms", median_ms <= BAR_MS),
        Row(beside, f"{extra_ms:+.2f} ms at the median of {statistics.median(here) / 1e6:.1f} ms"),
    ]


async def _times() -> tuple[list[int], list[int], list[int], list[int]]:
    """Nanoseconds of handing over, of the whole call there, of the call in this process, of waking; by turns."""
    opening = Opening(path=MODEL, backend="litert", threads=1)
    host = Host(opening)
    runner = await ProcessRunner.open(opening, hang_s=30)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), np.uint8)
    given = Tensor.of(host.facts.inputs[0].name, pixels)
    clock = time.perf_counter_ns
    handing: list[int] = []
    there: list[int] = []
    here: list[int] = []
    waking: list[int] = []
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    echo = subprocess.Popen([sys.executable, "-c", _ECHO, str(theirs.fileno())], pass_fds=[theirs.fileno()])
    theirs.close()
    try:
        for _ in range(ROUNDS):
            await runner.infer([given])
            for _ in range(BLOCK):
                begun = clock()
                await runner.infer([given])
                there.append(clock() - begun)
                handing.append(there[-1] - runner.worked_ns)
            host.infer({given.name: given.array()})
            for _ in range(BLOCK):
                begun = clock()
                outputs = host.infer({given.name: given.array()})
                [bytes(Tensor.of(name, array).data) for name, array in outputs.items()]
                here.append(clock() - begun)
            for _ in range(BLOCK):
                begun = clock()
                ours.send(str(runner.worked_ns).encode())
                ours.recv(4)
                waking.append(clock() - begun - runner.worked_ns)
    finally:
        ours.close()
        echo.wait()
        host.close()
        await runner.close()
    return handing, there, here, waking


def _p95_ms(times: list[int]) -> float:
    return statistics.quantiles(times, n=20)[-1] / 1e6
