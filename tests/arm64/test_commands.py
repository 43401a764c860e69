"""The commands, in processes of their own as an owner starts them."""

import json
import subprocess
import sys
from pathlib import Path

from piaccel.testing.captures import PROFILES
from tests.arm64.boards import Emulated
from tests.conftest import DEMO

BUNDLE = str(DEMO / "bundle")


def run(*arguments: str, statuses: tuple[int, ...] = (0,)) -> str:
    """What ``piaccel ARGUMENTS`` prints."""
    command = [sys.executable, "-m", "piaccel", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode in statuses, done.stdout + done.stderr
    return done.stdout


def test_backends_lists_the_five_runtimes_as_ready() -> None:
    ready = {row["name"] for row in json.loads(run("backends", "--json")) if row["state"] == "ready"}
    assert ready >= {"litert", "onnxruntime", "openvino", "opencv", "ncnn"}


def test_doctor_examines_the_board(emulated: Emulated) -> None:
    board = json.loads(run("doctor", "--json", statuses=(0, 1)))["board"]
    assert board["model"] == PROFILES[emulated.kind].model
    assert board["page_size"] == emulated.page_size


def test_info_describes_a_variant() -> None:
    assert "MobileNetV2" in run("info", BUNDLE)


def test_predict_names_the_part() -> None:
    said = run("predict", BUNDLE, str(DEMO / "images/washer_good.jpg"), "--backend", "litert", "--top", "1")
    assert "washer good" in said


def test_bench_measures_the_board(emulated: Emulated, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    chosen = ["--variant", "int8-tflite,fp32-ncnn", "--backend", "litert,ncnn", "--threads", "1"]
    run("bench", BUNDLE, *chosen, "--duration", "0.2", "--repeats", "1", "--json", str(file))
    report = json.loads(file.read_text(encoding="utf-8"))
    assert report["environment"]["board"]["model"] == PROFILES[emulated.kind].model
    measured = [row for row in report["measurements"] if not row["error"]]
    assert {row["backend"] for row in measured} == {"litert", "ncnn"}
    assert all(row["agreement"]["agrees"] for row in measured)
