"""All CPU runtimes answer on the board as they do on the machine that emulates it."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

import piaccel
from piaccel.tasks import Classification
from tests.arm64.answers import PAIRS, Answers, ask

OFF = {"fp32": 1e-4, "int8": 0.1}
"""How far a score may be from the other machine's: int8 kernels round each in their own way."""


@pytest.fixture(scope="module")
def expected() -> dict[str, Answers]:
    """The other machine's answers, by "backend variant"."""
    found: dict[str, Answers] = json.loads(Path(os.environ["PIACCEL_EXPECTED"]).read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize(("backend", "variant"), PAIRS)
def test_the_demo_model_answers_as_elsewhere(backend: str, variant: str, expected: dict[str, Answers]) -> None:
    off = OFF[variant.partition("-")[0]]
    found, right = ask(backend, variant), expected[f"{backend} {variant}"]
    assert list(found) == list(right)
    for name, scores in right.items():
        np.testing.assert_allclose(found[name], scores, rtol=0, atol=off, err_msg=name)
        best, second = sorted(scores)[:-3:-1]
        if best > second + 2 * off:
            assert np.argmax(found[name]) == np.argmax(scores), name


def test_a_quantized_classifier_gives_the_published_answer(shared: Path) -> None:
    labels = shared / "models/imagenet/imagenet_labels.txt"
    network = shared / "models/imagenet/mobilenet_v1_0.25_128_quant.tflite"
    with piaccel.load(network, "litert", labels=labels, threads=1) as model:
        found = model.predict(piaccel.read_image(shared / "images/parrot.jpg"))
    assert isinstance(found, Classification)
    (best,) = found.top(1)
    assert best.label == "macaw"
    assert best.score == pytest.approx(0.83, abs=0.1)
