"""Stand-ins for vendors' compilers: their command lines, outputs and failures, none of their work.

``install`` writes them as programs into a folder to be put on the PATH. The environment variable
``PIACCEL_FAKE_COMPILER`` chooses what they do; see ``MOODS``. What they print is what version 16.0 of the Edge TPU
compiler and versions 3.30 to 3.33 of Hailo's printed where owners published it, and what version 3.19.2 of Sony's
printed when we ran it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

MOODS = {
    "": "everything fits",
    "partial": "one operator stays on the CPU; the weights do not fit; two contexts",
    "none": "no operator can be mapped: the Edge TPU's ends well, Sony's with an error",
    "refuses": "it ends with its usual error",
    "silent": "it ends well and makes nothing",
    "stranger": "it makes a file for another chip",
    "slow": "it gives up after its time-out; Sony's does not find Java",
}
NAMES = ("edgetpu_compiler", "hailo", "imxconv-pt", "imxconv-tf", "imx500-package")


def install(folder: Path, *names: str) -> Path:
    """Write the programs called ``names`` (all when none is given) into ``folder``; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or NAMES:
        program = folder / name
        program.write_text(f"#!{sys.executable}\nfrom {__name__} import run\nrun({name!r})\n")
        program.chmod(0o755)
    return folder


def run(name: str) -> NoReturn:
    """Be the program ``name``: read the command line, print, write, and exit."""
    program = {
        "edgetpu_compiler": _edgetpu_compiler,
        "hailo": _hailo,
        "imx500-package": _imx500_package,
    }.get(name, _imxconv)
    sys.exit(program(sys.argv[1:]))


def _mood() -> str:
    return os.environ.get("PIACCEL_FAKE_COMPILER", "")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


def _edgetpu_compiler(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser("edgetpu_compiler")
    parser.add_argument("-s", "--show_operations", action="store_true")
    parser.add_argument("-o", "--out_dir", type=Path, default=Path())
    parser.add_argument("model", type=Path, nargs="+")
    given = parser.parse_args(arguments)
    model = given.model[0]
    _say("Edge TPU Compiler version 16.0.384591198")
    if _mood() == "refuses":
        _say(f"Invalid model: {model}\nModel not quantized")
        return 1
    _say("Started a compilation timeout timer of 180 seconds.")
    if _mood() == "slow":
        _say("Compilation child process timed out.\nInternal compiler error. Aborting!")
        return 1
    if _mood() == "silent":
        return 0
    made = given.out_dir / f"{model.stem}_edgetpu.tflite"
    kept = {"partial": 1, "none": -1}.get(_mood(), 0)
    names = _take(model, made, kept)
    taken = [name for name in names if name[1]]
    left = [name for name in names if not name[1]]
    streamed = "6.63MiB" if _mood() == "partial" else "0.00B"
    _say(
        f"\nModel compiled successfully in 231 ms.\n\nInput model: {model}\nInput size: 3.03KiB\nOutput model: {made}\n"
        "Output size: 296.85KiB\nOn-chip memory used for caching model parameters: 7.14MiB\n"
        "On-chip memory remaining for caching model parameters: 1.75KiB\n"
        f"Off-chip memory used for streaming uncached model parameters: {streamed}\nNumber of Edge TPU subgraphs: 1\n"
        f"Total number of operations: {len(names)}\nOperation log: {made.with_suffix('.log')}"
    )
    if left:
        _say(
            "\nModel successfully compiled but not all operations are supported by the Edge TPU. A percentage of the "
            "model will instead run on the CPU, which is slower.\n"
            f"Number of operations that will run on Edge TPU: {len(taken)}\n"
            f"Number of operations that will run on CPU: {len(left)}"
        )
    if given.show_operations:
        _say("\nOperator                       Count      Status\n")
        for name, mapped in dict.fromkeys(names):
            status = "Mapped to Edge TPU" if mapped else "More than one subgraph is not supported"
            _say(f"{name:31}{names.count((name, mapped)):<11}{status}")
    _say("Compilation child process completed within timeout period.\nCompilation succeeded! ")
    return 0


def _take(model: Path, made: Path, kept: int) -> list[tuple[str, bool]]:
    """Write the model with its operators, but for the last ``kept`` (-1: all), replaced by one that the TPU knows.

    Returns (operator, whether it was taken) of each.
    """
    import ai_edge_litert.schema_py_generated as schema
    import flatbuffers  # type: ignore[import-untyped]

    net: Any = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model.read_bytes(), 0))
    graph = net.subgraphs[0]
    words = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
    names = [words[net.operatorCodes[operator.opcodeIndex].builtinCode] for operator in graph.operators]
    count = 0 if kept < 0 else len(names) - kept
    if count:
        code = schema.OperatorCodeT()
        code.builtinCode, code.version, code.customCode = schema.BuiltinOperator.CUSTOM, 1, "edgetpu-custom-op"
        code.deprecatedBuiltinCode = code.builtinCode
        net.operatorCodes.append(code)
        whole = schema.OperatorT()
        whole.opcodeIndex = len(net.operatorCodes) - 1
        whole.inputs = list(graph.inputs)
        whole.outputs = list(graph.outputs if not kept else graph.operators[count - 1].outputs)
        graph.operators = [whole, *graph.operators[count:]]
    builder = flatbuffers.Builder(1024)
    builder.Finish(net.Pack(builder), b"TFL3")
    made.write_bytes(bytes(builder.Output()))
    return [(name, index < count) for index, name in enumerate(names)]


def _hailo(arguments: Sequence[str]) -> int:
    from piaccel.testing.hailo import hefs

    parser = argparse.ArgumentParser("hailo")
    commands = parser.add_subparsers(dest="command", required=True)
    parse = commands.add_parser("parser").add_subparsers(required=True).add_parser("onnx")
    optimize, compiler = commands.add_parser("optimize"), commands.add_parser("compiler")
    chips = ("hailo8", "hailo8r", "hailo8l", "hailo10h", "hailo15h", "hailo15m", "hailo15l")
    for each in (parse, optimize, compiler):
        each.add_argument("--hw-arch", choices=chips, default="hailo8")
        each.add_argument("model", type=Path)
    parse.add_argument("--har-path", type=Path)
    parse.add_argument("-y", action="store_true")
    optimize.add_argument("--calib-set-path", type=Path)
    optimize.add_argument("--use-random-calib-set", action="store_true")
    optimize.add_argument("--model-script", type=Path)
    optimize.add_argument("--output-har-path", type=Path)
    compiler.add_argument("--output-dir", type=Path, default=Path())
    given = parser.parse_args(arguments)
    if given.command == "parser":
        if _mood() == "refuses":
            _say(
                "[error] hailo_sdk_client.model_translator.exceptions.ParsingWithRecommendationException: "
                "Parsing failed. The errors found in the graph are:\n"
                " UnsupportedShuffleLayerError in op /head/Reshape\n"
                "Please try to parse the model again, using these end node names: /head/conv1, /head/conv2"
            )
            return 1
        _say("[info] Translation started on ONNX model net\n[info] Translation completed on ONNX model net")
        given.har_path.write_bytes(b"har")
        return 0
    if given.command == "optimize":
        return _optimize(given)
    assert given.model.read_bytes() == b"optimized har"
    if _mood() == "slow":
        _say(
            "[info] Mapping Failed (Timeout)\n[error] Failed to produce compiled graph\n"
            "[error] BackendAllocatorException: Compilation failed: "
            "Compiler could not find a valid partition to contexts."
        )
        return 1
    many = _mood() == "partial"
    _say(
        "[info] Starting Hailo allocation and compilation flow\n"
        + ("[info] Using Multi-context flow\n[info] Applying selected partition to 2 contexts...\n" if many
           else "[info] Using Single-context flow\n")
        + "[info] | Cluster   | Control Utilization | Compute Utilization | Memory Utilization |\n"
        "[info] | Total     | 46.9%               | 19.9%               | 15.6%              |\n"
        "[info] Successful Mapping (allocation time: 5s)\n[info] Building HEF...\n"
        "[info] Successful Compilation (compilation time: 0s)"
    )  # fmt: skip
    if _mood() != "silent":
        chip = "hailo15l" if _mood() == "stranger" else given.hw_arch
        hefs.write(given.output_dir / "net.hef", architecture=chip.upper(), contexts=2 if many else 1)
    return 0


def _optimize(given: argparse.Namespace) -> int:
    import numpy as np

    if given.calib_set_path is None and not given.use_random_calib_set:
        _say("[error] Exception: Calibration set was not given")
        return 1
    pictures = np.load(given.calib_set_path)
    assert pictures.ndim == 4
    script = given.model_script.read_text() if given.model_script else ""
    if script and not re.fullmatch(r"normalization1 = normalization\(\[[\d., ]+\], \[[\d., ]+\]\)\n", script):
        _say("[error] AllocatorScriptParserException: script parsing error in line 1")
        return 1
    if len(pictures) < 1024:
        _say("[warning] Reducing optimization level to 0 (the accuracy won't be optimized)")
    _say(f"[info] Using dataset with {len(pictures)} entries for calibration\n[info] Model Optimization is done")
    given.output_har_path.write_bytes(b"optimized har")
    return 0


def _imxconv(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser("imxconv")
    parser.add_argument("-i", type=Path, required=True)
    parser.add_argument("-o", type=Path, required=True)
    parser.add_argument("--no-input-persistency", action="store_true")
    parser.add_argument("--overwrite-output", action="store_true")
    given = parser.parse_args(arguments)
    _say("2026-11-22 22:19:55,081 INFO : Running version 3.19.0 [/site-packages/uni/common/logger.py:179]")
    if _mood() == "refuses":
        _say(
            "RuntimeError: ONNX opset version 13 is not supported. Supported ONNX opsets: [15, 16, 17, 18, 19, 20]\n"
            "2026-11-22 22:18:10,978 ERROR : CODE: [EXEC] ONNX opset version 13 is not supported. "
            "Supported ONNX opsets: [15, 16, 17, 18, 19, 20] [/site-packages/uni/common/logger.py:185]"
        )
        return 1
    if _mood() == "slow":  # there is no Java
        _say("converter-main.sh: line 26: java: command not found\nERROR : sdspconv exited with error code: 127")
        return 127
    if _mood() == "none":
        _say(
            "2026-11-22 22:19:16.571 ERROR: CODE: [GE] Caught exception while converting'f': List is empty. \n"
            'Exception in thread "main" java.lang.Exception\n\tat sdsp.app.AppKt.main(App.kt:27)\n'
            "2026-11-22 22:19:16,672 ERROR : sdspconv exited with error code: 1, uni files can be found in /tmp/tmpprly"
        )
        return 1
    given.o.mkdir(parents=True, exist_ok=True)
    fits = _mood() != "partial"
    report = {
        "Name": given.i.stem,
        "Memory Usage": "5.11MB" if fits else "10.39MB",
        "Total Memory Available On Chip": "8.00MB",
        "Memory Utilization": "64%" if fits else "130%",
        "Fit In Chip": fits,
    }
    (given.o / f"{given.i.stem}_MemoryReport.json").write_text(json.dumps({"Memory Report": report}))
    if not fits:
        _say(
            "ERROR: CODE: [ISM] ConvFe error (ISM) on 'net': Not enough memory, available: 8.00MB , required: 10.39MB "
        )
        return 1
    if _mood() != "silent":
        with zipfile.ZipFile(given.o / "packerOut.zip", "w") as archive:
            archive.writestr("dnnParams.xml", "<dnnParams/>")
    _say("INFO : CODE: [DONE] Done (45s)")
    return 0


def _imx500_package(arguments: Sequence[str]) -> int:
    """What it makes is a copy of the file that ``PIACCEL_FAKE_RPK`` names."""
    parser = argparse.ArgumentParser("imx500-package")
    parser.add_argument("-i", type=Path, required=True)
    parser.add_argument("-o", type=Path, required=True)
    given = parser.parse_args(arguments)
    with zipfile.ZipFile(given.i) as archive:
        assert "dnnParams.xml" in archive.namelist()
    given.o.mkdir(parents=True, exist_ok=True)
    (given.o / "network.rpk").write_bytes(Path(os.environ["PIACCEL_FAKE_RPK"]).read_bytes())
    return 0
