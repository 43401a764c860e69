"""The answers that real models are known to give, through the runtimes that open them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from piaccel import backends, tasks
from piaccel.errors import UnavailableError
from piaccel.images import read_image

FACES = [("onnxruntime", "rfb_320.onnx"), ("onnxruntime", "rfb_320_raw.onnx"), ("openvino", "rfb_320.onnx")]
FACES += [("openvino", "rfb_320_raw.onnx"), ("opencv", "rfb_320.onnx"), ("opencv", "rfb_320_raw.onnx")]
FACES += [("ncnn", "rfb_320.ncnn.param")]


def see(backend: str, model: Path, image: Path, family: str, labels: Path | None = None) -> tasks.Result:
    """Run one picture through a bare model file with nothing but the family's defaults."""
    runtime = backends.get(backend)
    try:
        opened = runtime.load(model, runtime.options(threads=1))
    except UnavailableError as error:
        pytest.skip(str(error))
    with opened as session:
        task = tasks.get(family)
        tensor, geometry = task.usual_preprocess(session.inputs[0])(read_image(image))
        outputs = session.run({session.inputs[0].name: tensor})
        for spec in session.outputs:
            if spec.quantization is not None and outputs[spec.name].dtype.kind in "iu":
                outputs[spec.name] = spec.quantization.dequantize(outputs[spec.name])
        assert tasks.recognise(session.inputs, session.outputs) in (family, None if backend == "ncnn" else family)
    return task().decode(outputs, geometry, labels.read_text().splitlines() if labels else [])


@pytest.mark.parametrize(
    ("model", "image", "label", "score"),
    [
        ("mobilenet_v2_1.0_224_quant", "cat.bmp", "Egyptian cat", 0.84),
        ("mobilenet_v2_1.0_224_quant", "parrot.jpg", "macaw", 1.00),
        ("mobilenet_v2_1.0_224_quant", "grace_hopper.bmp", "military uniform", 0.88),
        ("mobilenet_v2_1.0_224_quant", "sunflower.bmp", "daisy", 0.98),
        ("mobilenet_v2_1.0_224_quant", "hot_dog.jpg", "hotdog", 0.96),
        ("tf2_mobilenet_v2_1.0_224_ptq", "cat.bmp", "Egyptian cat", 0.68),
        ("tf2_mobilenet_v2_1.0_224_ptq", "parrot.jpg", "macaw", 0.95),
        ("tf2_mobilenet_v2_1.0_224_ptq", "grace_hopper.bmp", "military uniform", 0.83),
        ("tf2_mobilenet_v2_1.0_224_ptq", "sunflower.bmp", "daisy", 0.90),
        ("tf2_mobilenet_v2_1.0_224_ptq", "hot_dog.jpg", "hotdog", 0.79),
        ("mobilenet_v1_0.25_128_quant", "parrot.jpg", "macaw", 0.83),
        ("mobilenet_v1_0.25_128_quant", "sunflower.bmp", "daisy", 0.50),
    ],
)
def test_imagenet_classifiers_name_what_is_in_the_picture(
    shared: Path, model: str, image: str, label: str, score: float
) -> None:
    folder = shared / "models/imagenet"
    path, picture = folder / f"{model}.tflite", shared / "images" / image
    result = see("litert", path, picture, "classification", folder / "imagenet_labels.txt")
    assert isinstance(result, tasks.Classification)
    best = result.top()[0]
    assert best.label.startswith(label)
    assert best.score == pytest.approx(score, abs=0.1)


def test_movenet_finds_the_points_of_its_reference(shared: Path) -> None:
    model = shared / "models/pose/movenet_single_pose_lightning_ptq.tflite"
    result = see("litert", model, shared / "images/squat.bmp", "movenet")
    assert isinstance(result, tasks.Keypoints)
    table = np.genfromtxt(model.with_name(f"{model.stem}_reference.csv"), delimiter=",", names=True)
    size = np.array(read_image(shared / "images/squat.bmp").shape[1::-1])
    reference = np.stack((table["keypoint_x"], table["keypoint_y"]), axis=1)
    assert np.abs(result.xy[0] / size - reference).max() < 0.05


def test_deeplab_finds_the_bird(shared: Path) -> None:
    folder = shared / "models/segmentation"
    result = see(
        "litert",
        folder / "deeplabv3_mnv2_dm05_pascal_quant.tflite",
        shared / "images/bird_segmentation.bmp",
        "segmentation",
        folder / "pascal_voc_segmentation_labels.txt",
    )
    assert isinstance(result, tasks.Mask)
    mask = read_image(shared / "images/bird_segmentation_mask.bmp")[..., 0]
    assert mask.shape == result.class_id.shape
    for truth in (mask == 3, mask > 0):  # the mask's edge has values 1 and 2
        found = result.class_id == 3
        assert np.sum(found & truth) / np.sum(found | truth) == pytest.approx(0.82, abs=0.02)
    assert result.shares()[1].label == "bird"


@pytest.mark.parametrize(("backend", "model"), FACES)
@pytest.mark.parametrize(
    ("image", "count", "best"),
    [("faces_1.jpg", 46, [251, 55, 273, 84]), ("faces_3.jpg", 5, [743, 261, 838, 365])],
)
def test_every_runtime_finds_the_same_faces(
    shared: Path, backend: str, model: str, image: str, count: int, best: list[int]
) -> None:
    result = faces(shared, backend, model, image)
    assert len(result) == count
    np.testing.assert_allclose(result.xyxy[0], best, atol=2)
    reference = faces(shared, *FACES[0], image)
    assert np.all(best_overlaps(result.xyxy, reference.xyxy) > 0.9)


@cache
def faces(shared: Path, backend: str, model: str, image: str) -> tasks.Detections:
    result = see(backend, shared / "models/face" / model, shared / "images" / image, "ssd_raw")
    assert isinstance(result, tasks.Detections)
    return result


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino", "opencv", "ncnn"])
def test_fastestdet_finds_people_and_a_bus(shared: Path, backend: str) -> None:
    folder = shared / "models/coco"
    model = folder / ("fastestdet.ncnn.param" if backend == "ncnn" else "fastestdet.onnx")
    people = see(backend, model, shared / "images/street_3.jpg", "fastestdet", folder / "coco_labels.txt")
    assert isinstance(people, tasks.Detections)
    assert [line.split()[1] for line in people.lines()] == ["person"] * 4
    np.testing.assert_allclose(people.xyxy[0], [40, 62, 177, 294], atol=3)
    assert people.confidence[0] == pytest.approx(0.90, abs=0.05)
    bus = see(backend, model, shared / "images/street_1.jpg", "fastestdet", folder / "coco_labels.txt")
    assert isinstance(bus, tasks.Detections)
    assert bus.lines()[0].split()[1] == "bus"
    np.testing.assert_allclose(bus.xyxy, [[46, 82, 581, 416]], atol=3)


def best_overlaps(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """For each box of ``a`` the largest intersection over union with a box of ``b``."""
    corner, other = a[:, np.newaxis], b[np.newaxis]
    sides = np.minimum(corner[..., 2:], other[..., 2:]) - np.maximum(corner[..., :2], other[..., :2])
    shared = np.clip(sides, 0, None).prod(axis=2)
    area_a, area_b = ((box[..., 2:] - box[..., :2]).prod(axis=2) for box in (corner, other))
    return np.asarray((shared / (area_a + area_b - shared)).max(axis=1))
