"""Captured inputs as bytes: a version byte, then a positional MessagePack array.

A captured input is a record of kind ``CAPTURE`` in a segment like those of the journal (:mod:`quorate.codecs.journal`),
below ``captures/<endpoint>/<slot>``. Its boot and sequence are those of the decision it belongs to, so a decision's id
says where its input lies.

A column is numbers (dtype, shape and little-endian bytes), text, or images, each encoded bytes or pixels. Decoding is
exact: numbers come back bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from quorate.codecs import versioned
from quorate.core.types import NOTHING, Scalar
from quorate.errors import InvalidInput

VERSION = 1
_DTYPES = frozenset(
    {"|b1", "|i1", "|u1", *(f"<{kind}{size}" for kind in "iu" for size in (2, 4, 8)), "<f2", "<f4", "<f8"}
)

Image = bytes | NDArray[Any]
Column = NDArray[Any] | list[str] | list[Image]
"""Numbers ``[n, …]``, texts ``[n]``, or images ``[n]``; an empty list counts as text."""


class Capture(NamedTuple):
    """The input of one decision, as it is kept.

    ``share`` is the probability with which it was taken, of those decisions that ``only`` names (all if empty).
    ``context`` and ``unit`` are as the journal has them. ``removed`` and ``hashed`` name redacted columns.
    ``erased`` is the erasure that took the input out, by the first digits of its id.
    """

    id: str
    endpoint: str
    revision: int
    arrived: float
    rows: int
    share: float
    inputs: Mapping[str, Column]
    only: tuple[str, ...] = ()
    context: Mapping[str, Scalar] = NOTHING
    unit: str | None = None
    removed: tuple[str, ...] = ()
    hashed: tuple[str, ...] = ()
    erased: str | None = None


class _Numbers(msgspec.Struct, array_like=True, frozen=True, tag="n"):
    dtype: str
    shape: tuple[int, ...]
    data: bytes

    def array(self) -> NDArray[Any]:
        if self.dtype not in _DTYPES or min(self.shape, default=0) < 0:
            raise ValueError(f"numbers of type {self.dtype[:16]} and shape {list(self.shape)} are not read")
        dtype = np.dtype(self.dtype)
        if math.prod(self.shape) * dtype.itemsize != len(self.data):
            raise ValueError(f"{len(self.data)} bytes claim to be {self.dtype}{list(self.shape)}")
        return np.frombuffer(self.data, dtype).reshape(self.shape)


class _Texts(msgspec.Struct, array_like=True, frozen=True, tag="t"):
    items: list[str]


class _Images(msgspec.Struct, array_like=True, frozen=True, tag="i"):
    items: list[bytes | _Numbers]


_Column = _Numbers | _Texts | _Images


class _Wire(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Version 1, field by field; later versions get a struct of their own."""

    id: str
    endpoint: str
    revision: int
    arrived: float
    rows: int
    share: float
    inputs: dict[str, _Column]
    only: tuple[str, ...]
    context: dict[str, Scalar]
    unit: str | None
    removed: tuple[str, ...]
    hashed: tuple[str, ...]
    erased: str | None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Wire).decode


def encode(capture: Capture) -> bytes:
    """One captured input as bytes; :class:`InvalidInput` if its text or numbers have no encoding."""
    c = capture
    wire = _Wire(
        c.id,
        c.endpoint,
        c.revision,
        c.arrived,
        c.rows,
        c.share,
        {name: _packed(column) for name, column in c.inputs.items()},
        c.only,
        dict(c.context),
        c.unit,
        c.removed,
        c.hashed,
        c.erased,
    )
    try:
        return b"\x01" + _encode(wire)
    except (OverflowError, UnicodeEncodeError, TypeError) as error:
        raise InvalidInput(f"An input holds a value that cannot be kept: {error}.", path="inputs") from error


def decode(data: bytes) -> Capture:
    """The captured input in ``data``, arrays read-only; :class:`JournalError` if it is broken or of another version."""
    return versioned.read("A captured input", data, _READERS)


def weigh(raw: Mapping[str, Any]) -> int:
    """About how many bytes a raw input holds in memory, told without looking at every value."""
    return sum(_weight(value) for value in raw.values())


def _weight(value: Any) -> int:
    if isinstance(value, np.ndarray):
        return int(value.nbytes) if value.dtype != object else 64 * value.size
    return sum(item.nbytes if isinstance(item, np.ndarray) else len(item) for item in value)


def _numbers(array: NDArray[Any]) -> _Numbers:
    plain = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(array.shape)
    if plain.dtype.str not in _DTYPES:
        raise InvalidInput(f"An input of type {plain.dtype} cannot be kept.", path="inputs")
    return _Numbers(plain.dtype.str, plain.shape, plain.tobytes())


def _packed(column: NDArray[Any] | Sequence[Any]) -> _Column:
    if isinstance(column, np.ndarray):
        return _Texts(column.ravel().tolist()) if column.dtype.kind in "OU" else _numbers(column)
    if column and not isinstance(column[0], str):
        return _Images([_numbers(item) if isinstance(item, np.ndarray) else bytes(item) for item in column])
    return _Texts(list(column))


def _unpacked(column: _Column) -> Column:
    if isinstance(column, _Numbers):
        return column.array()
    if isinstance(column, _Texts):
        return column.items
    return [item if isinstance(item, bytes) else item.array() for item in column.items]


def _read_1(data: bytes) -> Capture:
    w = _decode(data)
    return Capture(
        id=w.id,
        endpoint=w.endpoint,
        revision=w.revision,
        arrived=w.arrived,
        rows=w.rows,
        share=w.share,
        inputs={name: _unpacked(column) for name, column in w.inputs.items()},
        only=w.only,
        context=w.context or NOTHING,
        unit=w.unit,
        removed=w.removed,
        hashed=w.hashed,
        erased=w.erased,
    )


_READERS: dict[int, Callable[[bytes], Capture]] = {1: _read_1}
