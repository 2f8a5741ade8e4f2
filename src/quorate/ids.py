"""Decision ids: time-ordered UUIDs (version 7 layout, RFC 9562) that say where the decision's body lies.

Layout, most significant bit first::

    48 bits  milliseconds since the Unix epoch, never going backward within a slot
     4 bits  version (7)
    12 bits  slot
     2 bits  variant (0b10)
    22 bits  boot: how many times this slot has been started
    40 bits  sequence: 0, 1, 2 … within the boot, in journal order

``(slot, boot, sequence)`` names one journal record, so a look-up needs no index. Ids of one slot sort
by time; ids of different slots must not be ordered by id alone.
"""

from __future__ import annotations

import uuid
from typing import NamedTuple

from quorate.clock import Clock
from quorate.errors import InvalidInput

MAX_SLOT = (1 << 12) - 1
MAX_BOOT = (1 << 22) - 1
MAX_SEQUENCE = (1 << 40) - 1
_VERSION = 7 << 76
_VARIANT = 0b10 << 62


class DecisionId(NamedTuple):
    """The parts of an id.

    >>> DecisionId.parse(str(DecisionId(1_700_000_000_000, 3, 1, 42))).sequence
    42
    """

    milliseconds: int
    slot: int
    boot: int
    sequence: int

    def __str__(self) -> str:
        value = self.milliseconds << 80 | _VERSION | self.slot << 64 | _VARIANT | self.boot << 40 | self.sequence
        text = f"{value:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    @classmethod
    def parse(cls, text: str, *, path: str = "id") -> DecisionId:
        """Read an id back; :class:`InvalidInput` if it is not one of ours."""
        try:
            value = uuid.UUID(text).int
        except (ValueError, AttributeError, TypeError):
            value = 0
        if value >> 76 & 0xF != 7 or value >> 62 & 0b11 != 0b10:
            raise InvalidInput(
                f"'{str(text)[:64]}' is not a decision id; expected the 'id' of an answer, a version 7 UUID.", path=path
            )
        return cls(value >> 80, value >> 64 & MAX_SLOT, value >> 40 & MAX_BOOT, value & MAX_SEQUENCE)


class IdSource:
    """Makes the ids of one slot and boot; not thread-safe (one event loop owns it)."""

    __slots__ = ("_clock", "_last", "_next", "boot", "slot")

    def __init__(self, slot: int, boot: int, clock: Clock) -> None:
        if not 0 <= slot <= MAX_SLOT or not 0 <= boot <= MAX_BOOT:
            raise ValueError(f"slot must be in 0..{MAX_SLOT} and boot in 0..{MAX_BOOT}; got {slot} and {boot}.")
        self.slot = slot
        self.boot = boot
        self._clock = clock
        self._next = 0
        self._last = 0

    @property
    def last(self) -> int:
        """Sequence of the id taken last; -1 before the first."""
        return self._next - 1

    def take(self) -> DecisionId:
        """The next id; its time never goes backward, even when the wall clock does."""
        self._last = max(self._last, int(self._clock.now() * 1000))
        sequence = self._next
        self._next += 1
        return DecisionId(self._last, self.slot, self.boot, sequence)

    def skip(self, count: int) -> None:
        """Use up ``count`` sequences for records that are no decisions."""
        self._next += count

    def take_many(self, count: int) -> list[str]:
        """The next ``count`` ids as text, all of the same millisecond; what :meth:`take` would give, for less.

        >>> from quorate.clock import SystemClock
        >>> IdSource(3, 1, SystemClock()).take_many(2)[1][-12:]
        '010000000001'
        """
        if count < 1:
            return []
        start = str(self.take())[:-10]  # the sequence is the last ten hexadecimal digits
        first = self._next - 1
        self._next = first + count
        return [f"{start}{sequence:010x}" for sequence in range(first, self._next)]
