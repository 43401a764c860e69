"""Compiled models through the ordinary tasks, commands and fallback, on a library that stands for libedgetpu."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import piaccel
from piaccel import models, tasks
from piaccel.backends import Placement
from piaccel.bench import plan
from piaccel.bundles import Bundle
from piaccel.fallback import FallbackModel
from piaccel.packing import pack
from piaccel.tensors import Quantization
from piaccel.testing import edgetpu as fake
from tests.backends import coral, networks

pytestmark = pytest.mark.usefixtures("coral_library")


def test_predict_info_and_bench_tell_how_much_is_left_to_the_cpu(shared: Path, tmp_path: Path) -> None:
    path = str(shared / "models/pose/movenet_single_pose_lightning_ptq_edgetpu.tflite")
    told = "1 of 60 operators on Edge TPU, 59 on the CPU"
    predicted = piaccel_command("predict", path, str(shared / "images/squat.bmp"), "--backend", "edgetpu")
    assert told in predicted.stderr.splitlines()[0]
    described = json.loads(piaccel_command("info", path, "--json").stdout)
    (opened,) = [each for each in described["variants"][0]["backends"] if each["opens"]]
    assert (opened["name"], opened["placement"]) == ("edgetpu", told)
    report = tmp_path / "report.json"
    piaccel_command("bench", path, "--backend", "edgetpu", "--duration", "0.1", "--repeats", "1", "--json", str(report))
    (row,) = json.loads(report.read_text())["measurements"]
    assert row["note"] == told


def test_the_cpu_is_the_reference_for_the_tpu(shared: Path, tmp_path: Path) -> None:
    pack(both_variants(shared), tmp_path / "bundle", labels=shared / "models/imagenet/imagenet_labels.txt")
    made = plan.make(Bundle.open(tmp_path / "bundle"))
    assert made.references[0].backend == "litert"
    assert "edgetpu" in [each.backend for each in made.references]


def both_variants(shared: Path) -> list[Path]:
    """One network, before compilation and after it."""
    return [shared / f"models/imagenet/mobilenet_v1_0.25_128_quant{end}.tflite" for end in ("", "_edgetpu")]


def piaccel_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, "-m", "piaccel", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


def test_coral_s_classifier_goes_through_the_ordinary_task(shared: Path) -> None:
    folder = shared / "models/imagenet"
    path = folder / "mobilenet_v1_0.25_128_quant_edgetpu.tflite"
    with piaccel.load(path, "edgetpu", labels=folder / "imagenet_labels.txt") as model:
        assert model.session.placement == Placement("Edge TPU", taken=1, left=0)
        picture = piaccel.read_image(shared / "images/parrot.jpg")
        result = model.predict(picture)
        assert isinstance(result, tasks.Classification)
        assert result.scores.shape == (1001,)
        assert result.backend == "edgetpu"
        given = next(iter(model.preprocess(picture)[0].values()))
        raw = fake.answer(given, np.zeros((1, 1001), np.uint8))[0]
        assert raw[result.scores.argmax()] == raw.max()


def test_coral_s_pose_model_runs_most_operators_on_the_cpu_and_says_so(shared: Path) -> None:
    path = shared / "models/pose/movenet_single_pose_lightning_ptq_edgetpu.tflite"
    with piaccel.load(path, "edgetpu") as model:
        assert model.session.placement == Placement("Edge TPU", taken=1, left=59)
        assert isinstance(model.predict(np.zeros((100, 200, 3), np.uint8)), tasks.Keypoints)


def test_coral_s_detector_goes_through_the_ordinary_task(tmp_path: Path) -> None:
    net = networks.TFLite()
    x = net.tensor("x", (1, 30, 30, 3), "UINT8", quantization=Quantization((1 / 128,), (128,)))
    part, whole = Quantization((1 / 255,), (0,)), Quantization((1.0,), (0,))
    kinds = (
        ("boxes", (1, 10, 4), part),
        ("classes", (1, 10), whole),
        ("scores", (1, 10), part),
        ("count", (1,), whole),
    )
    given = [net.tensor(f"{name}_int", shape, "UINT8", quantization=kind) for name, shape, kind in kinds]
    real = [net.tensor(name, shape) for name, shape, _ in kinds]
    net.operator("CUSTOM", [x], given, custom="edgetpu-custom-op")
    for integers, floats in zip(given, real, strict=True):
        net.operator("DEQUANTIZE", [integers], [floats], net.schema.DequantizeOptionsT())
    path = net.write(tmp_path / "ssd_edgetpu.tflite", [x], real)
    with piaccel.load(path, "edgetpu", task="detection", task_options={"threshold": 0.1}) as model:
        assert model.session.placement == Placement("Edge TPU", taken=1, left=4)
        assert isinstance(model.predict(np.full((60, 80, 3), 128, np.uint8)), tasks.Detections)


def test_coral_s_segmentation_goes_through_the_ordinary_task(tmp_path: Path) -> None:
    net = networks.TFLite()
    x = net.tensor("x", (1, 32, 32, 3), "UINT8")
    y = net.tensor("y", (1, 32, 32, 5), "UINT8", quantization=Quantization((1 / 255,), (0,)))
    net.operator("CUSTOM", [x], [y], custom="edgetpu-custom-op")
    path = net.write(tmp_path / "mask_edgetpu.tflite", [x], [y])
    with piaccel.load(path, "edgetpu", task="segmentation") as model:
        mask = model.predict(np.zeros((60, 80, 3), np.uint8))
        assert isinstance(mask, tasks.Mask)
        assert mask.class_id.shape == (60, 80)


def test_a_tpu_lost_in_the_middle_of_a_run_loses_no_frame(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(both_variants(shared), tmp_path / "bundle", labels=shared / "models/imagenet/imagenet_labels.txt")
    bundle = Bundle.open(tmp_path / "bundle")
    now = 0.0
    opened: list[str] = []

    def open_backend(backend: str, again: bool) -> models.Model:
        opened.append(backend)
        return models.load(bundle.path, backend, threads=1)

    coral.pretend(monkeypatch, "lost-after:3")
    model = FallbackModel(("edgetpu", "litert"), open_backend, clock=lambda: now)
    picture = piaccel.read_image(shared / "images/parrot.jpg")
    with model:
        answered = [model.predict(picture) for _ in range(6)]
        assert [result.backend for result in answered] == ["edgetpu"] * 3 + ["litert"] * 3
        assert isinstance(answered[-1], tasks.Classification)
        assert "macaw" in answered[-1].lines()[0]
        status = model.status
        assert status.degraded
        assert "the Edge TPU stopped answering" in status.reason
        assert (status.answered, status.retried, status.failed) == ({"edgetpu": 3, "litert": 3}, 1, 0)
        coral.pretend(monkeypatch, "")
        now = 100.0
        model.predict(picture)  # starts a thread that tries
        for thread in [each for each in threading.enumerate() if each.name == "piaccel-fallback"]:
            thread.join()
        assert model.predict(picture).backend == "edgetpu"
        assert not model.status.degraded
    assert opened == ["edgetpu", "litert", "edgetpu"]
