"""What a worker reads off once a second: circuits, memory, the journal's books, its own process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields

from quorate.serving.entry import JournalCounters
from quorate.serving.journal import Journal
from quorate.serving.pool import LoadedPool
from quorate.serving.units import HostUnit
from quorate.telemetry.counters import Counter, Counters, Gauge
from quorate.telemetry.process import ProcessMeter, cpu_seconds, resident_bytes

_JOURNAL = {"appended": "records", "written_bytes": "bytes"}
"""Journal counts whose metric is called otherwise than the count."""

Key = tuple[str, tuple[tuple[str, str], ...]]
"""A metric, and the labels of a series of it."""


class Gauges:
    """Readings of one worker; what is unloaded is not shown any more."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self.process = ProcessMeter(counters)
        self._shown: dict[Key, Gauge] = {}
        self._restarts: dict[str, int] = {}
        self._spent: dict[int, float] = {}
        self._books: dict[str, tuple[Counter, float]] = {
            field.name: (counters.counter(f"quorate_journal_{_JOURNAL.get(field.name, field.name)}_total"), 0.0)
            for field in fields(JournalCounters)
        }
        self._pending = counters.gauge("quorate_journal_pending_bytes")
        self._lag = counters.gauge("quorate_journal_lag_seconds")
        self.lag = counters.histogram("quorate_event_loop_lag_seconds")

    def observe(self, pools: Iterable[LoadedPool], journal: Journal) -> None:
        """Take all readings; microseconds a member."""
        readings: dict[Key, float] = {}
        spent: dict[int, float] = {}
        for pool in pools:
            of_pool = (("pool", pool.route.name),)
            readings["quorate_pool_resident", of_pool] = float(pool.resident)
            if not pool.resident:
                continue
            readings["quorate_pool_threads", of_pool] = pool.threads
            readings["quorate_pool_lanes", of_pool] = pool.lanes
            for threads, ms in pool.tried.items():
                readings["quorate_pool_tried_seconds", (*of_pool, ("threads", str(threads)))] = ms / 1000
            if pool.load_s is not None:
                readings["quorate_pool_load_seconds", of_pool] = pool.load_s
            if pool.memory is not None:
                readings["quorate_pool_memory_bytes", of_pool] = pool.memory
            for member in pool.members:
                of_member = (("member", member.name),)
                readings["quorate_circuit_state", of_member] = float(member.breaker.state)
                readings["quorate_model_weights_bytes", of_member] = member.weights
                if isinstance(member.unit, HostUnit):
                    hosts = [replica.host for replica in member.unit.replicas.all]
                    self._restarted(member.name, sum(host.restarts for host in hosts))
                    self._worked(member.name, [host.pid for host in hosts if host.pid is not None], spent)
                    sizes = [resident_bytes(host.pid) for host in hosts if host.pid is not None]
                    if any(size is not None for size in sizes):
                        readings["quorate_host_resident_memory_bytes", of_member] = sum(size or 0 for size in sizes)
        self._spent = spent
        self._show(readings)
        self._pending.set(journal.pending_bytes)
        self._lag.set(journal.lag)
        for name, (counter, before) in self._books.items():
            now = getattr(journal.counters, name)
            counter.add(now - before)
            self._books[name] = (counter, now)
        self.process.observe()

    def _show(self, readings: Mapping[Key, float]) -> None:
        for key, value in readings.items():
            gauge = self._shown.get(key)
            if gauge is None:
                name, labels = key
                gauge = self._shown[key] = self._counters.gauge(name, **dict(labels))
            gauge.set(value)
        for key in self._shown.keys() - readings.keys():
            self._shown.pop(key).clear()

    def _worked(self, member: str, pids: Iterable[int], spent: dict[int, float]) -> None:
        """Count what a member's own processes worked since the last time; what a dead one did after it is lost."""
        for pid in pids:
            seconds = cpu_seconds(pid)
            if seconds is not None:
                spent[pid] = seconds
                before = self._spent.get(pid, 0.0)
                fresh = seconds - before if seconds >= before else seconds  # another process of the same number
                self._counters.counter("quorate_host_cpu_seconds_total", member=member).add(fresh)

    def _restarted(self, member: str, restarts: int) -> None:
        fresh = restarts - self._restarts.get(member, 0)
        self._restarts[member] = restarts
        if fresh > 0:
            self._counters.counter("quorate_host_restarts_total", member=member).add(fresh)
