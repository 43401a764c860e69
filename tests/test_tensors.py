"""Quantization and the specs of tensors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from piaccel.errors import InputError
from piaccel.tensors import Quantization, TensorSpec, guess_layout

UINT8, INT8 = np.dtype(np.uint8), np.dtype(np.int8)


def test_a_uint8_tensor_is_dequantized_by_its_scale_and_zero_point() -> None:
    real = Quantization((0.0078125,), (128,)).dequantize(np.array([0, 128, 255], np.uint8))
    assert real.dtype == np.float32
    np.testing.assert_array_equal(real, np.array([-1, 0, 127 / 128], np.float32))


def test_an_int8_tensor_is_dequantized_by_its_scale_and_zero_point() -> None:
    real = Quantization((0.5,), (-128,)).dequantize(np.array([-128, 0, 127], np.int8))
    np.testing.assert_array_equal(real, np.array([0, 64, 127.5], np.float32))


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_each_channel_has_its_own_scale_along_the_axis(axis: int) -> None:
    quantization = Quantization((1.0, 10.0), (0, 5), axis)
    shape = [3, 3, 3]
    shape[axis] = 2
    quantized = np.full(shape, 7, np.int8)
    first, second = np.split(quantization.dequantize(quantized), 2, axis)
    assert np.all(first == 7)
    assert np.all(second == 20)


def test_dequantized_values_are_written_where_they_are_wanted() -> None:
    out = np.empty(2, np.float32)
    assert Quantization((2.0,), (1,)).dequantize(np.array([1, 2], np.uint8), out=out) is out
    np.testing.assert_array_equal(out, [0, 2])


def test_quantizing_rounds_to_even_and_clips() -> None:
    quantized = Quantization((1.0,), (0,)).quantize(np.array([0.5, 1.5, 2.4, -7.0, 300.0], np.float32), UINT8)
    assert quantized.dtype == np.uint8
    assert quantized.tolist() == [0, 2, 2, 0, 255]


def test_quantizing_follows_each_channel() -> None:
    quantized = Quantization((1.0, 2.0), (0, 10), axis=1).quantize(np.full((2, 2), 8, np.float32), INT8)
    assert quantized.tolist() == [[8, 14], [8, 14]]


@given(
    st.floats(2**-12, 8, width=32),
    st.integers(-128, 127),
    st.lists(st.integers(-128, 127), min_size=1, max_size=20),
)
def test_quantizing_undoes_dequantizing(scale: float, zero_point: int, values: list[int]) -> None:
    quantization = Quantization((scale,), (zero_point,))
    quantized = np.array(values, np.int8)
    np.testing.assert_array_equal(quantization.quantize(quantization.dequantize(quantized), INT8), quantized)


@pytest.mark.parametrize(("scale", "zero_point"), [((), ()), ((1.0, 2.0), (0,)), ((1.0,), ())])
def test_scales_and_zero_points_come_in_pairs(scale: tuple[float, ...], zero_point: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="as many scales as zero points"):
        Quantization(scale, zero_point)


def test_one_scale_is_for_the_whole_tensor() -> None:
    assert Quantization((1.0,), (0,)).per_tensor
    assert not Quantization((1.0, 2.0), (0, 0)).per_tensor


IMAGE = TensorSpec("image", (1, 224, 192, 3), UINT8, "NHWC")
FREE = TensorSpec("image", (None, 3, None, None), np.dtype(np.float32), "NCHW")


def test_a_wrong_dtype_is_named_with_what_converts_it() -> None:
    with pytest.raises(InputError, match="'image' has dtype float64, expected uint8") as caught:
        IMAGE.check(np.zeros((1, 224, 192, 3)))
    assert "astype('uint8')" in caught.value.hint


def test_a_wrong_shape_is_named_with_the_expected_one() -> None:
    with pytest.raises(InputError, match=r"'image' has shape \(3, 3\), expected \(\?, 3, \?, \?\)"):
        FREE.check(np.zeros((3, 3), np.float32))


def test_free_dimensions_fit_any_length_but_none() -> None:
    assert FREE.fits((2, 3, 10, 20))
    assert not FREE.fits((2, 4, 10, 20))
    assert not FREE.fits((0, 3, 10, 20))
    assert not FREE.fits((3, 10, 20))
    FREE.check(np.zeros((1, 3, 2, 2), np.float32))


def test_the_size_and_channels_of_a_picture_follow_the_layout() -> None:
    assert IMAGE.image_size == (224, 192)
    assert IMAGE.channels == 3
    assert FREE.image_size == (None, None)
    assert FREE.channels == 3
    vector = TensorSpec("scores", (1, 1000), UINT8)
    assert vector.image_size is None
    assert vector.channels is None


@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        ((1, 224, 224, 3), "NHWC"),
        ((1, 3, 224, 224), "NCHW"),
        ((None, 1, None, None), "NCHW"),
        ((1, 28, 28, 1), "NHWC"),
        ((1, 64, 7, 7), ""),
        ((1, 1000), ""),
    ],
)
def test_the_layout_is_guessed_from_where_the_channels_are(shape: tuple[int | None, ...], layout: str) -> None:
    assert guess_layout(shape) == layout
