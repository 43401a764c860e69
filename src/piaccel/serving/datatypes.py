"""The Open Inference Protocol's names of datatypes, and NumPy's.

Source: kserve/open-inference-protocol, specification/protocol/inference_rest.md; BF16 is Triton's.
"""

from __future__ import annotations

from math import prod

import numpy as np

_NUMPY = {
    "BOOL": "?",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
_NAMES = {np.dtype(code): name for name, code in _NUMPY.items()}
NAMES = (*_NUMPY, "BF16", "BYTES")
"""Every datatype that a request may name; BF16 and BYTES have no NumPy dtype of their own."""


def numpy_dtype(name: str) -> np.dtype[np.generic] | None:
    """The little-endian dtype of a datatype, None for BF16, BYTES and unknown names."""
    code = _NUMPY.get(name)
    return None if code is None else np.dtype(code)


def name_of(dtype: np.dtype[np.generic]) -> str:
    """The protocol's name of a NumPy dtype; "BYTES" for what is no number."""
    return _NAMES.get(dtype.newbyteorder("<") if dtype.itemsize > 1 else dtype, "BYTES")


def size_bytes(name: str, shape: tuple[int, ...]) -> int | None:
    """How long the raw data of such a tensor is; None where the shape does not tell (BYTES). Never overflows."""
    if name == "BF16":
        return 2 * prod(shape)
    dtype = numpy_dtype(name)
    return None if dtype is None else dtype.itemsize * prod(shape)
