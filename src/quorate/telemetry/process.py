"""What the system says of this process: processor time, memory, open files, garbage collections."""

from __future__ import annotations

import gc
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from quorate.telemetry.counters import Counters, Histogram
from quorate.telemetry.logs import lost_lines

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int | None = None) -> int | None:
    """Resident memory of a process of ours (this one by default); None where the system does not tell.

    Without ``/proc`` (macOS) it is this process's peak so far, and None for others.
    """
    try:
        with open(f"/proc/{pid or 'self'}/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE
    except OSError:
        if pid is not None:
            return None
        unit = 1 if sys.platform == "darwin" else 1024  # of the peak: macOS says bytes, others kibibytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def cpu_seconds(pid: int) -> float | None:
    """Processor time of a process of ours, all its threads; None where the system does not tell."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()  # the name before may hold blanks
        return (int(fields[11]) + int(fields[12])) / _TICKS
    except (OSError, IndexError, ValueError):
        return None


def open_descriptors() -> int | None:
    """Open files, sockets and pipes of this process; None where the system does not tell."""
    try:
        known = Path("/proc/self/fd").stat().st_size  # the count itself since Linux 6.2, 0 before
        return known or len(os.listdir("/dev/fd")) - 1  # noqa: PTH208 - names are enough; one is the listing itself
    except OSError:
        return None


class ProcessMeter:
    """Keeps the metrics of one process; garbage collections are timed once :meth:`time_collections` was called."""

    def __init__(self, counters: Counters, *, now: Callable[[], float] = time.perf_counter) -> None:
        self._cpu = counters.counter("quorate_process_cpu_seconds_total")
        self._spent = 0.0
        self._memory = counters.gauge("quorate_process_resident_memory_bytes")
        self._descriptors = counters.gauge("quorate_process_open_fds")
        self._lines = counters.counter("quorate_log_lines_lost_total")
        self._lost = 0
        self._pauses = _Pauses(counters.histogram("quorate_gc_pause_seconds"), now)

    def time_collections(self) -> None:
        """From now on, time every garbage collection (under 1 µs each)."""
        if self._pauses not in gc.callbacks:
            gc.callbacks.append(self._pauses)

    def observe(self) -> None:
        """Take the readings; about 30 µs, more with thousands of open files on old systems."""
        spent = time.process_time()
        self._cpu.add(spent - self._spent)
        self._spent = spent
        lost = lost_lines()
        self._lines.add(lost - self._lost)
        self._lost = lost
        for gauge, value in ((self._memory, resident_bytes()), (self._descriptors, open_descriptors())):
            if value is None:
                gauge.clear()
            else:
                gauge.set(value)

    def close(self) -> None:
        """Stop timing garbage collections; the counters may be closed then."""
        if self._pauses in gc.callbacks:
            gc.callbacks.remove(self._pauses)


class _Pauses:
    """Called by the interpreter before and after each collection, in whichever thread; never by two at once."""

    def __init__(self, histogram: Histogram, now: Callable[[], float]) -> None:
        self._histogram = histogram
        self._now = now
        self._started: float | None = None

    def __call__(self, phase: str, info: dict[str, Any]) -> None:
        if phase == "start":
            self._started = self._now()
        elif self._started is not None:
            self._histogram.observe((self._now() - self._started) * 1000)
            self._started = None
