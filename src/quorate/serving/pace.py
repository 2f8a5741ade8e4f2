"""How long the event loop takes for a request, all its work together: what those that wait for it have to expect."""

from __future__ import annotations

_ENOUGH = 20
_RECENT = 0.3


class Pace:
    """``ms`` is the processor time of the loop's thread per request, 0 until enough is known.

    Parsing, deciding and sending take longer than a small model does, so the line in front of the model alone does not
    tell how long a request will wait.
    """

    __slots__ = ("_cpu", "_requests", "ms")

    def __init__(self) -> None:
        self.ms = 0.0
        self._cpu = 0.0
        self._requests = 0

    def observe(self, cpu: float, requests: int) -> None:
        """Take both readings since the start: processor seconds of the thread, and requests that came."""
        fresh = requests - self._requests
        if fresh < _ENOUGH:
            return
        taken = (cpu - self._cpu) * 1000 / fresh
        self.ms += (_RECENT if self._requests else 1.0) * (taken - self.ms)
        self._cpu, self._requests = cpu, requests
