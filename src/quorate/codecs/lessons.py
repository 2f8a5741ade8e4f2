"""What combiners that learn were taught, as bytes: decisions by id, rows, and truths.

A format byte, then zlib over columns: of the ids their two halves, of the rows the numbers, each as differences from
the one before, and the truths; the bytes of a column lie by place, all first bytes before all second ones. Decisions
that lie one after another differ in few bytes, so most of it packs to nothing.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quorate.errors import FormatRefused

FORMAT = 1
_HEAD = struct.Struct("<BIB")
_LEVEL = 6


class Lessons(NamedTuple):
    """Rows that taught, in their order: the ``decisions`` that they are of, int64 ``rows`` and float64 ``truths``
    (class indices or numbers). Decisions that were only looked at have neither."""

    decisions: list[str]
    rows: NDArray[np.int64]
    truths: NDArray[np.float64]

    def without(self, decisions: set[str] | frozenset[str]) -> Lessons:
        """The lessons that are of none of these decisions."""
        kept = [i for i, id_ in enumerate(self.decisions) if id_ not in decisions]
        return Lessons([self.decisions[i] for i in kept], self.rows[kept], self.truths[kept])


def pack(decisions: Sequence[str], rows: Sequence[int] | None = None, truths: Sequence[float] | None = None) -> bytes:
    """Lessons as bytes, or decisions that were looked at; ids are those of :class:`~quorate.ids.DecisionId`.

    >>> made = pack(["018bcfe5-6800-7000-8000-000001000001"], [2], [1.0])
    >>> unpack(made).decisions, unpack(made).rows.tolist()
    (['018bcfe5-6800-7000-8000-000001000001'], [2])
    """
    ids = np.frombuffer(bytes.fromhex("".join(decisions).replace("-", "")), ">u8").reshape(len(decisions), 2)
    columns = [_differences(ids[:, 0].astype(np.uint64)), _differences(ids[:, 1].astype(np.uint64))]
    if rows is not None:
        columns += [_differences(np.array(rows, np.int64).view(np.uint64)), np.array(truths, np.float64)]
    body = b"".join([_by_place(column) for column in columns])
    return _HEAD.pack(FORMAT, len(decisions), rows is not None) + zlib.compress(body, _LEVEL)


def unpack(data: bytes) -> Lessons:
    """What :func:`pack` was given; :class:`FormatRefused` if it is damaged or of a later format."""
    version, count, whole = _HEAD.unpack_from(data) if len(data) >= _HEAD.size else (0, 0, 0)
    if version != FORMAT:
        raise FormatRefused(f"Lessons have format {version}; this release reads {FORMAT}. Upgrade Quorate.")
    try:
        body = zlib.decompress(data[_HEAD.size :])
    except zlib.error as error:
        raise FormatRefused(f"Lessons are damaged: {error}.") from None
    size = 8 * count
    if len(body) != size * (4 if whole else 2):
        raise FormatRefused("Lessons are damaged: there are other numbers of them than they say.")
    columns = [_of_places(body[start : start + size], count) for start in range(0, len(body), size or 1)]
    if not count:
        return Lessons([], np.zeros(0, np.int64), np.zeros(0))
    ids = np.stack([_sums(columns[0]), _sums(columns[1])], axis=1).astype(">u8").tobytes().hex()
    texts = [_text(ids[start : start + 32]) for start in range(0, len(ids), 32)]
    if not whole:
        return Lessons(texts, np.zeros(0, np.int64), np.zeros(0))
    return Lessons(texts, _sums(columns[2]).view(np.int64), columns[3].view(np.float64))


def _text(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _differences(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """From one to the next, modulo 2^64."""
    found = values.copy()
    found[1:] -= values[:-1]
    return found


def _sums(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    found: NDArray[np.uint64] = np.cumsum(values, dtype=np.uint64)
    return found


def _by_place(column: NDArray[Any]) -> bytes:
    places = np.ascontiguousarray(column).astype(column.dtype.newbyteorder("<")).view(np.uint8).reshape(-1, 8)
    return places.T.tobytes()


def _of_places(data: bytes, count: int) -> NDArray[np.uint64]:
    places = np.frombuffer(data, np.uint8).reshape(8, count)
    return np.ascontiguousarray(places.T).view("<u8").reshape(count).astype(np.uint64)
