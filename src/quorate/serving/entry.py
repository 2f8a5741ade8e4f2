"""Records that are on their way to the disk, who waits for them, and how many came to what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from quorate.codecs.journal import frame


@dataclass(slots=True)
class JournalCounters:
    """What became of records: ``dropped`` were answered and are lost, ``late`` were answered before they were
    written (a stall; those lost after all count as ``dropped`` too), ``shed`` were refused or failed with
    :class:`Overloaded`."""

    appended: int = 0
    written_bytes: int = 0
    batches: int = 0
    dropped: int = 0
    late: int = 0
    shed: int = 0
    stalls: int = 0
    errors: int = 0


class Kept(Protocol):
    """Whoever waits for records to be kept; a future is one. It must not raise."""

    def done(self) -> bool:
        """Whether nobody waits any more."""

    def set_result(self, kept: int, /) -> None:
        """How many of the records, from the first on, may be answered."""

    def set_exception(self, error: Exception, /) -> None:
        """The one record was shed."""


class Entry:
    """Records that were appended together; ``promise`` is None when nobody waits for them.

    That of ``many`` is told the number of the first records that are kept; the other kind is a future of one record:
    it fails when that is shed, and tells whether it is kept.
    """

    __slots__ = ("first", "framed", "kind", "many", "on_full", "payloads", "promise", "size")

    def __init__(
        self,
        kind: int,
        first: int,
        payloads: Sequence[bytes],
        size: int,
        promise: Kept | None,
        on_full: str,
        many: bool = False,
    ) -> None:
        self.kind = kind
        self.first = first
        self.payloads = payloads
        self.size = size  # bytes in the segment
        self.promise = promise
        self.on_full = on_full
        self.many = many
        self.framed: bytes | None = None  # as the ring holds them

    def frame(self, salt: int) -> bytes:
        """The records as a segment holds them."""
        parts: list[bytes] = []
        frame(self.kind, self.first, self.payloads, salt, parts)
        return b"".join(parts)

    def after(self, kept: int, salt: int) -> None:
        """Of records in the ring the first ``kept`` are on the disk."""
        if kept:
            self.first += kept
            self.payloads = self.payloads[kept:]
            self.framed = self.frame(salt)
            self.size = len(self.framed)

    def done(self) -> None:
        """All its records are kept, or their answers may go anyway."""
        promise = self.promise
        if promise is not None and not promise.done():
            promise.set_result(len(self.payloads) if self.many else True)
