"""Damaged model files and manifests: whatever the bytes, the readers answer with one of our errors, in one line."""

import textwrap
from collections import Counter
from pathlib import Path

import pytest

from piaccel.errors import CrashError, HangError
from piaccel.isolation import Worker
from tests.fuzz.mutations import cases

CASES = cases(2000)
SILENCE_S = 60

MANIFEST = """
    format = 1
    name = "parts"
    description = "Finds scratches"
    labels = "labels.txt"
    [task]
    family = "classification"
    [preprocess]
    size = [96, 96]
    mean = [127.5, 127.5, 127.5]
    std = [127.5, 127.5, 127.5]
    [accuracy]
    metric = "top-1"
    samples = 800
    [[variants]]
    name = "int8"
    file = "net.tflite"
    format = "tflite"
    precision = "int8"
    sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
    accuracy = 0.971
"""


def survive(target: str, files: list[Path], folder: Path, repository: Path) -> Counter[str]:
    """Run all cases in a child; return how often each outcome came. Fails on the first that is none of ours."""
    outcomes: Counter[str] = Counter()
    number = -1
    with Worker({"PYTHONPATH": str(repository)}) as worker:
        try:
            for number, outcome, text in worker.stream(target, files, folder, CASES, 0, timeout=SILENCE_S):
                assert outcome != "escaped", f"case {number}: {text}"
                outcomes[outcome] += 1
        except (CrashError, HangError) as error:
            pytest.fail(f"case {number + 1} brought the reader down: {error}; {error.hint}")
    assert outcomes.total() == CASES
    return outcomes


@pytest.mark.parametrize("kind", ["tflite", "onnx", "openvino", "ncnn", "hef"])
def test_a_reader_survives_every_damaged_file(
    kind: str, seeds: dict[str, list[Path]], tmp_path: Path, repository: Path
) -> None:
    outcomes = survive("tests.fuzz.child:read_models", seeds[kind], tmp_path, repository)
    print(f"{kind}: {dict(outcomes)}")
    assert outcomes["refused"] > CASES // 10
    assert outcomes["read"] > 0


def test_every_damaged_manifest_is_refused_in_one_line(tmp_path: Path, repository: Path) -> None:
    seed = tmp_path / "seed.toml"
    seed.write_text(textwrap.dedent(MANIFEST))
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "labels.txt").write_text("good\nscratched\n")
    outcomes = survive("tests.fuzz.child:open_manifests", [seed], bundle, repository)
    print(f"manifest: {dict(outcomes)}")
    assert outcomes["refused"] > CASES // 10
    assert outcomes["read"] > 0
