"""Google's edgetpu_compiler, for the Coral Edge TPU.

Command line and report: coral.ai/docs/edgetpu/compiler, and logs of version 16.0 that owners published.
"""

from __future__ import annotations

import re
from pathlib import Path

from piaccel import formats
from piaccel.compilers import Compiler, Host, Job, Report, Step
from piaccel.errors import ModelError

PC = Host(
    "a PC (x86-64) with Debian or Ubuntu: since version 2.1 there is no compiler for ARM",
    (
        "sudo mkdir -p /etc/apt/keyrings",
        "curl -fsSL https://packages.cloud.google.com/apt/doc/apt-key.gpg"
        " | sudo gpg --dearmor -o /etc/apt/keyrings/coral.gpg",
        'echo "deb [signed-by=/etc/apt/keyrings/coral.gpg] https://packages.cloud.google.com/apt'
        ' coral-edgetpu-stable main" | sudo tee /etc/apt/sources.list.d/coral-edgetpu.list',
        "sudo apt update && sudo apt install edgetpu-compiler",
    ),
)
_QUANTIZE = "quantize it to int8 first, weights and activations, with pictures of your own to calibrate"
_KNOWN = (
    ("Model not quantized", "the network is not fully quantized", _QUANTIZE),
    (
        "dynamic-sized tensors",
        "its shapes are not fixed",
        "export it again with a fixed batch of 1 and a fixed input size",
    ),
    (
        "Internal compiler error",
        "the compiler fell over it (its words: Internal compiler error)",
        "it says no more; a smaller input, or the network cut before its last operators, often compiles",
    ),
    (
        "timeout period",
        "it did not finish in its own 180 s",
        "a smaller input, or the network cut before its last operators",
    ),
)
_ROW = re.compile(r"^([A-Z][A-Z0-9_]*)\s+(\d+)\s+(\S.*?)\s*$", re.MULTILINE)
_MAPPED = "Mapped to Edge TPU"


class EdgeTPU(Compiler):
    targets = ("edgetpu",)
    suffixes = (".tflite",)
    format = "tflite"

    def _refuses(self, path: Path) -> str:
        network = formats.read(path)
        if network.edgetpu:
            return "it is compiled for the Edge TPU already"
        if network.precision not in ("int8", "uint8", "mixed"):
            return f"its weights and activations are not integers ({network.precision or 'no weights'}): {_QUANTIZE}"
        if any(None in spec.shape for spec in network.inputs):
            return "its input's shape is not fixed: export it again with a fixed size and a batch of 1"
        return ""

    def steps(self, job: Job) -> tuple[Step, ...]:
        return (Step(("edgetpu_compiler", "-s", "-o", str(job.folder), str(job.source)), PC),)

    def collect(self, job: Job, said: str) -> tuple[Path, Report]:
        made = job.folder / f"{job.source.stem}_edgetpu.tflite"
        statuses = _statuses(said)
        stay = [f"{count} {name}: {why}" for name, count, why in statuses if why != _MAPPED]
        if not made.is_file() or not formats.read(made).edgetpu:
            raise ModelError(
                f"{job.source}: none of its operators can run on the Edge TPU"
                + (f" ({'; '.join(stay)})" if stay else ""),
                hint="which operators can: coral.ai/docs/edgetpu/models-intro",
            )
        taken, left = _count(said, "Edge TPU"), _count(said, "CPU")
        if taken is None and statuses:
            taken = sum(count for _, count, why in statuses if why == _MAPPED)
            left = sum(count for _, count, why in statuses if why != _MAPPED)
        streamed = _fact(said, r"Off-chip memory used for streaming uncached model parameters")
        facts = {
            "memory used on the chip": _fact(said, r"On-chip memory used for caching model parameters"),
            "memory free on the chip": _fact(
                said, r"On-chip memory (?:remaining|available) for caching model parameters"
            ),
            "weights sent anew for each inference": streamed,
            "stays on the CPU": "; ".join(stay),
        }
        version = re.search(r"Edge TPU Compiler version (\S+)", said)
        fits = None if streamed is None else float(streamed.split()[0]) == 0
        notes = []
        if left:
            notes.append(f"{left} operators stay on the CPU, and each frame waits for them")
        if fits is False:
            notes.append(
                f"{streamed} of weights do not fit on the chip and cross the cable for each inference: slow on USB"
            )
        return made, Report(
            compiler=f"Edge TPU Compiler {version[1]}" if version else "Edge TPU Compiler",
            taken=taken,
            left=left,
            fits=fits,
            facts={key: value for key, value in facts.items() if value},
            notes=tuple(notes),
        )

    def explain(self, job: Job, said: str) -> tuple[str, str]:
        for mark, reason, hint in _KNOWN:
            if mark in said and not (mark == "timeout period" and "within timeout period" in said):
                return reason, hint
        return super().explain(job, said)


def _statuses(said: str) -> list[tuple[str, int, str]]:
    """(operator, how often, status) of each row of the table that -s prints."""
    return [(name, int(count), status) for name, count, status in _ROW.findall(said)]


def _count(said: str, where: str) -> int | None:
    found = re.search(rf"Number of operations that will run on {where}:\s*(\d+)", said)
    return int(found[1]) if found else None


def _fact(said: str, what: str) -> str | None:
    found = re.search(rf"{what}:\s*([\d.]+)\s*([KMG]?i?B)", said)
    return f"{found[1]} {found[2]}" if found else None
