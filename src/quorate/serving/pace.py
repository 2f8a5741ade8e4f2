"""How long the event loop takes for a request, all its work together: what those that wait for it have to expect."""

from __future__ import annotations

from quorate.clock import Clock

_ENOUGH = 20
_RECENT = 0.3
_AT_MOST = 3.0
"""Times what was known: one reading that is far off (configuration was read meanwhile) does not shed requests."""
REFUSING = 0.05
"""The share of the loop's time that may go into refusing what it could not answer in time."""
REFUSAL_MS = 0.05
"""About what a refusal takes, from reading the request to sending the reply."""
_BURST_MS = 5.0


class Pace:
    """``ms`` is the processor time of the loop's thread per request, 0 until enough is known.

    Parsing, deciding and sending take longer than a small model does, so the line in front of the model alone does not
    tell how long a request will wait. Then refusing one takes more than a third of what answering one takes: a server
    that refuses all it can would answer none. So where the loop itself is what everybody waits for, :meth:`refuse`
    grants few refusals, and the others wait unread.
    """

    __slots__ = ("_at", "_clock", "_cpu", "_left_ms", "_requests", "_seen", "ms")

    def __init__(self, clock: Clock) -> None:
        self.ms = 0.0
        self._clock = clock
        self._cpu = 0.0
        self._requests = self._seen = 0
        self._left_ms = _BURST_MS
        self._at = clock.monotonic()

    def observe(self, cpu: float, requests: int) -> None:
        """Take both readings since the start: processor seconds of the thread, and requests that came.

        It is to be called often: what the thread did between two calls in which no request came, as at its start,
        was not done for requests.
        """
        seen, self._seen = self._seen, requests
        fresh = requests - self._requests
        if requests != seen and fresh < _ENOUGH:
            return
        if requests != seen:
            taken = (cpu - self._cpu) * 1000 / fresh
            self.ms += _RECENT * (min(taken, _AT_MOST * self.ms) - self.ms) if self.ms else taken
        self._cpu, self._requests = cpu, requests

    def refuse(self) -> bool:
        """Whether there is time for one refusal more."""
        now = self._clock.monotonic()
        self._left_ms = min(_BURST_MS, self._left_ms + REFUSING * 1000 * (now - self._at))
        self._at = now
        if self._left_ms < REFUSAL_MS:
            return False
        self._left_ms -= REFUSAL_MS
        return True
