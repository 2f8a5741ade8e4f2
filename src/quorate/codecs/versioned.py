"""Records that begin with a byte for the version they were written in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec

from quorate.errors import JournalError

T = TypeVar("T")


def read(what: str, data: bytes, readers: Mapping[int, Callable[[bytes], T]]) -> T:
    """The record in ``data`` by the reader of its version, which gets the bytes after that.

    :class:`JournalError`, calling it ``what``, if no reader is for its version, or it is broken.
    """
    reader = readers.get(data[0] if data else -1)
    if reader is None:
        raise JournalError(
            f"{what} has version {data[0] if data else 'none'}; this release reads {sorted(readers)}. Upgrade Quorate."
        )
    try:
        return reader(data[1:])
    except (msgspec.MsgspecError, ValueError) as error:
        raise JournalError(f"{what} cannot be read: {error}.") from error
