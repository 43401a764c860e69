"""Hailo's Dataflow Compiler (the program ``hailo``), for Hailo-8, 8L and 10H.

Three commands: parser (ONNX to .har), optimize (quantizes with pictures), compiler (.har to .hef). Hailo's manual is
behind an account; the command lines and reports here are those that owners published for versions 3.27 to 5.2.
"""

from __future__ import annotations

import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from piaccel import formats, images
from piaccel.compilers import WHOLE_OUTPUT, Compiler, Host, Job, Report, Step
from piaccel.errors import ModelError, WriteError
from piaccel.frames import Preprocess, Preprocessor

PICTURES = 1024
"""Below this number the compiler lowers its optimization level by itself; more make no difference to it."""
_ROOM = "# 16 GB of memory at least; a compilation takes minutes to hours, longest without a graphics card"


def _pc(versions: str) -> Host:
    return Host(
        "a PC (x86-64) with Ubuntu 22.04 or 24.04: there is no compiler for ARM",
        (
            "sudo apt update && sudo apt install python3-dev python3-venv python3-tk graphviz libgraphviz-dev",
            f"# download the Dataflow Compiler {versions} (a .whl file) from https://hailo.ai/developer-zone/software-downloads/",
            "# it needs an account there; the versions of the two families do not mix",
            "python3 -m venv hailo && . hailo/bin/activate && pip install hailo_dataflow_compiler-*.whl",
            _ROOM,
        ),
    )


HAILO8 = _pc("3.x for Hailo-8 and 8L")
HAILO10 = _pc("5.x for Hailo-10H")


class Hailo(Compiler):
    targets = ("hailo8", "hailo8l", "hailo10h")
    suffixes = (".onnx",)
    format = "hef"
    calibrates = True

    def _refuses(self, path: Path) -> str:
        network = formats.read(path)
        if len(network.inputs) != 1:
            return f"it has {len(network.inputs)} inputs; this helper calibrates networks with one picture"
        if network.precision in ("int8", "uint8"):
            return "it is quantized, and Hailo's compiler quantizes itself: give it the float network"
        return ""

    def steps(self, job: Job) -> tuple[Step, ...]:
        host = HAILO10 if job.target == "hailo10h" else HAILO8
        har, optimized = (str(job.folder / f"net{part}.har") for part in ("", "_optimized"))
        arch = ("--hw-arch", job.target)
        script = ("--model-script", str(job.folder / "net.alls")) if job.preprocess else ()
        calibration = ("--calib-set-path", str(job.folder / "calibration.npy"))
        return (
            Step(("hailo", "parser", "onnx", str(job.source), *arch, "--har-path", har, "-y"), host),
            Step(("hailo", "optimize", har, *arch, *calibration, *script, "--output-har-path", optimized), host),
            Step(("hailo", "compiler", optimized, *arch, "--output-dir", str(job.folder)), host),
        )

    def prepare(self, job: Job) -> None:
        """Write the pictures as one array, (N, H, W, C) float32 of 0..255, and a script that normalizes on the chip."""
        raw = _raw(job)
        preprocessor = Preprocessor(raw)
        pictures = job.calibration[:PICTURES]
        shape = (len(pictures), *raw.shape[1:])
        needed, free = 4 * math.prod(shape), shutil.disk_usage(job.folder).free
        if needed > free:
            raise WriteError(
                f"the calibration data takes {needed / 1e9:.1f} GB, {job.folder.parent} has {free / 1e9:.1f} GB free",
                hint="name a folder on a larger disk: TMPDIR=FOLDER piaccel compile ...",
            )
        array = np.lib.format.open_memmap(job.folder / "calibration.npy", "w+", np.float32, shape)
        for index, path in enumerate(pictures):
            tensor, _ = preprocessor(images.read_image(path))
            array[index] = tensor[0]
        array.flush()
        if job.preprocess is not None:
            mean, std = (
                ", ".join(f"{float(value):g}" for value in np.broadcast_to(part, raw.channels))
                for part in (job.preprocess.mean, job.preprocess.std)
            )
            (job.folder / "net.alls").write_text(f"normalization1 = normalization([{mean}], [{std}])\n")

    def collect(self, job: Job, said: str) -> tuple[Path, Report]:
        made = sorted(job.folder.glob("*.hef"))
        if not made:
            raise ModelError(f"{job.source}: the compiler ended well and made no .hef file", hint=WHOLE_OUTPUT)
        told = formats.read(made[0]).facts
        if job.target.upper() not in told["runs on"].split(", "):
            raise ModelError(
                f"{job.source}: asked for {job.target}, the compiler made a file for {told['runs on']}",
                hint="Hailo-8 and 8L need Dataflow Compiler 3.x, Hailo-10H needs 5.x",
            )
        contexts = int(told["contexts"]) if told["contexts"].isdecimal() else None
        used = re.findall(r"\|\s*Total\s*\|\s*([\d.]+)%\s*\|\s*([\d.]+)%\s*\|\s*([\d.]+)%", said)
        fps = re.findall(r"\bFPS\b\s*[:=|]?\s*([\d.]+)", said)
        facts = {
            "contexts": told["contexts"],
            "control, compute, memory used": "; ".join(", ".join(f"{part} %" for part in row) for row in used),
            "estimated frames per second": fps[-1] if fps else "",
            "calibration pictures": str(len(job.calibration[:PICTURES])),
        }
        notes = []
        if contexts is not None and contexts > 1:
            notes.append(
                f"the network does not fit on the chip whole: its {contexts} parts are loaded in turn for every batch, "
                "so a batch of several frames runs much faster than one"
            )
        if len(job.calibration) < PICTURES:
            notes.append(
                f"calibrated with {len(job.calibration)} pictures; below {PICTURES} the compiler optimizes less: "
                "check the accuracy"
            )
        return made[0], Report(
            compiler=f"Hailo Dataflow Compiler {told['compiler']}",
            fits=None if contexts is None else contexts == 1,
            facts={key: value for key, value in facts.items() if value},
            notes=tuple(notes),
        )

    def preprocess(self, job: Job) -> Preprocess | None:
        """The chip normalizes, so the .hef takes pixels as they are."""
        return _raw(job) if job.preprocess else None

    def explain(self, job: Job, said: str) -> tuple[str, str]:
        reason, hint = super().explain(job, said)
        if "--hw-arch" in reason and "invalid choice" in reason:
            return reason, "Hailo-8 and 8L need Dataflow Compiler 3.x, Hailo-10H needs 5.x: install the other one"
        nodes = re.search(r"end[- ]node[- ]names?\W.*", said, re.IGNORECASE)
        if nodes:
            return reason, f"cut the network at the nodes that the parser names, and compile the rest: {nodes.group()}"
        if "AllocatorException" in said or "Mapping Failed" in said:
            return reason, "the chip's resources did not suffice: a smaller input or a smaller network"
        return reason, hint


def _raw(job: Job) -> Preprocess:
    """The job's preprocessing without its arithmetic: pixels 0..255 as the chip gets them."""
    given = job.preprocess
    if given is None:
        height, width = formats.read(job.source).inputs[0].image_size or (None, None)
        if height is None or width is None:
            raise ModelError(f"{job.source}: its input's size is not known", hint="name the bundle, which states it")
        given = Preprocess(size=(height, width))
    return replace(given, mean=(0.0,), std=(1.0,), layout="NHWC", dtype=np.dtype(np.float32), quantization=None)
