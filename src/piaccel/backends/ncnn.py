"""ncnn: a .param file with its .bin beside it. Vulkan is off unless asked for: the GPU of every Pi loses to the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from piaccel.backends import Availability, Backend, Options, Placement, Session, _vulkan
from piaccel.errors import InferenceError, ModelError
from piaccel.tensors import Array

if TYPE_CHECKING:
    from piaccel.formats import Network


@dataclass(frozen=True, kw_only=True)
class NcnnOptions(Options):
    input_size: tuple[int, int] | None = None
    """(height, width) of the input image, which most .param files do not tell."""
    precision: Literal["f32", "f16", "bf16"] = "f32"
    """Storage and arithmetic of float networks: f16 needs a CPU with it (Raspberry Pi 5), bf16 stores only."""
    light_mode: bool = True
    """Free each layer's result when nothing needs it any more: less memory."""
    vulkan: bool = False
    """Compute on a GPU, which is slower than the CPU on every Raspberry Pi measured so far."""
    gpu: int = 0
    """Which Vulkan device, counted from 0; needs ``vulkan``."""


class Ncnn(Backend):
    suffixes = (".param",)
    looks_into = suffixes
    priority = 70
    options = NcnnOptions
    modules = ("ncnn",)
    install = "pip install 'piaccel[ncnn]'"

    def _probe(self) -> Availability:
        import ncnn

        return Availability(True, version=ncnn.__version__, devices=("CPU", *_vulkan.described(self.stamp())))

    def _load(self, path: Path, options: NcnnOptions) -> Session:
        import ncnn

        from piaccel import formats

        if unknown := _unknown_layer(ncnn, path):
            raise ModelError(f"{path}: ncnn does not know its layer {unknown!r}")
        if options.vulkan:
            _vulkan.check(ncnn, options.gpu)
        net = ncnn.Net()
        settings = net.opt
        settings.num_threads = options.thread_count
        settings.use_vulkan_compute = options.vulkan
        if options.vulkan:
            net.set_vulkan_device(options.gpu)
        settings.lightmode = options.light_mode
        for name in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic"):
            setattr(settings, name, options.precision == "f16")
        settings.use_bf16_storage = options.precision == "bf16"
        weights = path.with_suffix(".bin")
        if net.load_param(str(path)) != 0:
            raise ModelError(f"{path}: it is truncated or damaged: not a valid ncnn .param file")
        if net.load_model(str(weights)) != 0:
            raise ModelError(f"{weights}: it is truncated, or does not belong to {path.name}")
        session = _Session(ncnn, net, formats.read(path, options.input_size))
        if options.vulkan:
            session.placement = _placement(ncnn, net, options.gpu)
        return session


class _Session(Session):
    def __init__(self, ncnn: Any, net: Any, network: Network) -> None:
        self.inputs = tuple(replace(spec, layout="NCHW" if len(spec.shape) == 4 else "") for spec in network.inputs)
        self.outputs = network.outputs
        inputs = dict(zip(net.input_names(), net.input_indexes(), strict=True))
        outputs = dict(zip(net.output_names(), net.output_indexes(), strict=True))
        self._fed = tuple((spec.name, inputs[spec.name]) for spec in self.inputs)
        self._given = tuple((spec.name, outputs[spec.name]) for spec in self.outputs)
        self._net = net
        self._mat = ncnn.Mat

    def _run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        extractor = self._net.create_extractor()
        for name, index in self._fed:
            # A clone, for layers that work in place: ncnn looks for a reference count, which a view of NumPy's memory
            # lacks, and dies.
            if extractor.input(index, self._mat(feeds[name][0]).clone()) != 0:
                raise InferenceError(f"ncnn does not take input {name!r}")
        outputs = {}
        for name, index in self._given:
            status, mat = extractor.extract(index)
            if status != 0:
                raise InferenceError(f"ncnn could not compute output {name!r} (status {status})")
            outputs[name] = np.array(mat)[None]
        return outputs

    def _close(self) -> None:
        self._net.clear()
        del self._net


def _placement(ncnn: Any, net: Any, gpu: int) -> Placement:
    layers = [layer for layer in net.layers() if layer.type != "Input"]
    taken = sum(layer.support_vulkan for layer in layers)
    return Placement(ncnn.get_gpu_info(gpu).device_name(), taken, len(layers) - taken)


def _unknown_layer(ncnn: Any, path: Path) -> str:
    """The first layer type that this build of ncnn lacks; '' when it has all."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[2:]
    for kind in dict.fromkeys(line.split()[0] for line in lines if line.strip()):
        if ncnn.layer_to_index(kind) < 0:
            return kind
    return ""
