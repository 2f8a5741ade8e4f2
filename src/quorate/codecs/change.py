"""Changes that a worker was asked for, as bytes: a version byte, then a positional MessagePack array.

A worker has no store. It writes what it was asked to change, by whom and when, to its journal, and control, which reads
that, adds it to the audit trail.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from quorate.codecs import versioned

VERSION = 1


class Change(msgspec.Struct, array_like=True, frozen=True):
    """``actor`` asked for ``action`` (``model.unload``) on ``subject`` at Unix time ``at``; version 1."""

    at: float
    actor: str
    action: str
    subject: str
    detail: dict[str, str] = {}


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Change).decode


def encode(change: Change) -> bytes:
    """One change as bytes."""
    return bytes([VERSION]) + _encode(change)


def decode(data: bytes) -> Change:
    """The change in ``data``; :class:`JournalError` if it is of an unknown version or broken."""
    return versioned.read("A change record", data, _READERS)


_READERS: dict[int, Callable[[bytes], Change]] = {1: _decode}
