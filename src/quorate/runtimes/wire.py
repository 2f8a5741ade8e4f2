"""The frames that a worker and a member's host exchange over their socket.

A frame is a header (length of the meta part, length of the body, request id, kind), a MessagePack meta part and the
raw bytes of arrays one after the other, each padded to 16 bytes. Nothing in it is code, and both sides bound what they
read.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from quorate.core.types import Artifact, Tensors
from quorate.errors import SignatureViolation

MAX_META = 32 << 20
MAX_BODY = 512 << 20
_COPY_BELOW = 32 << 10  # smaller arrays are copied behind the meta part: one system call instead of two
_ALIGNMENT = 16  # arrays begin at multiples of it in the body
_NUMERIC = {code: np.dtype(code) for code in "?bhilqBHILQefd"}  # numpy's codes of booleans, integers and floats

Buffer = bytes | memoryview  # what may be written to the socket

_HEADER = struct.Struct("<IIQB")
HEADER_SIZE = _HEADER.size


class Kind(IntEnum):
    """What a frame is; the first two go to the host, the others come from it."""

    LOAD = 1
    RUN = 2
    READY = 3
    RESULT = 4
    ERROR = 5


class Header(NamedTuple):
    """The fixed part of a frame; lengths in bytes."""

    meta: int
    body: int
    request: int
    kind: int


class WireError(Exception):
    """The other side sent what no correct one sends; the connection is of no use any more."""


class Fault(msgspec.Struct, frozen=True, array_like=True):
    """The meta part of an ``ERROR``: a stable error code, the sentence and the path."""

    code: str
    message: str
    path: str | None


class _Part(msgspec.Struct, frozen=True, array_like=True):
    """One tensor: numeric ones are in the body, those of text or bytes in ``values``."""

    name: str
    dtype: str
    shape: tuple[Annotated[int, msgspec.Meta(ge=0)], ...]
    values: list[Any] | None = None  # of str, bytes or None; msgspec has no type for that mixture


def _decode_path(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError(kind)


_encoder = msgspec.msgpack.Encoder(enc_hook=str)  # the only foreign type in an artifact is its folder, a Path
_parts = msgspec.msgpack.Decoder(list[_Part])
_fault = msgspec.msgpack.Decoder(Fault)
_artifact = msgspec.msgpack.Decoder(Artifact, dec_hook=_decode_path)


def read_header(data: bytes | bytearray) -> Header:
    """The header at the start of ``data``; :class:`WireError` if a length is beyond its bound."""
    header = Header._make(_HEADER.unpack_from(data))
    if header.meta > MAX_META or header.body > MAX_BODY:
        raise WireError(f"a frame of {header.meta} + {header.body} bytes is too long")
    return header


def pack(kind: Kind, request: int, meta: Any = None, bodies: Sequence[Buffer] = ()) -> list[Buffer]:
    """A frame as buffers to be sent in order; :class:`SignatureViolation` if it is too large or not Unicode."""
    try:
        encoded = _encoder.encode(meta)
    except UnicodeEncodeError as error:
        raise SignatureViolation(f"A tensor holds text that is not valid Unicode ({error.reason}).") from error
    size = sum(map(_size, bodies))
    if len(encoded) > MAX_META or size > MAX_BODY:
        raise SignatureViolation(
            f"The tensors of one run take {len(encoded) + size} bytes; expected at most {MAX_BODY}; send fewer rows."
        )
    head = _HEADER.pack(len(encoded), size, request, kind) + encoded
    return [head, *bodies] if size > _COPY_BELOW else [b"".join((head, *bodies))]


def pack_tensors(kind: Kind, request: int, tensors: Mapping[str, NDArray[Any]]) -> list[Buffer]:
    """A frame with tensors; large contiguous arrays are referred to, not copied.

    :class:`SignatureViolation` for what is neither numeric nor text nor bytes.
    """
    meta: list[_Part] = []
    bodies: list[Buffer] = []
    for name, array in tensors.items():
        code = array.dtype.char
        if code not in _NUMERIC or not array.dtype.isnative:
            meta.append(_Part(name, "O", array.shape, _texts(name, array)))
            continue
        meta.append(_Part(name, code, array.shape))
        if array.nbytes > _COPY_BELOW:
            bodies.append(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        else:
            bodies.append(array.tobytes())
        if array.nbytes % _ALIGNMENT:
            bodies.append(bytes(-array.nbytes % _ALIGNMENT))
    return pack(kind, request, meta, bodies)


def _size(buffer: Buffer) -> int:
    return buffer.nbytes if isinstance(buffer, memoryview) else len(buffer)


def _is_text(values: list[Any]) -> bool:
    return all(value is None or isinstance(value, str | bytes) for value in values)


def _texts(name: str, array: NDArray[Any]) -> list[Any]:
    values: list[Any] = array.ravel().tolist()
    if array.dtype.kind not in "OUS" or not _is_text(values):
        raise SignatureViolation(f"'{name}' holds {array.dtype}; expected numbers, text or bytes.", path=name)
    return values


def read_tensors(meta: bytes, body: bytearray) -> Tensors:
    """The tensors of a frame, writable; numeric ones are views of ``body``.

    :class:`WireError` if they do not take exactly the bytes of the body.
    """
    tensors: Tensors = {}
    start = 0
    try:
        for part in _parts.decode(meta):
            if part.values is None:
                array: NDArray[Any] = np.ndarray(part.shape, _NUMERIC[part.dtype], body, start)
                start += array.nbytes + -array.nbytes % _ALIGNMENT
            else:
                array = _text_array(part.shape, part.values)
            tensors[part.name] = array
    except (msgspec.MsgspecError, ValueError, TypeError, KeyError) as error:
        raise WireError(f"its tensors cannot be read ({error!r})") from error
    if start != len(body):
        raise WireError(f"its tensors take {start} bytes, its body has {len(body)}")
    return tensors


def _text_array(shape: tuple[int, ...], values: list[Any]) -> NDArray[Any]:
    if not _is_text(values):
        raise ValueError("text is announced, something else came")
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array.reshape(shape)


def take_frame(received: bytearray) -> tuple[Header, bytes, bytearray] | None:
    """Cut the first whole frame, as header, meta part and body, off what was received; None if there is none yet."""
    if len(received) < HEADER_SIZE:
        return None
    header = read_header(received)
    body = HEADER_SIZE + header.meta
    end = body + header.body
    if len(received) < end:
        return None
    frame = header, bytes(received[HEADER_SIZE:body]), received[body:end]
    del received[:end]
    return frame


def read_fault(meta: bytes) -> Fault:
    """The meta part of an ``ERROR`` frame."""
    try:
        return _fault.decode(meta)
    except (msgspec.MsgspecError, ValueError) as error:
        raise WireError(f"its fault cannot be read ({error})") from error


def read_artifact(meta: bytes) -> Artifact:
    """The meta part of a ``LOAD`` frame."""
    try:
        return _artifact.decode(meta)
    except (msgspec.MsgspecError, ValueError) as error:
        raise WireError(f"its artifact cannot be read ({error})") from error
