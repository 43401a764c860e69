"""``piaccel info`` as a user sees it."""

import json
from pathlib import Path
from typing import Any

import pytest

from piaccel import files
from piaccel.cli import main
from tests.formats import samples

MANIFEST = """
format = 1
name = "parts"
description = "Finds [bold]scratches"
licence = "MIT"
labels = "labels.txt"
task = {{family = "classification"}}
preprocess = {{size = [8, 8], mean = [127.5], std = [127.5]}}
accuracy = {{metric = "top1", samples = 800}}
[[variants]]
name = "small"
file = "small.tflite"
format = "tflite"
precision = "int8"
sha256 = "{tflite}"
accuracy = 0.971
[[variants]]
name = "pair"
file = "pair.param"
weights = "pair.bin"
format = "ncnn"
precision = "fp32"
sha256 = "{ncnn}"
weights_sha256 = "{weights}"
"""


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    tflite = files.sha256(samples.tflite(tmp_path / "small.tflite", quantized=True))
    ncnn = files.sha256(samples.ncnn(tmp_path / "pair.param", stated=False))
    weights = files.sha256(tmp_path / "pair.bin")
    (tmp_path / "labels.txt").write_text("good\nscratched, hurt\na\nb\nc\n")
    (tmp_path / "model.toml").write_text(MANIFEST.format(tflite=tflite, ncnn=ncnn, weights=weights))
    return tmp_path


def rows(text: str) -> dict[str, str]:
    """The printed lines by their first word, each with its spaces made single."""
    return {line.split()[0]: " ".join(line.split()) for line in text.splitlines() if line.strip()}


def read_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main(["info", "--json", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_file_is_told_with_its_tensors_operators_and_what_opens_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = samples.tflite(tmp_path / "net.tflite", quantized=True, free_batch=True)
    assert main(["info", str(path)]) == 0
    found = rows(capsys.readouterr().out)
    assert found["TensorFlow"] == f"TensorFlow Lite, {path.stat().st_size / 1000:.1f} kB, weights int8"
    assert found["parameters"] == "parameters 1,397"
    assert found["multiply-accumulates"] == "multiply-accumulates 8,192"
    assert found["input"] == "input ?x8x8x3 NHWC int8 0.5 * (q - 3) image"
    assert found["output"] == "output 1x5 int8 0.5 * (q - 3) logits"
    assert found["3"] == "3 operators 1 CONV_2D, 1 FULLY_CONNECTED, 1 RESHAPE"
    assert found["litert"].startswith("litert yes version")
    assert found["onnxruntime"] == "onnxruntime no it is no .onnx file"
    assert "quantized (int8)" in found["opencv"]


def test_what_is_unknown_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = samples.ncnn(tmp_path / "net.param", stated=False)
    assert main(["info", "--no-try", str(path)]) == 0
    found = rows(capsys.readouterr().out)
    assert "unknown (the input's size is free: give it with --size HxW)" in found["multiply-accumulates"]
    assert found["ncnn"] == "ncnn perhaps" or "not installed" in found["ncnn"]
    assert main(["info", "--no-try", "--size", "8x8", str(path)]) == 0
    found = rows(capsys.readouterr().out)
    assert found["multiply-accumulates"] == "multiply-accumulates 8,192"
    assert found["input"] == "input 1x3x8x8 NCHW float32 image"


def test_an_edge_tpu_model_is_refused_by_every_cpu_backend(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = samples.tflite(tmp_path / "net.tflite", custom="edgetpu-custom-op")
    assert main(["info", str(path)]) == 0
    printed = capsys.readouterr().out
    found = rows(printed)
    assert "compiled for the Edge TPU; 3 operators are left to the CPU" in printed
    assert "unknown (they are inside the compiled part)" in found["parameters"]
    assert "1 edgetpu-custom-op (custom)" in printed
    assert "needs the backend edgetpu" in found["litert"]


def test_json_has_every_figure_and_null_for_the_unknown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = samples.tflite(tmp_path / "net.tflite", quantized=True, custom="my-op", free_batch=True)
    document = read_json(capsys, str(path))
    assert document["manifest"] is None
    variant = document["variants"][0]
    assert variant["macs"] is None
    assert variant["parameters"] == samples.PARAMETERS
    assert variant["custom_operators"] == ["my-op"]
    assert variant["inputs"] == [
        {
            "name": "image",
            "shape": [None, 8, 8, 3],
            "dtype": "int8",
            "layout": "NHWC",
            "quantization": {"scale": [0.5], "zero_point": [3], "axis": 0},
        }
    ]
    answers = {answer["name"]: answer for answer in variant["backends"]}
    assert answers["litert"]["opens"] is False
    assert "my-op" in answers["litert"]["reason"]


def test_a_bundle_is_told_with_each_of_its_variants(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(bundle)]) == 0
    printed = capsys.readouterr().out
    found = rows(printed)
    assert printed.startswith("parts\nFinds [bold]scratches\n")
    assert found["task"] == "task classification"
    assert found["labels"] == "labels 5: good, scratched, a, b, c"
    assert found["preprocessing"] == "preprocessing stretch to 8x8, RGB, (pixel - 127.5) / 127.5"
    assert found["accuracy"] == "accuracy top1 of 800 samples"
    assert found["small"].startswith("small tflite int8 2.8 kB 1.4 k 8.19 k 0.971 litert")
    assert found["pair"].startswith("pair ncnn fp32 5.8 kB 1.4 k 8.19 k unknown")  # the manifest gives the size
    assert found["onnxruntime:"] == "onnxruntime: it is no .onnx file"


def test_a_bundles_json_holds_the_manifest(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = read_json(capsys, "--no-try", str(bundle))
    assert document["manifest"]["labels"] == "labels.txt"
    assert [variant["name"] for variant in document["variants"]] == ["small", "pair"]
    assert {variant["macs"] for variant in document["variants"]} == {samples.MACS}


def test_text_from_a_file_cannot_speak_to_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = samples.tflite(tmp_path / "net.tflite", custom="[red]\x1b[2J")
    assert main(["info", "--no-try", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "1 [red]?[2J" in printed


def test_only_the_commonest_operators_are_listed_unless_all_are_asked_for(
    shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = shared / "models" / "pose" / "movenet_single_pose_lightning_ptq.tflite"
    assert main(["info", "--no-try", str(path)]) == 0
    assert "18 others (--all lists them)" in " ".join(capsys.readouterr().out.split())
    assert main(["info", "--no-try", "--all", str(path)]) == 0
    assert "--all" not in capsys.readouterr().out


def test_a_broken_file_gives_one_line_and_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(samples.tflite(path).read_bytes()[:1000])
    assert main(["info", str(path)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"piaccel: error: {path} is truncated or damaged")
    assert "Traceback" not in printed.err


def test_every_real_model_can_be_looked_into(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in sorted((shared / "models").rglob("*")):
        if path.suffix in (".tflite", ".onnx", ".param"):
            document = read_json(capsys, "--no-try", str(path))
            assert document["variants"][0]["operators"], path
            assert document["variants"][0]["inputs"], path
