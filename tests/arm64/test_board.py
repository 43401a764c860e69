"""The board is what it is said to be, and every runtime starts on it."""

import ctypes
import os
import platform
from pathlib import Path

import pytest

from piaccel import backends
from piaccel.device.board import detect
from piaccel.testing.captures import PROFILES
from tests.arm64.boards import Emulated
from tests.arm64.library import shared_library

CPUS = {"cortex-a76": ("Cortex-A76", True), "cortex-a72": ("Cortex-A72", False), "cortex-a53": ("Cortex-A53", False)}
"""The CPU's name, and whether it has the int8 dot product and float16."""
HWCAP, FPHP, ASIMDHP, ASIMDDP = 16, 1 << 9, 1 << 10, 1 << 20
"""Source: Linux, include/uapi/linux/auxvec.h and arch/arm64/include/uapi/asm/hwcap.h."""


def test_the_board_is_recognised(emulated: Emulated) -> None:
    found = detect()
    name, newer = CPUS[emulated.cpu]
    assert found.model == PROFILES[emulated.kind].model
    assert found.is_pi
    assert (found.cpu, found.dotprod, found.fp16) == (name, newer, newer)
    assert found.page_size == os.sysconf("SC_PAGESIZE") == emulated.page_size
    assert found.architecture == platform.machine() == "aarch64"
    assert found.process_bits == 64
    assert found.cores == 4


def test_the_cpu_has_what_cpuinfo_says(emulated: Emulated) -> None:
    newer = FPHP | ASIMDHP | ASIMDDP
    getauxval = ctypes.CDLL(None).getauxval
    getauxval.restype = ctypes.c_ulong
    assert getauxval(HWCAP) & newer == (newer if CPUS[emulated.cpu][1] else 0)


@pytest.mark.parametrize("name", ["litert", "onnxruntime", "openvino", "opencv", "ncnn"])
def test_a_runtime_starts(name: str) -> None:
    found = backends.get(name).probe()
    assert found.ok, found
    assert found.version
    assert any("CPU" in device.upper() for device in found.devices)


def test_a_runtime_built_for_small_pages_is_named_with_the_remedy(
    emulated: Emulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ncnn.so").write_bytes(shared_library())
    monkeypatch.syspath_prepend(str(tmp_path))
    found = backends.get("ncnn").probe()
    if emulated.page_size == 4096:  # it loads, and lacks only what makes it a Python module
        assert "PyInit_ncnn" in found.reason
    else:
        assert "ELF load command address/offset not page-aligned" in found.reason
        assert "kernel=kernel8.img" in found.hint
