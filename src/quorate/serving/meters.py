"""What a worker counts: handles resolved once per label set, then a few additions per request."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from quorate.core.types import Decision, Status
from quorate.serving.journal import Journal
from quorate.serving.pool import LoadedPool
from quorate.serving.units import HostUnit
from quorate.telemetry.counters import Counter, Counters, Histogram

_NOBODY = "-"
"""Label of a request that was refused before an endpoint or strategy was known."""


class Meters:
    """The metrics of one worker; used from its event loop only."""

    def __init__(self, counters: Counters) -> None:
        self._counters = self.counters = counters
        self._requests: dict[tuple[str, str, str], Counter] = {}
        self._duration: dict[str, Histogram] = {}
        self._member_duration: dict[str, Histogram] = {}
        self._flaws: dict[str, tuple[Counter, Counter]] = {}
        self._restarts: dict[str, int] = {}
        self.in_flight = counters.gauge("quorate_in_flight")
        self.ready = counters.gauge("quorate_ready")
        self.snapshot = counters.gauge("quorate_snapshot_version")
        self._pending = counters.gauge("quorate_journal_pending_bytes")
        self._lag = counters.gauge("quorate_journal_lag_seconds")

    def _request(self, endpoint: str, strategy: str, status: str) -> None:
        key = (endpoint, strategy, status)
        found = self._requests.get(key)
        if found is None:
            found = self._requests[key] = self._counters.counter(
                "quorate_requests_total", endpoint=endpoint, strategy=strategy, status=status
            )
        found.add()

    def decided(self, decision: Decision) -> None:
        """Count one decision: its request, duration, members, and whether it was degraded or fell back."""
        endpoint = decision.endpoint
        self._request(endpoint, decision.served or _NOBODY, "2xx" if decision.error is None else "5xx")
        duration = self._duration.get(endpoint)
        if duration is None:
            duration = self._duration[endpoint] = self._counters.histogram(
                "quorate_request_duration_seconds", endpoint=endpoint
            )
        duration.observe(decision.latency_ms)
        for run in decision.members:
            if run.latency_ms is None or run.status is Status.SKIPPED:
                continue
            member = self._member_duration.get(run.name)
            if member is None:
                member = self._member_duration[run.name] = self._counters.histogram(
                    "quorate_member_duration_seconds", member=run.name
                )
            member.observe(run.latency_ms)
        flaws = self._flaws.get(endpoint)
        if flaws is None:
            flaws = self._flaws[endpoint] = (
                self._counters.counter("quorate_degraded_total", endpoint=endpoint),
                self._counters.counter("quorate_fallbacks_total", endpoint=endpoint),
            )
        # Nothing is added, rather than not counted: a blind answer must not take longer where it is degraded.
        flaws[0].add(decision.degraded)
        flaws[1].add(decision.served is not None and decision.served != decision.assigned)

    def refused(self, status: int) -> None:
        """Count a request that got an error instead of a decision."""
        self._request(_NOBODY, _NOBODY, f"{status // 100}xx")

    def shed(self, endpoint: str) -> None:
        """Count a request refused because its decision could not be kept."""
        self._counters.counter("quorate_shed_total", endpoint=endpoint).add()

    def dropped(self, endpoint: str) -> None:
        """Count an answer whose decision was not kept."""
        self._counters.counter("quorate_decisions_dropped_total", endpoint=endpoint).add()

    def outcomes(self, result: str, count: int) -> None:
        """Count outcomes by what became of them."""
        if count:
            self._counters.counter("quorate_outcomes_total", result=result).add(count)

    def member_fault(self, pool: str) -> Callable[[str, str], None]:
        """The counter of member faults, by member and error code."""

        def count(member: str, reason: str) -> None:
            self._counters.counter("quorate_member_faults_total", member=member, reason=reason).add()

        return count

    def graph_fault(self, pool: str) -> Callable[[], None]:
        """The counter of a pool's graph failures."""
        return lambda: self._counters.counter("quorate_graph_fallbacks_total", pool=pool).add()

    def observe(self, pools: Iterable[LoadedPool], journal: Journal) -> None:
        """Refresh the gauges; called about once a second."""
        for pool in pools:
            for member in pool.members:
                state = self._counters.gauge("quorate_circuit_state", member=member.name)
                state.set(float(member.breaker.state))
                if isinstance(member.unit, HostUnit):
                    self._restarted(member.name, member.unit.host.restarts)
        self._pending.set(journal.pending_bytes)
        self._lag.set(journal.lag)

    def _restarted(self, member: str, restarts: int) -> None:
        fresh = restarts - self._restarts.get(member, 0)
        self._restarts[member] = restarts
        if fresh > 0:
            self._counters.counter("quorate_host_restarts_total", member=member).add(fresh)
