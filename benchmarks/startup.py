"""How long ``piaccel --help`` takes, and how much memory ``piaccel predict`` needs."""

from __future__ import annotations

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
    question = "peak RSS of piaccel predict with LiteRT"
    picture = next(iter(sorted((DEMO / "images").glob("*.jpg"))))
    arguments = ["predict", str(DEMO / "bundle"), str(picture), "--backend", "litert"]
    # The child reads its own peak: what wait4 tells a parent holds the parent's memory too (Linux, exec_mmap).
    script = f"from piaccel.cli import main\nassert main({arguments!r}) == 0\n"
    script += "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    megabytes = int(done.stdout.split()[-1]) / 1024
    return Row(question, f"{megabytes:.0f} MB", "at most 100 MB", megabytes <= 100)
