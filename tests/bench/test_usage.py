"""What this process uses, and what others use."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from piaccel.bench.usage import Usage, rss_peak_bytes

SECOND = 1_000_000_000


def fake_proc(root: Path, stat: str) -> Path:
    (root / "stat").write_text(stat)
    parent = root / str(os.getppid())
    parent.mkdir()
    (parent / "stat").write_text("1 (a name) with) S " + " ".join(str(field) for field in range(4, 53)))
    return root


def test_busy_time_is_everything_but_idle_and_waiting_and_guests_are_not_counted_twice(tmp_path: Path) -> None:
    proc = fake_proc(tmp_path, "cpu  100 10 50 9000 700 3 2 5 80 0\ncpu0 1 1 1 1\n")
    tick = SECOND // os.sysconf("SC_CLK_TCK")
    now = Usage.now(proc)
    assert now.busy_ns == (100 + 10 + 50 + 3 + 2 + 5) * tick
    assert now.parent_ns == (14 + 15 + 16 + 17) * tick  # proc(5): utime is field 14


def test_other_load_is_what_neither_we_nor_our_parent_used() -> None:
    before = Usage(at_ns=0, own_ns=0, parent_ns=0, busy_ns=0)
    after = Usage(at_ns=2 * SECOND, own_ns=SECOND, parent_ns=SECOND // 2, busy_ns=3 * SECOND)
    assert after.other_load(before) == pytest.approx(0.75)
    assert replace(after, busy_ns=SECOND).other_load(before) == 0.0  # ticks are coarse: never below nothing


def test_a_kernel_that_tells_nothing_gives_none_and_not_zero(tmp_path: Path) -> None:
    unknown = Usage.now(tmp_path)
    assert unknown.busy_ns is None
    assert unknown.other_load(unknown) is None
    assert rss_peak_bytes(tmp_path) is None


def test_the_peak_of_a_child_is_not_what_its_parent_had() -> None:
    ours = bytearray(300_000_000)
    code = "from piaccel.bench.usage import rss_peak_bytes; print(rss_peak_bytes())"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert len(ours) > int(printed) > 1_000_000


def test_own_time_grows_with_work() -> None:
    before = Usage.now()
    sum(range(2_000_000))
    after = Usage.now()
    assert after.own_ns > before.own_ns
    assert after.at_ns > before.at_ns
