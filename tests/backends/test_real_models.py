"""Real models through every runtime that opens them: the raw top-1 and the raw outputs, no task involved."""

import platform
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest

from piaccel import backends
from piaccel.backends import Options
from piaccel.backends.ncnn import NcnnOptions
from piaccel.errors import ModelError
from piaccel.tensors import Array

ONE = Options(threads=1)
COARSE = 0.25 if platform.machine() == "aarch64" else 0.1
"""OpenVINO's int8 kernels for ARM with dot product round more coarsely than those for x86."""
EGYPTIAN_CAT, MACAW, UNIFORM, DAISY, HOT_DOG = 286, 89, 653, 986, 935


@pytest.mark.parametrize("name", ["litert", "openvino"])
@pytest.mark.parametrize(
    ("model", "size", "answers"),
    [
        (
            "mobilenet_v2_1.0_224_quant",
            224,
            {
                "cat.bmp": (EGYPTIAN_CAT, 0.84),
                "parrot.jpg": (MACAW, 1.0),
                "grace_hopper.bmp": (UNIFORM, 0.88),
                "sunflower.bmp": (DAISY, 0.98),
                "hot_dog.jpg": (HOT_DOG, 0.96),
            },
        ),
        (
            "tf2_mobilenet_v2_1.0_224_ptq",
            224,
            {
                "cat.bmp": (EGYPTIAN_CAT, 0.68),
                "parrot.jpg": (MACAW, 0.95),
                "grace_hopper.bmp": (UNIFORM, 0.83),
                "sunflower.bmp": (DAISY, 0.90),
                "hot_dog.jpg": (HOT_DOG, 0.79),
            },
        ),
        ("mobilenet_v1_0.25_128_quant", 128, {"parrot.jpg": (MACAW, 0.83), "sunflower.bmp": (DAISY, 0.50)}),
    ],
)
def test_a_quantized_classifier_gives_the_published_answer(
    shared: Path, name: str, model: str, size: int, answers: Mapping[str, tuple[int, float]]
) -> None:
    with working(name).load(shared / f"models/imagenet/{model}.tflite", ONE) as session:
        (given,), (result,) = session.inputs, session.outputs
        assert given.dtype == np.uint8
        assert result.quantization is not None
        for picture, (label, score) in answers.items():
            image = cv2.imread(str(shared / "images" / picture))
            assert image is not None
            stretched = cv2.resize(image[..., ::-1], (size, size), interpolation=cv2.INTER_LINEAR)
            scores = result.quantization.dequantize(session.run({given.name: stretched[None]})[result.name])[0]
            assert scores.argmax() == label
            assert scores.max() == pytest.approx(score, abs=COARSE if name == "openvino" else 0.1)


@pytest.mark.parametrize("model", ["face/rfb_320", "face/rfb_320_raw", "coco/fastestdet"])
def test_a_float_network_answers_alike_in_every_runtime(shared: Path, model: str) -> None:
    path = shared / f"models/{model}.onnx"
    with working("onnxruntime").load(path, ONE) as session:
        shape = session.inputs[0].shape
        size = (shape[2] or 0, shape[3] or 0)
        feeds = {session.inputs[0].name: photograph(shared, size)}
        expected = session.run(feeds)
    for name in ("openvino", "opencv"):
        with working(name).load(path, ONE) as session:
            assert [spec.name for spec in session.outputs] == list(expected)
            assert_alike(session.run(feeds), expected)


def test_the_raw_face_network_answers_alike_in_ncnn(shared: Path) -> None:
    feeds = {"input": photograph(shared, (240, 320))}
    with working("onnxruntime").load(shared / "models/face/rfb_320_raw.onnx", ONE) as session:
        expected = session.run(feeds)
    with working("ncnn").load(shared / "models/face/rfb_320.ncnn.param", ONE) as session:
        assert_alike(session.run(feeds), expected)


def test_a_network_with_half_precision_weights_answers_nearly_alike_in_ncnn(shared: Path) -> None:
    feeds = {"input.1": photograph(shared, (352, 352))}
    with working("onnxruntime").load(shared / "models/coco/fastestdet.onnx", ONE) as session:
        expected = session.run(feeds)["758"].ravel()
    options = NcnnOptions(threads=1, input_size=(352, 352))
    with working("ncnn").load(shared / "models/coco/fastestdet.ncnn.param", options) as session:
        assert session.outputs[0].shape == (1, 85, 22, 22)
        found = session.run(feeds)["758"].ravel()
    assert found @ expected / (np.linalg.norm(found) * np.linalg.norm(expected)) > 0.9999


@pytest.mark.parametrize("name", ["litert", "openvino", "opencv"])
def test_the_edge_tpu_builds_are_refused(shared: Path, name: str) -> None:
    for model in ("imagenet/mobilenet_v1_0.25_128_quant", "pose/movenet_single_pose_lightning_ptq"):
        with pytest.raises(ModelError, match="compiled for the Edge TPU"):
            working(name).load(shared / f"models/{model}_edgetpu.tflite", ONE)


@pytest.mark.parametrize("name", ["litert", "openvino", "opencv"])
def test_the_operator_that_nobody_has_is_named(shared: Path, name: str) -> None:
    with pytest.raises(ModelError, match="'fake-op-double'"):
        working(name).load(shared / "models/broken/unknown_custom_op.tflite", ONE)


def working(name: str) -> backends.Backend:
    backend = backends.get(name)
    if not backend.installed():
        pytest.skip(f"{name} is not installed")
    return backend


def photograph(shared: Path, size: tuple[int, int]) -> Array:
    """A picture as float32 (1, 3, height, width) in [0, 1]."""
    image = cv2.imread(str(shared / "images/street_3.jpg"))
    assert image is not None
    resized = cv2.resize(image, size[::-1]).astype(np.float32) / 255
    return np.ascontiguousarray(resized.transpose(2, 0, 1)[None])


def assert_alike(found: Mapping[str, Array], expected: Mapping[str, Array]) -> None:
    for name, right in expected.items():
        assert found[name].shape == right.shape
        np.testing.assert_allclose(found[name], right, atol=2e-3 * float(np.abs(right).max()))
