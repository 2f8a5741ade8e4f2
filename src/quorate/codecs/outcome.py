"""Outcomes as bytes: a version byte, then a positional MessagePack array."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from quorate.codecs import versioned
from quorate.core.types import Outcome
from quorate.errors import InvalidInput

VERSION = 1


class _Wire(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Version 1, field by field; later versions get a struct of their own."""

    decision: str
    row: int
    truth: str | float | int | None
    rewards: dict[str, float]
    source: str
    at: float
    received: float


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Wire).decode


def encode(outcome: Outcome) -> bytes:
    """One outcome as bytes; :class:`InvalidInput` if its text or numbers have no encoding."""
    o = outcome
    try:
        return b"\x01" + _encode(_Wire(o.decision, o.row, o.truth, dict(o.rewards), o.source, o.at, o.received))
    except (OverflowError, UnicodeEncodeError) as error:
        raise InvalidInput(f"An outcome holds a value that cannot be recorded: {error}.") from error


def decode(data: bytes) -> Outcome:
    """The outcome in ``data``; :class:`JournalError` if it is of an unknown version or broken."""
    return versioned.read("An outcome record", data, _READERS)


def _read_1(data: bytes) -> Outcome:
    w = _decode(data)
    return Outcome(w.decision, w.row, w.truth, w.rewards, w.source, w.at, w.received)


_READERS: dict[int, Callable[[bytes], Outcome]] = {1: _read_1}
