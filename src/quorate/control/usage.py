"""Sampling of what serving uses: once a minute, from the telemetry files, into the store.

Counters are cumulative, so a sample is the difference to the one before. A counter that is lower than before began anew
(its file was deleted), and then counts from 0. What was used while nobody sampled is not known: ``seconds`` says how
much of a minute is covered, and whoever reads the history divides by it. Durations are of the monotonic clock; the wall
clock only says which minute is meant, so when it jumps back, a minute has two parts, which add up.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from quorate.clock import Clock
from quorate.control.alone import keep_doing
from quorate.control.switching.recording import Recorder
from quorate.errors import StoreError
from quorate.home import Home
from quorate.store import usage
from quorate.store.database import Database
from quorate.store.usage import CONTROL, ENDPOINT, HOST, MEMBER, POOL, WORKER, UsageKey, Used
from quorate.telemetry.counters import SUFFIX, Series, read
from quorate.telemetry.metrics import METRICS, OTHER

log = logging.getLogger("quorate.control")

KEEP_DAYS = 35
"""Days that the history of usage is kept: a month, and what it is compared with."""
EVERY_S = 60.0
_LOOK_S = 1.0
_DAY = 24 * 60

Whose = tuple[str, str]
"""Kind and name."""
Totals = dict[tuple[str, str, str, str], float]
"""Cumulative readings by file, kind, name and column of :class:`~quorate.store.usage.Used`."""


def sample_usage(home: Home, database: Database, clock: Clock, stop: threading.Event) -> None:
    """Keep the history of usage, and record switches, until ``stop``, while this process is the one that does."""
    sampler, recorder = Sampler(home.telemetry, database, clock), Recorder(database, clock)
    tasks = {"Usage cannot be sampled": sampler.look, "Switches cannot be recorded": recorder.look}
    keep_doing(home, "usage", tasks, stop, every_s=_LOOK_S)


class Sampler:
    """Writes a row for everything that used something, whenever a minute has passed."""

    def __init__(self, folder: Path, database: Database, clock: Clock) -> None:
        self._folder = folder
        self._database = database
        self._clock = clock
        self._before: tuple[float, int, Totals] | None = None
        self._unread: set[str] = set()
        """Files that could not be read yet: their first reading says nothing about the time before it."""
        self._pruned: int | None = None

    def look(self) -> bool:
        """Sample if the minute is another one than at the last time, or lasts too long; True if a row was written."""
        now, wall = self._clock.monotonic(), int(self._clock.now() // 60)
        if self._before is not None and wall == self._before[1] and now - self._before[0] < EVERY_S:
            return False
        return self.sample()

    def sample(self) -> bool:
        """Write what was used since the last time; the first time there is nothing to compare with."""
        now, wall = self._clock.monotonic(), self._clock.now()
        totals, levels, unread = _read(self._folder)
        if self._before is not None:
            known = self._before[2]
            totals |= {key: value for key, value in known.items() if key[0] in unread}
            known |= {key: value for key, value in totals.items() if key[0] in self._unread - unread}
        self._unread = unread - {key[0] for key in totals}
        before, self._before = self._before, (now, int(wall // 60), totals)
        if before is None or now <= before[0]:
            return False
        seconds = now - before[0]
        minute = int((wall - seconds / 2) // 60)
        used = _used(before[2], totals, levels, seconds)
        try:
            with self._database.begin() as connection:
                usage.add(connection, {UsageKey(minute, *whose): each for whose, each in used.items()})
                if self._pruned != minute // _DAY:
                    usage.prune(connection, minute - KEEP_DAYS * _DAY)
                    self._pruned = minute // _DAY
        except StoreError:
            self._before = before  # the next time counts it as well
            raise
        return True


def _used(before: Totals, now: Totals, levels: Mapping[Whose, float], seconds: float) -> dict[Whose, Used]:
    """What was used between two readings; ``levels`` are the bytes of memory at the end."""
    sums: dict[Whose, dict[str, float]] = defaultdict(dict)
    for key, value in now.items():
        was = before.get(key, 0.0)
        _, kind, name, column = key
        mine = sums[kind, name]
        mine[column] = mine.get(column, 0.0) + (value - was if value >= was else value)
    for whose, level in levels.items():
        sums[whose]["byte_s"] = level * seconds
    # A member or pool that is known and did nothing needs no row; processes always have one.
    return {
        whose: Used(seconds=seconds, **mine)
        for whose, mine in sums.items()
        if whose[0] in (WORKER, CONTROL) or any(mine.values())
    }


def _read(folder: Path) -> tuple[Totals, dict[Whose, float], set[str]]:
    """Cumulative readings, bytes of memory held now, and the files that cannot be read."""
    totals: Totals = {}
    unread: set[str] = set()
    levels: dict[Whose, float] = defaultdict(float)
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            series, alive = read(path)
        except (StoreError, OSError):
            unread.add(path.name.removesuffix(SUFFIX))
            continue
        _take(totals, levels, path.name.removesuffix(SUFFIX), series, alive=alive)
    return totals, levels, unread


_SUMS = {
    "quorate_host_cpu_seconds_total": (HOST, "member", "cpu_s"),
    "quorate_requests_total": (ENDPOINT, "endpoint", "requests"),
}
_TIMES = {
    "quorate_run_duration_seconds": (POOL, "pool"),
    "quorate_member_duration_seconds": (MEMBER, "member"),
}
_LEVELS = {
    "quorate_host_resident_memory_bytes": (HOST, "member"),
    "quorate_pool_memory_bytes": (POOL, "pool"),
}


def _take(totals: Totals, levels: dict[Whose, float], file: str, series: Iterable[Series], *, alive: bool) -> None:
    process = WORKER if file.startswith("worker-") else CONTROL

    def add(kind: str, name: str, column: str, value: float) -> None:
        key = (file, kind, name, column)
        totals[key] = totals.get(key, 0.0) + value

    for metric, labels, cells in series:
        if OTHER in labels.values():
            continue
        if metric == "quorate_process_cpu_seconds_total":
            add(process, file, "cpu_s", cells[0])
        elif metric == "quorate_process_resident_memory_bytes":
            if alive:
                levels[process, file] += cells[0]
        elif metric in _SUMS:
            kind, label, column = _SUMS[metric]
            add(kind, labels[label], column, cells[0])
        elif metric in _TIMES:
            kind, label = _TIMES[metric]
            add(kind, labels[label], "run_s", cells[0] / METRICS[metric].scale.per_unit)
            add(kind, labels[label], "runs", sum(cells[1:]))
        elif metric == "quorate_batch_requests":
            add(POOL, labels["pool"], "requests", cells[0])
        elif metric in _LEVELS and alive:
            kind, label = _LEVELS[metric]
            levels[kind, labels[label]] += cells[0]
