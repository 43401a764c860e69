"""How long ``piaccel --help`` takes, and how much memory ``piaccel predict`` needs."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

from benchmarks import DEMO, Row


def measure() -> list[Row]:
    return [_help(), _memory()]


def _help() -> Row:
    times = []
    for _ in range(15):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "piaccel", "--help"], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    seconds = statistics.median(times)
    return Row("piaccel --help", f"{seconds:.2f} s, best {min(times):.2f} s", "at most 0.25 s", seconds <= 0.25)


def _memory() -> Row:
    picture = next(iter(sorted((DEMO / "images").glob("*.jpg"))))
    command = [sys.executable, "-m", "piaccel", "predict", str(DEMO / "bundle"), str(picture), "--backend", "litert"]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        return Row("peak RSS of piaccel predict with LiteRT", "not measured: the command failed")
    megabytes = usage.ru_maxrss / 1024
    return Row("peak RSS of piaccel predict with LiteRT", f"{megabytes:.0f} MB", "at most 100 MB", megabytes <= 100)
