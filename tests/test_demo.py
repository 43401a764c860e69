"""The demo's generator, bundle and sample pictures, judged without any of piaccel's own code."""

import hashlib
import importlib
import importlib.util
import sys
import tomllib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

DEMO = Path(__file__).parents[1] / "demo"
BUNDLE = DEMO / "bundle"
RUNTIME = {"tflite": "ai_edge_litert", "onnx": "onnxruntime", "ncnn": "ncnn"}
# A series no picture of training, validation, test or samples comes from.
FRESH = 5

sys.path.insert(0, str(DEMO))
parts = importlib.import_module("parts")
pool = importlib.import_module("pool")
measure = importlib.import_module("measure")
sys.path.remove(str(DEMO))

MANIFEST: dict[str, Any] = tomllib.loads((BUNDLE / "model.toml").read_text())
VARIANTS: list[dict[str, Any]] = MANIFEST["variants"]


def sample_pictures() -> list[tuple[Path, NDArray[np.uint8]]]:
    read = ((file, cv2.imread(str(file))) for file in sorted((DEMO / "images").glob("*.jpg")))
    return [(file, np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)) for file, picture in read]


def runner(variant: dict[str, Any]) -> Any:
    if importlib.util.find_spec(RUNTIME[variant["format"]]) is None:
        pytest.skip(f"{RUNTIME[variant['format']]} is not installed")
    return measure.open_variant(BUNDLE / variant["file"])


def test_the_same_seed_and_index_draw_the_same_picture() -> None:
    first, label = parts.picture(7, 5, 96)
    again, same_label = parts.picture(7, 5, 96)
    assert first.shape == (96, 96, 3)
    assert first.dtype == np.uint8
    assert label == same_label == 5
    assert np.array_equal(first, again)


def test_another_seed_or_index_draws_another_picture() -> None:
    picture, _ = parts.picture(7, 5, 96)
    assert not np.array_equal(picture, parts.picture(8, 5, 96)[0])
    assert not np.array_equal(picture, parts.picture(7, 17, 96)[0])


@pytest.mark.parametrize("part", parts.PARTS)
def test_one_seed_draws_the_states_of_a_part_differently(part: str) -> None:
    drawn = [parts.draw(part, state, np.random.default_rng(3), 96).astype(int) for state in parts.STATES]
    for number, one in enumerate(drawn):
        for other in drawn[number + 1 :]:
            assert np.abs(one - other).max() > 20


def test_one_seed_draws_the_same_scene_at_every_size() -> None:
    small, _ = parts.picture(7, 9, 160)
    large, _ = parts.picture(7, 9, 320)
    shrunk = cv2.resize(large, (160, 160), interpolation=cv2.INTER_AREA).astype(int)
    assert np.abs(shrunk - small).mean() < 8


def test_an_unknown_part_or_state_is_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="'spring'"):
        parts.draw("spring", "good", rng)
    with pytest.raises(ValueError, match="'bent'"):
        parts.draw("nut", "bent", rng)


def test_every_file_of_the_bundle_has_the_sha256_the_manifest_states() -> None:
    stated = {variant["file"]: variant["sha256"] for variant in VARIANTS}
    stated |= {variant["weights"]: variant["weights_sha256"] for variant in VARIANTS if "weights" in variant}
    found = {file: hashlib.sha256((BUNDLE / file).read_bytes()).hexdigest() for file in stated}
    assert found == stated
    assert {file.name for file in BUNDLE.iterdir()} == {*stated, "model.toml", "labels.txt"}


def test_the_bundle_is_smaller_than_six_megabytes_and_has_float_and_int8_for_the_runtimes() -> None:
    assert sum(file.stat().st_size for file in BUNDLE.iterdir()) < 6_000_000
    kinds = {(variant["format"], variant["precision"]) for variant in VARIANTS}
    assert kinds >= {("tflite", "fp32"), ("tflite", "int8"), ("onnx", "fp32"), ("ncnn", "fp32")}


def test_the_labels_are_the_generators() -> None:
    assert tuple((BUNDLE / MANIFEST["labels"]).read_text().splitlines()) == parts.LABELS


def test_int8_stays_within_a_point_of_float_in_the_manifest() -> None:
    stated = {variant["name"]: variant["accuracy"] for variant in VARIANTS}
    assert stated["int8-tflite"] > stated["fp32-tflite"] - 0.01


def test_the_float_network_reaches_its_stated_accuracy_on_pictures_drawn_anew() -> None:
    count = 240
    drawn = [pool.held_out_picture(index, FRESH) for index in range(count)]
    pictures, labels = np.stack([picture for picture, _ in drawn]), np.array([label for _, label in drawn])
    stated = next(variant["accuracy"] for variant in VARIANTS if variant["name"] == "fp32-tflite")
    measured = measure.accuracy(measure.open_variant(BUNDLE / "fp32.tflite"), pictures, labels)
    # Four standard errors of a share measured on so few pictures.
    assert abs(measured - stated) < 4 * (stated * (1 - stated) / count) ** 0.5


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: str(variant["name"]))
def test_every_variant_agrees_with_the_float_network_on_the_sample_pictures(variant: dict[str, Any]) -> None:
    reference, run = measure.open_variant(BUNDLE / "fp32.tflite"), runner(variant)
    for file, picture in sample_pictures():
        seen = pool.stretch(picture)
        expected, scores = reference(seen), run(seen)
        assert scores.shape == (len(parts.LABELS),)
        assert scores.sum() == pytest.approx(1, abs=0.02)
        off = np.abs(scores - expected).max()
        assert off < (0.02 if variant["precision"] == "fp32" else 0.25), f"{file.name} is {off} away"


def test_the_sample_pictures_are_one_of_each_label_and_nearly_all_recognised() -> None:
    samples = sample_pictures()
    assert {file.stem.replace("_", " ") for file, _ in samples} == set(parts.LABELS)
    run = measure.open_variant(BUNDLE / "fp32.tflite")
    right = 0
    for file, picture in samples:
        assert min(picture.shape[:2]) >= 320
        assert file.stat().st_size <= 25_000
        right += parts.LABELS[int(np.argmax(run(pool.stretch(picture))))] == file.stem.replace("_", " ")
    assert right >= len(samples) - 2
