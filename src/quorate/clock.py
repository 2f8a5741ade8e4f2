"""Injected time: nothing below the composition root reads the wall clock itself."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Two readings, both in seconds."""

    def now(self) -> float:
        """Unix time; may jump when an operator or NTP sets the clock."""

    def monotonic(self) -> float:
        """Time that never goes backward; the only one durations and deadlines are measured with."""


class SystemClock:
    """The machine's clock."""

    __slots__ = ()

    now = staticmethod(time.time)
    monotonic = staticmethod(time.perf_counter)
