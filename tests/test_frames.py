from __future__ import annotations

import subprocess
import sys
from typing import Any, get_args

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piaccel.errors import InputError, ModelError, OptionError
from piaccel.frames import Colour, Geometry, Preprocess, Preprocessor, Resize
from piaccel.tensors import Layout, Quantization, TensorSpec

U8, I8, F16, F32 = (np.dtype(name) for name in ("uint8", "int8", "float16", "float32"))
IMAGE = np.random.default_rng(0).integers(0, 256, (90, 160, 3), dtype=np.uint8)
EVERY_PIXEL = np.arange(256, dtype=np.uint8).reshape(16, 16)[..., np.newaxis].repeat(3, axis=2)


def plain(preprocess: Preprocess, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The same preprocessing, spelled out in float64 one step at a time."""
    height, width = preprocess.size
    if preprocess.resize == "crop":
        side = min(image.shape[0] / height, image.shape[1] / width)
        h, w = max(1, round(height * side)), max(1, round(width * side))
        top, left = (image.shape[0] - h) // 2, (image.shape[1] - w) // 2
        image = image[top : top + h, left : left + w]
    if preprocess.resize == "letterbox":
        ratio = min(height / image.shape[0], width / image.shape[1])
        h, w = max(1, round(image.shape[0] * ratio)), max(1, round(image.shape[1] * ratio))
        top, left = round((height - h) / 2 - 0.1), round((width - w) / 2 - 0.1)
        canvas = np.full((height, width, 3), preprocess.fill, np.uint8)
        canvas[top : top + h, left : left + w] = cv2.resize(image, (w, h))
        image = canvas
    else:
        image = cv2.resize(image, (width, height))
    if preprocess.colour == "BGR":
        image = image[..., ::-1]
    if preprocess.colour == "GRAY":
        image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., np.newaxis]
    real = (image.astype(np.float64) - preprocess.mean) / preprocess.std
    if preprocess.quantization is not None:
        real = real / preprocess.quantization.scale + preprocess.quantization.zero_point
    if preprocess.dtype.kind in "iu":
        limits = np.iinfo(preprocess.dtype)
        real = np.clip(np.floor(real + 0.501), limits.min, limits.max)
    tensor = real.astype(preprocess.dtype)[np.newaxis]
    return tensor.transpose(0, 3, 1, 2) if preprocess.layout == "NCHW" else tensor


KINDS: dict[str, dict[str, Any]] = {
    "raw uint8": {"dtype": U8},
    "identity uint8": {
        "dtype": U8,
        "mean": (128.0,),
        "std": (128.0,),
        "quantization": Quantization((1 / 128,), (128,)),
    },
    "int8, top bit": {"dtype": I8, "mean": (127.5,), "std": (127.5,), "quantization": Quantization((2 / 255,), (-1,))},
    "int8, table": {"dtype": I8, "mean": (0.0,), "std": (255.0,), "quantization": Quantization((0.01,), (-20,))},
    "float32, one table": {"dtype": F32, "mean": (127.5,), "std": (127.5,)},
    "float16": {"dtype": F16, "mean": (0.0,), "std": (255.0,)},
    "int16": {"dtype": np.dtype("int16"), "mean": (100.0,), "std": (0.01,)},
}
PER_CHANNEL = {"dtype": F32, "mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375)}


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize("colour", get_args(Colour))
@pytest.mark.parametrize("resize", get_args(Resize))
@pytest.mark.parametrize("kind", [*KINDS, "float32, a table for each channel"])
def test_every_combination_equals_the_steps_spelled_out(
    kind: str, resize: Resize, colour: Colour, layout: Layout
) -> None:
    options = KINDS.get(kind, PER_CHANNEL)
    if kind not in KINDS and colour == "GRAY":
        options = {"dtype": F32, "mean": (120.0,), "std": (57.0,)}
    preprocess = Preprocess(
        (32, 48), resize=resize, colour=colour, layout=layout, **{"mean": (0.0,), "std": (1.0,), **options}
    )
    preprocessor = Preprocessor(preprocess)
    for image in (IMAGE, IMAGE[:, :50], IMAGE):
        out = np.full(preprocess.shape, 77, preprocess.dtype)
        tensor, _ = preprocessor(image, out)
        assert tensor is out
        np.testing.assert_allclose(tensor, plain(preprocess, image), rtol=1e-6)


def test_a_call_without_a_buffer_returns_a_new_tensor() -> None:
    preprocess = Preprocess((8, 8))
    first, geometry = preprocess(IMAGE)
    second, _ = preprocess(IMAGE)
    assert not np.shares_memory(first, second)
    assert first.shape == (1, 8, 8, 3)
    assert geometry == Geometry((90, 160), (8, 8), (8 / 160, 8 / 90))


@given(
    scale=st.floats(0.002, 0.05),
    zero_point=st.integers(-128, 127),
    mean=st.floats(-10, 255),
    std=st.floats(1, 300),
)
def test_an_integer_input_is_quantized_within_rounding_for_all_256_pixels(
    scale: float, zero_point: int, mean: float, std: float
) -> None:
    quantization = Quantization((scale,), (zero_point,))
    preprocess = Preprocess((16, 16), mean=(mean,), std=(std,), dtype=I8, quantization=quantization)
    real = (np.arange(256.0) - mean) / std
    exact = np.clip(real / scale + zero_point, -128, 127)
    tensor, _ = preprocess(EVERY_PIXEL)
    assert np.abs(tensor[0, ..., 0].ravel() - exact).max() <= 0.5 + 2e-3
    assert np.abs(tensor[0, ..., 0].ravel().astype(int) - quantization.quantize(real, I8)).max() <= 1


def test_an_int8_input_of_minus_one_to_one_keeps_all_256_pixel_values_apart() -> None:
    quantization = Quantization((0.007843137718737125,), (-1,))
    tensor, _ = Preprocess((16, 16), mean=(127.5,), std=(127.5,), dtype=I8, quantization=quantization)(EVERY_PIXEL)
    np.testing.assert_array_equal(tensor.view(np.uint8)[0] ^ 0x80, EVERY_PIXEL)


def test_a_quantization_for_each_channel_is_used() -> None:
    quantization = Quantization((1.0, 2.0, 4.0), (0, 1, 2), axis=3)
    tensor, _ = Preprocess((16, 16), dtype=U8, quantization=quantization)(EVERY_PIXEL)
    np.testing.assert_array_equal(tensor[0, 15, 15], [255, 129, 66])


@settings(deadline=None)
@given(
    frame=st.tuples(st.integers(2, 400), st.integers(2, 400)),
    model=st.tuples(st.integers(2, 300), st.integers(2, 300)),
    resize=st.sampled_from(get_args(Resize)),
    at=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_model_pixels_map_back_to_the_frame_pixels_they_came_from(
    frame: tuple[int, int], model: tuple[int, int], resize: Resize, at: tuple[float, float]
) -> None:
    geometry = Geometry.fit(frame, model, resize)
    rows, columns = geometry.seen
    assert rows.stop - rows.start >= 1
    assert columns.stop - columns.start >= 1
    point = np.array(
        [columns.start + at[0] * (columns.stop - columns.start), rows.start + at[1] * (rows.stop - rows.start)]
    )
    in_model = point * geometry.scale + geometry.offset
    assert (in_model >= -1e-6).all()
    assert (in_model <= np.array(model[::-1]) + 1e-6).all()
    np.testing.assert_allclose(geometry.to_frame(in_model), point, atol=0.01)


def test_the_parts_of_a_letterboxed_frame_and_input_that_match_are_named() -> None:
    letterbox = Geometry.fit((1080, 1920), (640, 640), "letterbox")
    assert letterbox.covered == (slice(140, 500), slice(0, 640))
    assert letterbox.seen == (slice(0, 1080), slice(0, 1920))
    crop = Geometry.fit((1080, 1920), (224, 224), "crop")
    assert crop.seen == (slice(0, 1080), slice(420, 1500))
    assert crop.covered == (slice(0, 224), slice(0, 224))


def test_boxes_are_mapped_and_clipped_to_the_frame() -> None:
    geometry = Geometry.fit((1080, 1920), (640, 640), "letterbox")
    boxes = geometry.to_frame(np.array([[0, 140, 320, 320], [-50, 0, 700, 640]]))
    np.testing.assert_allclose(boxes, [[0, 0, 960, 540], [0, 0, 1920, 1080]])
    assert boxes.dtype == F32
    assert geometry.to_frame(np.empty((0, 4))).shape == (0, 4)


def test_no_buffer_grows_with_the_frame() -> None:
    import tracemalloc

    image = np.zeros((2160, 3840, 3), np.uint8)
    for resize in get_args(Resize):
        preprocessor = Preprocessor(Preprocess((96, 96), resize=resize, colour="BGR", mean=(127.5,), std=(127.5,)))
        out, _ = preprocessor(image)
        tracemalloc.start()
        for _ in range(3):
            preprocessor(image, out)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 10_000


def test_preprocessing_adapts_to_a_sessions_input() -> None:
    quantization = Quantization((1.0,), (0,))
    wanted = Preprocess((320, 320), mean=(1.0, 2.0, 3.0)).for_input(
        TensorSpec("x", (1, 3, 224, 192), U8, "NCHW", quantization)
    )
    assert (wanted.size, wanted.layout, wanted.dtype, wanted.quantization) == ((224, 192), "NCHW", U8, quantization)
    free = Preprocess((320, 256)).for_input(TensorSpec("x", (None, None, None, 3), F32, "NHWC"))
    assert free.size == (320, 256)
    grey = Preprocess((320, 320)).for_input(TensorSpec("x", (1, 28, 28, 1), F32, "NHWC"))
    assert grey.shape == (1, 28, 28, 1)


def test_an_input_that_is_no_picture_is_refused() -> None:
    with pytest.raises(ModelError, match=r"input 'x' \(1, 8, 8, 4\) has 4 channels"):
        Preprocess((8, 8)).for_input(TensorSpec("x", (1, 8, 8, 4), F32, "NHWC"))
    with pytest.raises(ModelError, match="gives GRAY"):
        Preprocess((8, 8), colour="GRAY", mean=(0.0,), std=(1.0,)).for_input(TensorSpec("x", (1, 8, 8, 3), F32, "NHWC"))


@pytest.mark.parametrize(
    "image", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.float32), np.zeros((8, 8, 4), np.uint8), IMAGE[:0]]
)
def test_a_frame_that_is_no_uint8_rgb_picture_is_refused(image: np.ndarray[Any, Any]) -> None:
    with pytest.raises(InputError, match=r"a frame must be uint8 \(H, W, 3\) RGB, got"):
        Preprocess((8, 8))(image)


@pytest.mark.parametrize(
    "out", [np.empty((1, 8, 8, 3), U8), np.empty((8, 8, 3), F32), np.empty((1, 8, 8, 6), F32)[..., ::2]]
)
def test_a_buffer_that_does_not_fit_is_refused(out: np.ndarray[Any, Any]) -> None:
    with pytest.raises(InputError, match=r"expected C-contiguous float32 \(1, 8, 8, 3\)"):
        Preprocess((8, 8))(IMAGE, out)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": (0, 8)}, "at least 1"),
        ({"mean": (1.0, 2.0)}, "2 mean values for RGB"),
        ({"colour": "GRAY", "mean": (0.0,)}, "3 std values for GRAY"),
        ({"std": (0.0,)}, "must not be 0"),
        ({"fill": 300}, "a pixel is 0..255"),
    ],
)
def test_preprocessing_that_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Preprocess(**{"size": (8, 8), **options})


def test_importing_frames_loads_no_opencv() -> None:
    code = "import sys, piaccel.frames, piaccel.images, piaccel.tasks; sys.exit('cv2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
