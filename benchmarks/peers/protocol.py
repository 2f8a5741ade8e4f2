"""The Open Inference Protocol by hand: binary tensors over REST, and its gRPC messages without generated code.

Only what a request of one UINT8 tensor and an answer of one FP32 tensor need. Sources: the protocol
(github.com/kserve/open-inference-protocol) and the wire format of Protocol Buffers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

HEADER = "Inference-Header-Content-Length"
_TENSOR, _OUTPUT, _RAW = 5, 6, 7
_RAW_OUTPUTS = 6


def binary(pixels: NDArray[np.uint8]) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a REST request that sends and asks for binary tensors."""
    data = pixels.tobytes()
    sizes = {"binary_data_size": len(data)}
    tensor = {"name": "image", "shape": list(pixels.shape), "datatype": "UINT8", "parameters": sizes}
    output = {"name": "probabilities", "parameters": {"binary_data": True}}
    head = json.dumps({"inputs": [tensor], "outputs": [output]}, separators=(",", ":")).encode()
    return head + data, {HEADER: str(len(head)), "Content-Type": "application/octet-stream"}


def binary_answer(body: bytes, head: int) -> NDArray[np.float32]:
    """The one binary output behind the JSON, which has ``head`` bytes."""
    tensor = json.loads(body[:head])["outputs"][0]
    return np.frombuffer(body[head:], "<f4").reshape(tensor["shape"])


def message(model: str, pixels: NDArray[np.uint8]) -> bytes:
    """A ``ModelInferRequest`` with raw contents."""
    shape = b"".join(_varint(length) for length in pixels.shape)
    tensor = _field(1, b"image") + _field(2, b"UINT8") + _field(3, shape)
    wanted = _field(_OUTPUT, _field(1, b"probabilities"))
    return _field(1, model.encode()) + _field(_TENSOR, tensor) + wanted + _field(_RAW, pixels.tobytes())


def message_answer(data: bytes) -> NDArray[np.float32]:
    """The raw contents of the one output of a ``ModelInferResponse``, or its ``fp32_contents``; flat."""
    for number, value in _fields(data):
        if number == _RAW_OUTPUTS:
            return np.frombuffer(value, "<f4")
    contents = [v for n, t in _fields(data) if n == _TENSOR for m, v in _fields(t) if m == 5]
    packed = [v for c in contents for n, v in _fields(c) if n == 6]
    return np.frombuffer(b"".join(packed), "<f4")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _read(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of every length-delimited field; numbers are skipped."""
    at = 0
    while at < len(data):
        key, at = _read(data, at)
        kind = key & 7
        if kind == 0:
            _, at = _read(data, at)
        elif kind == 2:
            size, at = _read(data, at)
            yield key >> 3, data[at : at + size]
            at += size
        else:
            at += 8 if kind == 1 else 4
