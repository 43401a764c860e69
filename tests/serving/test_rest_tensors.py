"""Tensors as JSON and as binary blobs."""

import contextlib
import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piaccel.errors import ServiceError
from piaccel.serving import rest_tensors
from piaccel.serving.messages import Response, Tensor
from piaccel.serving.rest_tensors import Form


def body(data: Any, shape: list[int], datatype: str, **more: Any) -> bytes:
    return json.dumps({"inputs": [{"name": "x", "shape": shape, "datatype": datatype, "data": data}], **more}).encode()


def only(text: bytes, header_length: int | None = None) -> Tensor:
    (tensor,) = rest_tensors.decode("m", "", text, header_length)[0].inputs
    return tensor


def refusal(text: bytes, header_length: int | None = None) -> str:
    with pytest.raises(ServiceError) as told:
        rest_tensors.decode("m", "", text, header_length)
    assert told.value.kind == "invalid_argument"
    return str(told.value)


@pytest.mark.parametrize(
    "array",
    [
        np.array([[True, False], [False, True]]),
        np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
        np.array([[-128, 127]], np.int8),
        np.array([0, 2**64 - 1], np.uint64),
        np.array([-(2**63), 2**63 - 1], np.int64),
        np.array([[1.5], [-2.25e-30]], np.float32),
        np.array([1e300], np.float64),
    ],
    ids=lambda array: str(array.dtype),
)
def test_json_data_may_be_flat_or_nested(array: np.ndarray[Any, Any]) -> None:
    datatype = Tensor.of("x", array).datatype
    for data in (array.tolist(), array.reshape(-1).tolist()):
        found = only(body(data, list(array.shape), datatype))
        assert found.shape == array.shape
        assert np.array_equal(found.array(), array)


def test_bytes_are_strings_in_json_and_lengths_with_data_in_binary() -> None:
    assert bytes(only(body([["a,[", "ü"]], [1, 2], "BYTES")).data) == b"\x03\0\0\0a,[\x02\0\0\0\xc3\xbc"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (body([1, 2], [3], "UINT8"), "3 elements, the data are 2"),
        (body([[1, 2], [3]], [2, 2], "UINT8"), "4 elements, the data are 3"),
        (body([[1, 2, 3], [4]], [2, 2], "UINT8"), "a row of the data does not fit"),
        (body([[1, 2, 3, 4]], [4], "UINT8"), "nested 2 deep"),
        (body(5, [1], "UINT8"), "nested 0 deep"),
        (body([], [2], "UINT8"), "2 elements, the data are 0"),
        (body([256], [1], "UINT8"), "beyond UINT8"),
        (body([-1], [1], "UINT64"), "beyond UINT64"),
        (body([10**30], [1], "INT64"), "beyond INT64"),
        (body([1e300], [1], "FP32"), "beyond FP32"),
        (body([1.5], [1], "INT32"), "Expected `int`"),
        (body([True], [1], "INT32"), "Expected `int`"),
        (body(["1"], [1], "FP32"), "Expected `float`"),
        (body([1.0], [1], "FP16"), "send it binary"),
        (body([1.0], [1], "BF16"), "send it binary"),
        (body([1.0], [1], "FP8"), "unknown datatype"),
        (body([1], [-1], "UINT8"), ">= 0"),
        (body([1], [10**30], "UINT8"), "shape[0]"),
        (body([1], [2**53] * 16, "UINT8"), "the data are 1"),
        (body([1], [1] * 17, "UINT8"), "length <= 16"),
        (body([1], [1], "UINT8").replace(b"[1],", b"[1], ", 1).replace(b'"data": [1]', b'"data": [NaN]'), "malformed"),
        (body([1], [1], "FP32").replace(b'"data": [1]', b'"data": [Infinity]'), "malformed"),
        (body([1], [1], "FP32").replace(b'"data": [1]', b'"data": [1e999]'), "out of range"),
        (body([1], [1], "FP32").replace(b'"x"', b'"\\ud800"'), "malformed"),
        (b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP32"}]}', "has no data"),
        (body([1], [1], "UINT8").replace(b'"data": [1]', b'"data": ' + b"[" * 100_000), "nested too deeply"),
        (b"", "truncated"),
        (b"[]", "Expected `object`"),
        (b"\xff\xfe", "malformed"),
    ],
)
def test_json_that_does_not_fit_is_named(text: bytes, said: str) -> None:
    assert said in refusal(text)


def test_of_a_key_that_is_given_twice_the_last_holds() -> None:
    text = body([1], [1], "UINT8").replace(b'"data": [1]', b'"data": [1], "data": [7]')
    assert bytes(only(text).data) == b"\x07"


def blobs(*inputs: tuple[str, list[int], str, bytes], size: int | None = None) -> tuple[bytes, int]:
    header = json.dumps(
        {
            "inputs": [
                {
                    "name": name,
                    "shape": shape,
                    "datatype": datatype,
                    "parameters": {"binary_data_size": len(data) if size is None else size},
                }
                for name, shape, datatype, data in inputs
            ]
        }
    ).encode()
    return header + b"".join(data for *_, data in inputs), len(header)


def test_blobs_follow_the_header_in_the_order_of_the_inputs() -> None:
    text, length = blobs(("a", [2], "FP16", b"abcd"), ("b", [2], "BF16", b"efgh"), ("c", [1], "BYTES", b"\1\0\0\0z"))
    request, _ = rest_tensors.decode("m", "", text, length)
    assert [(each.name, bytes(each.data)) for each in request.inputs] == [
        ("a", b"abcd"), ("b", b"efgh"), ("c", b"\1\0\0\0z"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (blobs(("x", [4], "UINT8", b"abc")), "takes 4 bytes, not 3"),
        (blobs(("x", [4], "UINT8", b"abc"), size=4), "bytes left"),
        (blobs(("x", [4], "UINT8", b"abcd"), size=2**53), "bytes left"),
        (blobs(("x", [4], "UINT8", b"abcd"), size=2**63), "<= "),
        (blobs(("x", [4], "UINT8", b"abcd"), size=-1), ">= 0"),
        (blobs(("x", [3], "UINT8", b"abcd"), size=3), "belong to no input"),
        (blobs(("x", [2**53] * 9, "FP64", b"abcd")), "not 4"),
        (blobs(("x", [1], "BYTES", b"\xff\xff\xff\xffab")), "elements of BYTES"),
        (blobs(("x", [2**53], "BYTES", b"\0\0\0\0")), "elements of BYTES"),
        ((b"{}", 3), "the body has 2 bytes"),
    ],
)
def test_blobs_that_do_not_fit_are_named(made: tuple[bytes, int], said: str) -> None:
    assert said in refusal(*made)


def test_shared_memory_and_sequences_are_refused() -> None:
    for text in (
        b'{"inputs":[{"name":"x","shape":[1],"datatype":"UINT8","parameters":{"shared_memory_region":"r"}}]}',
        b'{"inputs":[],"outputs":[{"name":"y","parameters":{"shared_memory_region":"r"}}]}',
        b'{"inputs":[],"parameters":{"sequence_id":3}}',
    ):
        with pytest.raises(ServiceError) as told:
            rest_tensors.decode("m", "", text, None)
        assert told.value.kind == "unsupported"


@pytest.mark.parametrize(
    ("shape", "length", "found"),
    [([1, 2, 2], 4, (1, 2, 2)), ([-1, 4], 8, (2, 4)), ([-1, -1, 3], 6, (1, 2, 3))],
)
def test_a_raw_body_is_the_data_of_the_only_input(shape: list[int], length: int, found: tuple[int, ...]) -> None:
    inputs = [{"name": "x", "datatype": "UINT8", "shape": shape}]
    request, form = rest_tensors.decode_raw("m", "", bytes(length), inputs)
    assert request.inputs[0].shape == found
    assert form.binary


@pytest.mark.parametrize(
    ("inputs", "length"),
    [
        ([], 1),
        ([{"name": "x", "datatype": "UINT8", "shape": [1]}] * 2, 1),
        ([{"name": "x", "datatype": "UINT8", "shape": [3]}], 4),
        ([{"name": "x", "datatype": "FP32", "shape": [-1]}], 5),
        ([{"name": "x", "datatype": "UINT8", "shape": [2, -1, -1]}], 4),
        ([{"name": "x", "datatype": "BYTES", "shape": [1]}], 5),
    ],
)
def test_a_raw_body_that_cannot_be_the_input_is_refused(inputs: list[dict[str, Any]], length: int) -> None:
    with pytest.raises(ServiceError):
        rest_tensors.decode_raw("m", "", bytes(length), inputs)


def answered(array: np.ndarray[Any, Any], form: Form) -> tuple[dict[str, Any], int | None, list[Any]]:
    length, parts = rest_tensors.encode(Response("m", "1", "i", [Tensor.of("y", array)]), form)
    return json.loads(bytes(parts[0])), length, parts


def test_an_answer_is_json_unless_binary_was_asked_for() -> None:
    array = np.array([[1.5, 2]], np.float32)
    document, length, parts = answered(array, Form(False, {}))
    assert length is None
    assert document == {
        "model_name": "m",
        "model_version": "1",
        "id": "i",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [1.5, 2.0]}],
    }
    document, length, parts = answered(array, Form(True, {}))
    assert length == len(parts[0])
    assert document["outputs"][0]["parameters"] == {"binary_data_size": 8}
    assert bytes(parts[1]) == array.tobytes()
    assert answered(array, Form(True, {"y": False}))[1] is None
    assert answered(array, Form(False, {"y": True}))[1] is not None


def test_nan_is_not_made_null_in_an_answer() -> None:
    array = np.array([np.nan], np.float32)
    with pytest.raises(ServiceError, match="binary_data"):
        answered(array, Form(False, {}))
    assert answered(array, Form(True, {}))[1] is not None


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.one_of(st.none(), st.integers(-2, 300)))
def test_any_bytes_are_read_or_refused(data: bytes, length: int | None) -> None:
    with contextlib.suppress(ServiceError):
        rest_tensors.decode("m", "", data, length)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda each: st.lists(each, max_size=4),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(_json, st.lists(st.integers(-2, 5), max_size=4), st.sampled_from(["UINT8", "FP32", "BOOL", "BYTES", "INT64"]))
def test_any_json_is_a_tensor_of_its_shape_or_refused(data: Any, shape: list[int], datatype: str) -> None:
    text = msgspec.json.encode({"inputs": [{"name": "x", "shape": shape, "datatype": datatype, "data": data}]})
    try:
        tensor = only(text)
    except ServiceError:
        return
    assert tensor.shape == tuple(shape)
    if datatype != "BYTES":
        assert tensor.array().size == int(np.prod(shape))
