"""The real runtimes open damaged files in child processes; this process survives, and every case is reported."""

from collections import Counter
from pathlib import Path

import pytest

from piaccel import backends, trial
from piaccel.errors import CrashError, HangError, PiaccelError
from piaccel.isolation import Worker
from tests.fuzz.mutations import cases, write_cases

CASES = cases(300)
SILENCE_S = 30
MEMORY = 4 << 30
PAIRS = [
    ("litert", "tflite"),
    ("onnxruntime", "onnx"),
    ("opencv", "onnx"),
    ("opencv", "tflite"),
    ("openvino", "onnx"),
    ("openvino", "openvino"),
    ("openvino", "tflite"),
    ("ncnn", "ncnn"),
]


def share(name: str) -> int:
    """The cases of one runtime, spread over the formats that it reads."""
    return max(1, CASES // sum(name == other for other, _ in PAIRS))


def try_one(name: str, path: Path, worker: Worker) -> tuple[str, str]:
    """Open and run one case; return "opened" | "refused" | "crashed" | "hung" and what was said."""
    try:
        trial.open_file(name, path, run=True, timeout=SILENCE_S, memory=MEMORY, worker=worker)
    except CrashError as error:
        return "crashed", str(error)
    except HangError as error:
        return "hung", str(error)
    except PiaccelError as error:
        return "refused", str(error)
    return "opened", ""


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_no_damaged_file_ends_the_process_that_asks_a_runtime_to_open_it(
    name: str, kind: str, seeds: dict[str, list[Path]], tmp_path: Path
) -> None:
    if not backends.get(name).installed():
        pytest.skip(f"{name} is not installed")
    outcomes: Counter[str] = Counter()
    causes: Counter[str] = Counter()
    with Worker({"OMP_NUM_THREADS": "1"}) as worker:
        for number, path in write_cases(tmp_path, seeds[kind], range(share(name))):
            outcome, said = try_one(name, path, worker)
            outcomes[outcome] += 1
            if outcome in ("crashed", "hung"):
                causes[said.rpartition(": ")[2]] += 1
                print(f"{name}: {kind} case {number} {outcome}: {said}")
            else:
                assert "\n" not in said, f"case {number}: {said}"
        for seed in seeds[kind][:1]:
            trial.open_file(name, seed, worker=worker, timeout=SILENCE_S)  # a child that died was replaced
    print(f"{name} on {kind}: {dict(outcomes)} {dict(causes) or ''}")
    assert outcomes.total() == share(name)
    assert outcomes["refused"] > 0
