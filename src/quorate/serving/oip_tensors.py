"""Open Inference Protocol v2: its datatypes, and tensors as bytes, the same over REST and gRPC.

Source: the protocol (github.com/kserve/open-inference-protocol) and its binary tensor data extension.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.codecs.snapshot import Limits
from quorate.errors import InvalidInput, MalformedRequest, TooLarge

NUMPY = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
DATATYPES = (*NUMPY, "BYTES")


def check_datatype(datatype: str, path: str) -> None:
    """Raise :class:`InvalidInput` for a datatype that the protocol has not; ``path`` names the input."""
    if datatype not in DATATYPES:
        raise InvalidInput(
            f"There is no datatype '{datatype[:32]}'; expected one of {', '.join(DATATYPES)}.",
            path=f"{path}.datatype",
        )


def element_count(shape: Sequence[int], path: str, limits: Limits) -> int:
    """Elements of a tensor of that shape, which is checked; ``path`` names the input."""
    if not shape or len(shape) > 8 or any(not 0 <= d < 1 << 31 for d in shape):
        raise InvalidInput(
            "A shape has 1 to 8 dimensions of 0 or more; the first is the number of rows.", path=f"{path}.shape"
        )
    count = math.prod(shape)
    if count > limits.body_bytes:  # no tensor of a request that was let in can have more elements
        raise TooLarge(
            f"The shape {list(shape)} has {count} elements; the body may have {limits.body_bytes} bytes "
            "(limits.body_bytes).",
            path=f"{path}.shape",
        )
    return count


def from_bytes(
    datatype: str, shape: Sequence[int], data: bytes, count: int, *, size_path: str, data_path: str
) -> NDArray[Any]:
    """A tensor from its bytes: numbers little endian, each of BYTES behind its length in 4 bytes.

    ``count`` is of :func:`element_count`. Raises :class:`MalformedRequest` at ``size_path`` or ``data_path``.
    """
    if datatype == "BYTES":
        return objects(_unpack(data, count, data_path), shape)
    dtype = NUMPY[datatype]
    if len(data) != count * dtype.itemsize:
        raise MalformedRequest(
            f"Shape {list(shape)} of {datatype} needs {count * dtype.itemsize} bytes; got {len(data)}.", path=size_path
        )
    if datatype == "BOOL" and data.strip(b"\x00\x01"):
        raise MalformedRequest("BOOL elements are the bytes 0 and 1; got others.", path=data_path)
    return np.frombuffer(data, dtype).reshape(shape)


def to_bytes(array: NDArray[Any]) -> bytes:
    """An output tensor's bytes: float32 ``[n, …]``, bool, or objects that are bytes."""
    if array.dtype == object:
        return b"".join(len(v).to_bytes(4, "little") + v for v in array.tolist())
    return np.ascontiguousarray(array, None if array.dtype == np.bool_ else "<f4").tobytes()


def _unpack(data: bytes, count: int, path: str) -> list[Any]:
    elements: list[bytes] = []
    offset = 0
    while offset < len(data) and len(elements) <= count:
        size = int.from_bytes(data[offset : offset + 4], "little")
        if offset + 4 + size > len(data):
            break
        elements.append(data[offset + 4 : offset + 4 + size])
        offset += 4 + size
    if offset != len(data) or len(elements) != count:
        raise MalformedRequest(
            f"BYTES data must be {count} elements, each 4 bytes of length (little endian) and its bytes; it is not.",
            path=path,
        )
    return elements


def objects(elements: list[Any], shape: Sequence[int]) -> NDArray[Any]:
    """An array of text or bytes; numpy makes no guess at their type."""
    array = np.empty(len(elements), object)
    array[:] = elements
    return array.reshape(shape)
