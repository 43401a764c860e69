"""Vulkan devices as ncnn sees them: which are GPUs, and whether they are faster than the CPU."""

from __future__ import annotations

import ctypes
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from piaccel import files, isolation
from piaccel.errors import CrashError, HangError, InferenceError, OptionError, UnavailableError

LOADER = "libvulkan.so.1"
DRIVERS = "sudo apt install mesa-vulkan-drivers"
_SOFTWARE = 3
"""GpuInfo.type() of a CPU that poses as a GPU, as Mesa's llvmpipe does (ncnn, gpu.h: 0 discrete, 1 integrated,
2 virtual, 3 cpu)."""
_TIMEOUT_S = 30.0
_SIZE, _CHANNELS, _LAYERS, _RUNS = 56, 32, 3, 9


def check(ncnn: Any, index: int) -> None:
    """Raise UnavailableError unless Vulkan device ``index`` is a GPU, OptionError when there is no such number."""
    if not _loads():
        raise UnavailableError(f"vulkan=true needs the Vulkan loader ({LOADER}), which is not installed", hint=DRIVERS)
    ncnn.create_gpu_instance()
    count = ncnn.get_gpu_count()
    if not count:
        raise UnavailableError(
            "vulkan=true: Vulkan finds no device",
            hint=f"{DRIVERS}; and this user must be in the group that owns /dev/dri/renderD128: "
            "sudo usermod -aG render,video $USER, then log in again",
        )
    if not 0 <= index < count:
        raise OptionError(f"gpu is {index}, Vulkan has {count} device{'s' if count > 1 else ''}, counted from 0")
    found = ncnn.get_gpu_info(index)
    if software(found):
        raise UnavailableError(
            f"Vulkan device {index} is no GPU: {found.device_name()} is the CPU posing as one, slower than ncnn on it",
            hint="leave vulkan off; on a Raspberry Pi the GPU's driver is v3dv: "
            "see that /dev/dri/renderD128 exists and that this user is in the group render",
        )


def software(info: Any) -> bool:
    return bool(info.type() == _SOFTWARE)


def described(stamp: str | None) -> tuple[str, ...]:
    """Name the GPUs that Vulkan has, each with what it is worth here; measured once for each version of ncnn.

    Works in a child process: a graphics driver that crashes must not take the CPU's backend with it.
    """
    if not _has_render_node() or not _loads():
        return ()
    place = files.cache() / "gpu.json"
    kept = files.recall(place)
    if "stamp" in kept and kept["stamp"] == stamp and isinstance(kept.get("devices"), list):
        return tuple(map(str, kept["devices"]))
    try:
        found = tuple(isolation.call(f"{__name__}:verdicts", timeout=_TIMEOUT_S))
    except (CrashError, HangError) as error:
        found = (f"GPU (off: its Vulkan driver {'hangs' if isinstance(error, HangError) else 'crashes'})",)
    except InferenceError:
        found = ("GPU (off: it fails)",)
    files.remember(place, {"stamp": stamp, "devices": found})
    return found


def verdicts() -> list[str]:
    """Measure each GPU against the CPU; what the child process of ``described`` runs."""
    import ncnn

    ncnn.create_gpu_instance()
    infos = [ncnn.get_gpu_info(index) for index in range(ncnn.get_gpu_count())]
    gpus = [(index, info.device_name()) for index, info in enumerate(infos) if not software(info)]
    return [f"{name} (off: {_verdict(*compare(index))})" for index, name in gpus]


def _verdict(cpu_ms: float, gpu_ms: float) -> str:
    ratio = gpu_ms / cpu_ms
    return f"{ratio:.1f} times slower than the CPU" if ratio > 1 else f"{1 / ratio:.1f} times as fast as the CPU"


def compare(index: int) -> tuple[float, float]:
    """Return (CPU, GPU) milliseconds of a small convolutional network: the fastest of some runs of each."""
    with tempfile.TemporaryDirectory(prefix="piaccel-gpu-") as folder:
        param = Path(folder) / "probe.param"
        _write(param)
        return min(_times(param, None)), min(_times(param, index))


def _write(param: Path) -> None:
    """Write 3x3 convolutions of 32 channels at 56x56, 29 million multiplications each, as in a small backbone."""
    weights = 9 * _CHANNELS * _CHANNELS
    lines = [f"Input x 0 1 x 0={_SIZE} 1={_SIZE} 2={_CHANNELS}"]
    given = "x"
    for layer in range(_LAYERS):
        lines.append(f"Convolution c{layer} 1 1 {given} y{layer} 0={_CHANNELS} 1=3 4=1 5=1 6={weights}")
        given = f"y{layer}"
    param.write_text("\n".join(["7767517", f"{len(lines)} {len(lines)}", *lines]) + "\n")
    raw = np.zeros(1, np.uint32).tobytes()  # the mark of float32 weights
    one = raw + np.full(weights, 0.01, np.float32).tobytes() + np.zeros(_CHANNELS, np.float32).tobytes()
    param.with_suffix(".bin").write_bytes(one * _LAYERS)


def _times(param: Path, index: int | None) -> Iterator[float]:
    import ncnn

    net = ncnn.Net()
    net.opt.use_vulkan_compute = index is not None
    for name in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic"):
        setattr(net.opt, name, False)
    if index is not None:
        net.set_vulkan_device(index)
    net.load_param(str(param))
    net.load_model(str(param.with_suffix(".bin")))
    picture = np.ones((_CHANNELS, _SIZE, _SIZE), np.float32)  # lives longer than the Mat, which only points to it
    fed = ncnn.Mat(picture).clone()
    for run in range(_RUNS + 3):
        extractor = net.create_extractor()
        start = time.perf_counter_ns()
        extractor.input("x", fed)
        extractor.extract(f"y{_LAYERS - 1}")
        took_ns = time.perf_counter_ns() - start
        del extractor  # before the network: it holds memory of the network's pools
        if run >= 3:
            yield took_ns / 1e6


def _has_render_node() -> bool:
    """Whether the kernel has a GPU at all; without one Vulkan knows only the CPU."""
    return any(Path("/dev/dri").glob("renderD*"))


def _loads() -> bool:
    try:
        ctypes.CDLL(LOADER)
    except OSError:
        return False
    return True
