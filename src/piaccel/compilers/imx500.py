"""Sony's converter (imxconv-pt, imxconv-tf) and packager (imx500-package), for the Raspberry Pi AI Camera.

Source: Raspberry Pi documentation, ai-camera/model-conversion.adoc; run for real: imx500-converter 3.19.2 on x86-64.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from piaccel import formats
from piaccel.compilers import WHOLE_OUTPUT, Compiler, Host, Job, Report, Step
from piaccel.errors import ModelError

PC = Host(
    "a PC (x86-64) with Linux and Python 3.10 to 3.12 (uni-pytorch takes no newer one)",
    (
        "sudo apt update && sudo apt install openjdk-17-jre python3-venv",
        "python3 -m venv imx && . imx/bin/activate",
        "pip install 'edge-mdt[pt]'   # from PyTorch (ONNX); 'edge-mdt[tf]' for Keras",
    ),
)
PI = Host("a Raspberry Pi with Raspberry Pi OS", ("sudo apt update && sudo apt install imx500-tools",))
_CODED = re.compile(r"ERROR ?: CODE: \[\w+\] (.+?)\s*(?:\[/[^\]]*\])?$", re.MULTILINE)
_TOOLKIT = "Sony's Model Compression Toolkit"


class IMX500(Compiler):
    targets = ("imx500",)
    suffixes = (".onnx", ".keras", ".zip")
    format = "rpk"
    advice = (
        f"quantize it with {_TOOLKIT} on a PC (pip install 'edge-mdt[pt]', docs/compile.md), "
        "then: piaccel compile BUNDLE --target imx500 --source QUANTIZED.onnx"
    )

    def _refuses(self, path: Path) -> str:
        if path.suffix.lower() != ".onnx":
            return ""
        network = formats.read(path)
        if not any("mct" in name.lower() for name in network.custom_operators):
            return f"it is not quantized with {_TOOLKIT}, the only form that the converter takes"
        return ""

    def steps(self, job: Job) -> tuple[Step, ...]:
        kind = job.source.suffix.lower()
        converted, packed = job.folder / "converted", job.folder / "packed"
        package = ("imx500-package", "-i", str(_zip(job)), "-o", str(packed))
        if kind == ".zip":
            return (Step(package, PI),)
        program = "imxconv-tf" if kind == ".keras" else "imxconv-pt"
        convert = (program, "-i", str(job.source), "-o", str(converted), "--no-input-persistency", "--overwrite-output")
        return (Step(convert, PC, carry=_zip(job)), Step(package, PI))

    def collect(self, job: Job, said: str) -> tuple[Path, Report]:
        memory = _memory(job)
        if memory.get("Fit In Chip") is False:
            raise ModelError(f"{job.source}: {_too_large(memory)}", hint="a smaller input or a smaller network")
        made = job.folder / "packed" / "network.rpk"
        if not made.is_file():
            raise ModelError(f"{job.source}: imx500-package made no network.rpk", hint=WHOLE_OUTPUT)
        facts = {
            "memory used": _text(memory, "Memory Usage"),
            "memory on the sensor": _text(memory, "Total Memory Available On Chip"),
            "memory utilization": _text(memory, "Memory Utilization"),
        }
        version = re.search(r"Running version (\d+\.\d+)", said)
        return made, Report(
            compiler=f"Sony IMX500 converter {version[1]}" if version else "Sony IMX500 converter",
            left=0 if memory else None,
            fits=memory.get("Fit In Chip"),
            facts={key: value for key, value in facts.items() if value},
        )

    def explain(self, job: Job, said: str) -> tuple[str, str]:
        memory = _memory(job)
        if memory.get("Fit In Chip") is False:
            return _too_large(memory), "a smaller input or a smaller network"
        if "java: command not found" in said:
            return "it does not find Java", "sudo apt install openjdk-17-jre"
        coded = _CODED.findall(said)
        opset = re.search(r"ONNX opset version \d+ is not supported.*?\]", said)
        if opset:
            return opset.group(), "export the network again: torch.onnx.export(..., opset_version=17)"
        return (coded[-1], WHOLE_OUTPUT) if coded else super().explain(job, said)


def _zip(job: Job) -> Path:
    return job.source if job.source.suffix.lower() == ".zip" else job.folder / "converted" / "packerOut.zip"


def _memory(job: Job) -> dict[str, Any]:
    """The converter's memory report; empty where there is none, as for a .zip that was converted elsewhere."""
    for path in sorted((job.folder / "converted").glob("*MemoryReport.json")):
        try:
            report = json.loads(path.read_text(encoding="utf-8"))["Memory Report"]
        except (ValueError, KeyError, TypeError):
            continue
        if isinstance(report, dict):
            return report
    return {}


def _too_large(memory: dict[str, Any]) -> str:
    used, there = _text(memory, "Memory Usage"), _text(memory, "Total Memory Available On Chip")
    return f"it needs {used} of memory, the sensor has {there}"


def _text(memory: dict[str, Any], key: str) -> str:
    return str(memory.get(key, "")).replace(",", ".")
