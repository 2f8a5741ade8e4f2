"""Changes that a worker was asked for, as bytes: a version byte, then a positional MessagePack array.

A worker has no store. It writes what it was asked to change, by whom and when, to its journal, and control, which reads
that, adds it to the audit trail.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from quorate.errors import JournalError

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
    read = _READERS.get(data[0] if data else -1)
    if read is None:
        raise JournalError(
            f"A change record has version {data[0] if data else 'none'}; this release reads {sorted(_READERS)}. "
            "Upgrade Quorate."
        )
    try:
        return read(memoryview(data)[1:])
    except msgspec.MsgspecError as error:
        raise JournalError(f"A change record cannot be read: {error}.") from error


_READERS: dict[int, Callable[[memoryview], Change]] = {1: _decode}
