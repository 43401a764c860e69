"""``piaccel compile``: never silent about what was made, what was not, and where it can be."""

import json
import os
import shutil
from pathlib import Path

import pytest

from piaccel import cli
from piaccel.bundles import Bundle
from piaccel.testing import fake_compilers


@pytest.fixture
def bundle(tmp_path: Path, demo: Path) -> Path:
    return Path(shutil.copytree(demo / "bundle", tmp_path / "parts"))


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = fake_compilers.install(tmp_path / "programs")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PIACCEL_FAKE_COMPILER", "")
    return folder


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("edgetpu", ("edgetpu_compiler is not installed", "x86-64", "sudo apt install edgetpu-compiler")),
        (
            "hailo8l",
            ("hailo is not installed", "x86-64", "Ubuntu", "developer-zone", "account", "3.x", "--hw-arch hailo8l"),
        ),
        ("hailo10h", ("5.x", "--hw-arch hailo10h")),
    ],
)
def test_without_the_compiler_the_steps_and_the_host_are_shown_and_the_status_is_1(
    target: str,
    said: tuple[str, ...],
    bundle: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    before = (bundle / "model.toml").read_bytes()
    assert cli.main(["compile", str(bundle), "--target", target]) == 1
    printed = capsys.readouterr().out
    for part in (*said, f"piaccel compile {bundle} --target {target}"):
        assert part in printed
    assert (bundle / "model.toml").read_bytes() == before


def test_the_steps_are_data_too(
    bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert cli.main(["compile", str(bundle), "--target", "hailo8", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["installed"] is False
    assert [step["command"][:2] for step in document["steps"]] == [
        ["hailo", "parser"], ["hailo", "optimize"], ["hailo", "compiler"],
    ]  # fmt: skip
    assert all(step["setup"] for step in document["steps"])


def test_a_dry_run_shows_the_commands_and_changes_nothing(
    bundle: Path, programs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(bundle.iterdir())
    assert cli.main(["compile", str(bundle), "--target", "edgetpu", "--dry-run"]) == 0
    assert capsys.readouterr().out == f"edgetpu_compiler -s -o . {bundle / 'int8.tflite'}\n"
    assert sorted(bundle.iterdir()) == before


def test_what_was_made_is_told(bundle: Path, programs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["compile", str(bundle), "--target", "edgetpu"]) == 0
    printed = capsys.readouterr()
    assert printed.err.startswith("$ edgetpu_compiler -s -o ")
    assert f"{bundle} holds int8_edgetpu.tflite, compiled for edgetpu by the Edge TPU Compiler 16.0" in printed.out
    assert "operators: " in printed.out
    assert "fits into the accelerator's memory: yes" in printed.out
    Bundle.open(bundle).variant("int8_edgetpu.tflite").check()
    assert cli.main(["info", str(bundle), "--no-try"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "int8_edgetpu.tflite is compiled for edgetpu of int8.tflite by the Edge TPU Compiler 16.0" in said
    assert "operators taken, fits the memory whole" in said


def test_what_was_made_is_data_too(
    bundle: Path, programs: Path, demo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["compile", str(bundle), "--target", "hailo8l", "--calibration", str(demo / "images"), "--json"]
    assert cli.main(arguments) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["variant"]["file"] == "fp32_hailo8l.hef"
    assert document["report"]["fits"] is True


def test_a_failure_is_one_line_and_a_hint(
    bundle: Path, programs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIACCEL_FAKE_COMPILER", "refuses")
    assert cli.main(["compile", str(bundle), "--target", "edgetpu"]) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("$ ")]
    assert len(lines) == 2
    assert lines[0].startswith(f"piaccel: error: {bundle / 'int8.tflite'}: edgetpu_compiler failed")
    assert lines[1].startswith("  -> quantize it to int8 first")
    assert cli.main(["compile", str(bundle), "--target", "moon"]) == 2


def test_what_the_board_has_to_finish_is_told(
    bundle: Path, programs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.formats import samples

    (programs / "imx500-package").unlink()
    source = samples.onnx(tmp_path / "q.onnx", domain="mct_quantizers", kind="WeightsPOTQuantizer")
    assert cli.main(["compile", str(bundle), "--target", "imx500", "--source", str(source)]) == 1
    printed = capsys.readouterr().out
    assert "sudo apt install imx500-tools" in printed
    assert f"--target imx500 --source {bundle / 'q_packerOut.zip'}" in printed
    assert (bundle / "q_packerOut.zip").is_file()
