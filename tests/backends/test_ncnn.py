"""ncnn."""

import ctypes
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from piaccel import backends, isolation
from piaccel.backends import Options, _vulkan
from piaccel.backends.ncnn import NcnnOptions
from piaccel.errors import CrashError, HangError, ModelError, OptionError, UnavailableError
from piaccel.tensors import Array
from piaccel.testing.compliance import BackendCompliance
from tests.backends import networks

pytest.importorskip("ncnn")

BACKEND = backends.get("ncnn")
ONE = Options(threads=1)


class TestNcnn(BackendCompliance):
    name = "ncnn"

    def model(self, folder: Path) -> Path:
        return networks.ncnn_file(folder / "tiny.param")

    def feeds(self) -> dict[str, Array]:
        return {"x": networks.nchw(networks.picture())}

    def expected(self) -> dict[str, Array]:
        return {"y": networks.nchw(networks.answer(networks.picture()))}


class TestNcnnWorkingInPlace(TestNcnn):
    """A first layer that works in place must not touch, or fall over, the caller's memory."""

    def model(self, folder: Path) -> Path:
        path = folder / "relu.param"
        path.write_text("7767517\n2 2\nInput x 0 1 x\nReLU y 1 1 x y\n")
        path.with_suffix(".bin").touch()
        return path

    def expected(self) -> dict[str, Array]:
        return {"y": np.maximum(networks.nchw(networks.picture()), 0)}


def test_the_size_of_the_input_is_an_option_where_the_file_does_not_tell(tmp_path: Path) -> None:
    path = networks.ncnn_file(tmp_path / "tiny.param")
    with BACKEND.load(path, ONE) as session:
        assert session.inputs[0].shape == (1, 3, None, None)
        assert session.inputs[0].layout == "NCHW"
    with BACKEND.load(path, NcnnOptions(threads=1, input_size=(5, 7))) as session:
        assert session.inputs[0].shape == (1, 3, 5, 7)
        assert session.outputs[0].shape == (1, 2, 5, 7)


@pytest.mark.parametrize(
    ("options", "tolerance"),
    [
        (NcnnOptions(threads=1, light_mode=False), 1e-5),
        (NcnnOptions(threads=1, precision="f16"), 1e-2),
        (NcnnOptions(threads=1, precision="bf16"), 5e-2),
    ],
)
def test_its_options_change_the_answer_by_rounding_only(tmp_path: Path, options: NcnnOptions, tolerance: float) -> None:
    with BACKEND.load(networks.ncnn_file(tmp_path / "tiny.param"), options) as session:
        answer = session.run({"x": networks.nchw(networks.picture())})["y"]
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer, networks.nchw(networks.answer(networks.picture())), atol=tolerance)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_threads_is_the_runtime_s(tmp_path: Path, threads: int) -> None:
    with BACKEND.load(networks.ncnn_file(tmp_path / "tiny.param"), Options(threads=threads)) as session:
        assert session._net.opt.num_threads == threads  # type: ignore[attr-defined]
        assert not session._net.opt.use_vulkan_compute  # type: ignore[attr-defined]


def test_an_unknown_layer_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="'Oddity'"):
        BACKEND.load(networks.ncnn_file(tmp_path / "odd.param", layer="Oddity"), ONE)


def test_missing_and_truncated_weights_are_named(tmp_path: Path) -> None:
    path = networks.ncnn_file(tmp_path / "tiny.param")
    weights = path.with_suffix(".bin")
    weights.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(ModelError, match=r"tiny\.bin"):
        BACKEND.load(path, ONE)
    weights.unlink()
    with pytest.raises(ModelError, match=r"tiny\.bin"):
        BACKEND.load(path, ONE)


class Vulkan:
    """ncnn's view of Vulkan devices: (name, type) each; 3 is a CPU that poses as a GPU."""

    def __init__(self, *devices: tuple[str, int]) -> None:
        self.devices = devices

    def create_gpu_instance(self) -> int:
        return 0

    def get_gpu_count(self) -> int:
        return len(self.devices)

    def get_gpu_info(self, index: int) -> Any:
        name, kind = self.devices[index]
        return SimpleNamespace(device_name=lambda: name, type=lambda: kind)


V3D = ("V3D 7.1.7", 1)
LLVMPIPE = ("llvmpipe (LLVM 15.0.6, 256 bits)", 3)


@pytest.fixture
def loader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_vulkan, "_loads", lambda: True)


@pytest.fixture
def software_vulkan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mesa's llvmpipe is here and, for once, taken for a GPU, so that the Vulkan path runs without one."""
    try:
        ctypes.CDLL(_vulkan.LOADER)
    except OSError:
        pytest.skip(f"no {_vulkan.LOADER}")
    import ncnn

    ncnn.create_gpu_instance()
    if not ncnn.get_gpu_count():
        pytest.skip("no Vulkan device")
    monkeypatch.setattr(_vulkan, "software", lambda info: False)


def test_without_a_vulkan_loader_the_gpu_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_vulkan, "_loads", lambda: False)
    with pytest.raises(UnavailableError, match=r"needs the Vulkan loader \(libvulkan.so.1\)") as caught:
        _vulkan.check(Vulkan(V3D), 0)
    assert caught.value.hint == "sudo apt install mesa-vulkan-drivers"


def test_a_cpu_that_poses_as_a_gpu_is_refused(loader: None) -> None:
    with pytest.raises(UnavailableError, match=r"Vulkan device 1 is no GPU: llvmpipe .* is the CPU posing as one"):
        _vulkan.check(Vulkan(V3D, LLVMPIPE), 1)
    _vulkan.check(Vulkan(V3D, LLVMPIPE), 0)


def test_a_gpu_that_is_not_there_is_refused(loader: None) -> None:
    with pytest.raises(UnavailableError, match="Vulkan finds no device") as caught:
        _vulkan.check(Vulkan(), 0)
    assert "render" in caught.value.hint
    with pytest.raises(OptionError, match="gpu is 2, Vulkan has 1 device, counted from 0"):
        _vulkan.check(Vulkan(V3D), 2)


def test_llvmpipe_itself_is_refused(tmp_path: Path) -> None:
    try:
        ctypes.CDLL(_vulkan.LOADER)
    except OSError:
        pytest.skip(f"no {_vulkan.LOADER}")
    import ncnn

    ncnn.create_gpu_instance()
    if not ncnn.get_gpu_count() or not _vulkan.software(ncnn.get_gpu_info(0)):
        pytest.skip("the first Vulkan device is not a software one")
    with pytest.raises(UnavailableError, match="is no GPU: llvmpipe"):
        BACKEND.load(networks.ncnn_file(tmp_path / "tiny.param"), NcnnOptions(threads=1, vulkan=True))


def test_the_vulkan_path_answers_right_and_says_what_it_took(tmp_path: Path, software_vulkan: None) -> None:
    path = networks.ncnn_file(tmp_path / "tiny.param")
    with BACKEND.load(path, NcnnOptions(threads=1, vulkan=True)) as session:
        answer = session.run({"x": networks.nchw(networks.picture())})["y"]
        assert session.placement is not None
        assert session.placement.taken >= 1
    np.testing.assert_allclose(answer, networks.nchw(networks.answer(networks.picture())), atol=1e-4)


def test_a_gpu_is_compared_with_the_cpu(software_vulkan: None) -> None:
    cpu_ms, gpu_ms = _vulkan.compare(0)
    assert cpu_ms > 0
    assert gpu_ms > 0


@pytest.mark.parametrize(
    ("cpu_ms", "gpu_ms", "said"), [(10.0, 115.0, "11.5 times slower than"), (10.0, 5.0, "2.0 times as fast as")]
)
def test_the_verdict_is_a_number(cpu_ms: float, gpu_ms: float, said: str) -> None:
    assert _vulkan._verdict(cpu_ms, gpu_ms) == f"{said} the CPU"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (["V3D 7.1.7 (off: 11.5 times slower than the CPU)"], "V3D 7.1.7 (off: 11.5 times slower than the CPU)"),
        (CrashError("it died: SIGSEGV"), "GPU (off: its Vulkan driver crashes)"),
        (HangError("no answer"), "GPU (off: its Vulkan driver hangs)"),
    ],
)
def test_a_gpu_is_listed_with_what_it_is_worth_and_measured_once(
    answer: list[str] | Exception, said: str, loader: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def call(target: str, *, timeout: float) -> list[str]:
        calls.append(target)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(isolation, "call", call)
    monkeypatch.setattr(_vulkan, "_has_render_node", lambda: True)
    assert _vulkan.described("a") == _vulkan.described("a") == (said,)
    assert len(calls) == 1
    (tmp_path / "piaccel" / "gpu.json").write_text("{}")
    assert _vulkan.described("a") == (said,)
    assert len(calls) == 2


def test_only_gpus_are_listed(loader: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_vulkan, "_has_render_node", lambda: False)
    assert _vulkan.described("a") == ()
    found = BACKEND.probe()
    assert found.devices[0] == "CPU"
    assert not any("llvmpipe" in device for device in found.devices)
