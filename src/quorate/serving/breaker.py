"""Circuit breaker of one member: after repeated faults it is left alone, then probed, then trusted again.

The probe is never a caller's request: whoever owns the member runs a held-out row in the background when
:meth:`Breaker.probe_due` says so. (Nygard, *Release It!*, 2007.)
"""

from __future__ import annotations

from enum import IntEnum

from quorate.clock import Clock


class Circuit(IntEnum):
    """Closed lets requests through; open does not; half-open waits for a probe's verdict."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Breaker:
    """Opens after ``threshold`` consecutive faults; the pause doubles with every failed probe, up to ``max_pause`` s.

    A circuit that opens again within ``max_pause`` of closing keeps its longer pause, so a member that passes probes
    but fails on real rows does not flap.
    """

    __slots__ = ("_clock", "_closed_at", "_faults", "_opened_at", "_pause", "max_pause", "pause", "state", "threshold")

    def __init__(self, clock: Clock, *, threshold: int = 5, pause: float = 1.0, max_pause: float = 30.0) -> None:
        self._clock = clock
        self.threshold = threshold
        self.pause = pause
        self.max_pause = max_pause
        self.state = Circuit.CLOSED
        self._faults = 0
        self._pause = pause
        self._opened_at = 0.0
        self._closed_at = float("-inf")

    def success(self) -> None:
        """One good run on a caller's request."""
        if self._faults:
            self._faults = 0

    def fault(self) -> bool:
        """One fault; True if it opened the circuit."""
        self._faults += 1
        return self._faults >= self.threshold and self.trip()

    def trip(self) -> bool:
        """Open a closed circuit at once (the member's process died or was killed); True if it was closed."""
        if self.state is not Circuit.CLOSED:
            return False
        now = self._clock.monotonic()
        relapse = now - self._closed_at < self.max_pause
        self._pause = min(self._pause * 2, self.max_pause) if relapse else self.pause
        self._open(now)
        return True

    def probe_due(self) -> bool:
        """True once per pause of an open circuit; the caller then owes :meth:`probed`."""
        if self.state is not Circuit.OPEN or self._clock.monotonic() - self._opened_at < self._pause:
            return False
        self.state = Circuit.HALF_OPEN
        return True

    def probed(self, ok: bool) -> None:
        """The verdict of the probe."""
        now = self._clock.monotonic()
        if ok:
            self.state = Circuit.CLOSED
            self._faults = 0
            self._closed_at = now
        else:
            self._pause = min(self._pause * 2, self.max_pause)
            self._open(now)

    def _open(self, now: float) -> None:
        self.state = Circuit.OPEN
        self._opened_at = now
