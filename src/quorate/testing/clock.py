"""Time under a test's control."""

from __future__ import annotations


class FakeClock:
    """A :class:`~quorate.clock.Clock` that moves only when told to; both readings are in seconds.

    >>> clock = FakeClock(now=1000.0)
    >>> clock.advance(2.5)
    >>> clock.now(), clock.monotonic()
    (1002.5, 2.5)
    """

    def __init__(self, now: float = 1_700_000_000.0, monotonic: float = 0.0) -> None:
        self._now = now
        self._monotonic = monotonic

    def now(self) -> float:
        """Unix time."""
        return self._now

    def monotonic(self) -> float:
        """Time that never goes backward."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass, on both readings; :class:`ValueError` if ``seconds`` is negative."""
        self.set_monotonic(self._monotonic + seconds)
        self._now += seconds

    def set_now(self, now: float) -> None:
        """Set the wall clock, as an operator or NTP does: also backward, and the monotonic reading stays."""
        self._now = now

    def set_monotonic(self, monotonic: float) -> None:
        """Set the monotonic reading; :class:`ValueError` if that would be backward."""
        if monotonic < self._monotonic:
            raise ValueError(f"monotonic time never goes backward; it is {self._monotonic}, got {monotonic}.")
        self._monotonic = monotonic
