"""What a worker counts: handles resolved once per label set, then a few additions per request."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from quorate.core.plan.stages import reached
from quorate.core.types import BoolArray, Decision, MemberRun, Status
from quorate.serving.capture import CaptureDesk
from quorate.serving.endpoint import LoadedEndpoint
from quorate.serving.gauges import Gauges
from quorate.serving.journal import Journal
from quorate.serving.pool import LoadedPool
from quorate.serving.strategy import LoadedStrategy
from quorate.telemetry.counters import Counter, Counters, Histogram
from quorate.telemetry.metrics import BOUNDS_MS

_NOBODY = "-"
"""Label of a request that was refused before an endpoint or strategy was known."""
_SKIPPED = Status.SKIPPED


class _Endpoint:
    """First cells of an endpoint's series; ``served`` is the cell of its answers by strategy."""

    __slots__ = ("degraded", "duration", "fallbacks", "queue", "served")

    def __init__(self, counters: Counters, name: str) -> None:
        self.served: dict[str | None, int] = {}
        self.duration = counters.histogram("quorate_request_duration_seconds", endpoint=name).at
        self.queue = counters.histogram("quorate_queue_duration_seconds", endpoint=name).at
        self.degraded = counters.counter("quorate_degraded_total", endpoint=name).at
        self.fallbacks = counters.counter("quorate_fallbacks_total", endpoint=name).at


class Meters:
    """The metrics of one worker; used from its event loop only.

    ``connections`` are the open ones: the server adds 1 and -1, or sets it.
    """

    def __init__(self, counters: Counters) -> None:
        self._counters = self.counters = counters
        self._cells = counters.cells
        self._gauges = Gauges(counters)
        self._endpoints: dict[str, _Endpoint] = {}
        self._members: dict[str, int] = {}
        self._handles: dict[tuple[str, ...], Counter] = {}
        self._staged: dict[tuple[str, str, int], tuple[Counter, list[Counter]]] = {}
        self._runs: dict[str, tuple[Histogram, Histogram, Histogram]] = {}
        self.in_flight = counters.gauge("quorate_in_flight")
        self.connections = counters.gauge("quorate_connections")
        self.ready = counters.gauge("quorate_ready")
        self.snapshot = counters.gauge("quorate_snapshot_version")
        self.received: Callable[[float], None] = counters.counter("quorate_received_bytes_total").add
        """Count bytes that came in on the inference port."""
        self.sent: Callable[[float], None] = counters.counter("quorate_sent_bytes_total").add
        """Count bytes that went out on the inference port."""

    # --- requests ---

    def decided_many(self, decisions: Iterable[Decision]) -> None:
        """Count decisions; neighbours with the very same ``members`` (one batch's) count them in one go."""
        members: Sequence[MemberRun] = ()
        times = 0
        for decision in decisions:
            self._answered(decision)
            if decision.members is members:
                times += 1
                continue
            if times:
                self._ran(members, times)
            members, times = decision.members, 1
        if times:
            self._ran(members, times)

    def _answered(self, decision: Decision) -> None:
        endpoint = self._endpoints.get(decision.endpoint)
        if endpoint is None:
            endpoint = self._endpoints[decision.endpoint] = _Endpoint(self._counters, decision.endpoint)
        served = decision.served
        cells = self._cells
        if decision.error is None and served in endpoint.served:
            cells[endpoint.served[served]] += 1.0
        else:
            self._first(endpoint, decision)
        at, value = endpoint.duration, decision.latency_ms
        cells[at + 1 + bisect_left(BOUNDS_MS, value)] += 1.0
        cells[at] += value
        at, value = endpoint.queue, decision.queue_ms
        cells[at + 1 + bisect_left(BOUNDS_MS, value)] += 1.0
        cells[at] += value
        # Nothing is added, rather than not counted: a blind answer must not take longer where it is degraded.
        cells[endpoint.degraded] += decision.degraded
        cells[endpoint.fallbacks] += served is not None and served != decision.assigned
        if decision.abstained:
            rows = len(decision.withheld) or decision.rows
            self._counter("quorate_abstained_total", endpoint=decision.endpoint, strategy=served or _NOBODY).add(rows)

    def _first(self, endpoint: _Endpoint, decision: Decision) -> None:
        """The first answer of a strategy, and every error."""
        status = "2xx" if decision.error is None else "5xx"
        counter = self._request(decision.endpoint, decision.served or _NOBODY, status)
        counter.add()
        if decision.error is None:
            endpoint.served[decision.served] = counter.at

    def _ran(self, members: Sequence[MemberRun], times: float) -> None:
        """Count member runs, each ``times`` times. Members of one graph share one latency: it is looked up once."""
        cells, known = self._cells, self._members
        last, bucket, total = None, 0, 0.0
        for run in members:
            ms = run.latency_ms
            if ms is None or run.status is _SKIPPED:
                continue
            if ms is not last:
                last, bucket, total = ms, 1 + bisect_left(BOUNDS_MS, ms), ms * times
            try:
                at = known[run.name]
            except KeyError:
                at = known[run.name] = self._counters.histogram("quorate_member_duration_seconds", member=run.name).at
            cells[at + bucket] += times
            cells[at] += total

    def _request(self, endpoint: str, strategy: str, status: str) -> Counter:
        return self._counter("quorate_requests_total", endpoint=endpoint, strategy=strategy, status=status)

    def _counter(self, name: str, /, **labels: str) -> Counter:
        key = (name, *labels.values())
        found = self._handles.get(key)
        if found is None:
            found = self._handles[key] = self._counters.counter(name, **labels)
        return found

    def refused(self, status: int) -> None:
        """Count a request that got an error instead of a decision."""
        self._request(_NOBODY, _NOBODY, f"{status // 100}xx").add()

    def shed(self, endpoint: str, reason: str) -> None:
        """Count a request refused on purpose, for want of: ``journal``, ``queue``, ``limit``, ``memory``."""
        self._counter("quorate_shed_total", endpoint=endpoint, reason=reason).add()

    def dropped(self, endpoint: str) -> None:
        """Count an answer whose decision was not kept."""
        self._counter("quorate_decisions_dropped_total", endpoint=endpoint).add()

    def staged(self, endpoint: LoadedEndpoint, strategy: LoadedStrategy, asked: BoolArray) -> None:
        """Count the rows that a plan of several stages answered, and by stage those that asked somebody of it."""
        key = endpoint.name, strategy.name, endpoint.route.revision
        found = self._staged.get(key)
        if found is None:
            labels = {"endpoint": endpoint.name, "strategy": strategy.name, "revision": str(endpoint.route.revision)}
            numbers = range(1, len(strategy.stages) + 1)
            found = self._staged[key] = (
                self._counter("quorate_staged_rows_total", **labels),
                [self._counter("quorate_stages_total", **labels, stage=str(number)) for number in numbers],
            )
        found[0].add(len(asked))
        for counter, count in zip(found[1], reached(strategy.stages, asked), strict=True):
            counter.add(count)

    def cache(self, endpoint: str, hit: bool) -> None:
        """Count a look-up in the answer cache."""
        self._counter("quorate_cache_requests_total", endpoint=endpoint, result="hit" if hit else "miss").add()

    def outcomes(self, result: str, count: int) -> None:
        """Count outcomes by what became of them."""
        if count:
            self._counter("quorate_outcomes_total", result=result).add(count)

    # --- what runs ---

    def ran(self, pool: str, requests: int, rows: int, ms: float) -> None:
        """Count one run of a graph or of a single member: the requests and rows it answered, its duration."""
        found = self._runs.get(pool)
        if found is None:
            found = self._runs[pool] = (
                self._counters.histogram("quorate_batch_requests", pool=pool),
                self._counters.histogram("quorate_batch_rows", pool=pool),
                self._counters.histogram("quorate_run_duration_seconds", pool=pool),
            )
        found[0].observe(requests)
        found[1].observe(rows)
        found[2].observe(ms)

    def combining(self, endpoint: str) -> Callable[[float], None]:
        """The counter of an endpoint's combinations: the milliseconds of each, for one answer or a batch's."""
        return self._counters.histogram("quorate_combine_duration_seconds", endpoint=endpoint).observe

    def ruling(self, endpoint: str) -> Callable[[str], None]:
        """The counter of an endpoint's rules: the number of the one that fired, or ``otherwise``."""
        return lambda rule: self._counter("quorate_rules_total", endpoint=endpoint, rule=rule).add()

    def fact_failure(self, endpoint: str) -> Callable[[], None]:
        """The counter of facts that a policy asked for and an error kept from it."""
        return lambda: self._counter("quorate_fact_failures_total", endpoint=endpoint).add()

    def sets(self, endpoint: str) -> Callable[[str, Sequence[int | None]], None]:
        """The counter of an endpoint's conformal sets: the strategy, and how many labels each row's has; None counts an
        interval."""

        def count(strategy: str, sizes: Sequence[int | None]) -> None:
            labels = {"endpoint": endpoint, "strategy": strategy}
            for size in sizes:
                kind = "interval" if size is None else ("empty", "one")[size] if size < 2 else "several"
                self._counter("quorate_conformal_rows_total", **labels, set=kind).add()
            self._counter("quorate_conformal_labels_total", **labels).add(sum(size or 0 for size in sizes))

        return count

    def fronted(self, front: str, endpoint: str) -> None:
        """Count a request that a front sent on."""
        self._counter("quorate_front_requests_total", front=front, endpoint=endpoint).add()

    def hedged(self, member: str, won: bool) -> None:
        """Count a second try of a straggling member; ``won``: it answered before the first."""
        self._counter("quorate_hedges_total", member=member, result="won" if won else "lost").add()

    def runs(self, pool: str) -> Callable[[int, int, float], None]:
        """The counter of a pool's runs: requests and rows that shared one, and its milliseconds."""
        return partial(self.ran, pool)

    def member_fault(self, pool: str) -> Callable[[str, str], None]:
        """The counter of member faults, by member and error code."""
        return lambda member, reason: self._counter("quorate_member_faults_total", member=member, reason=reason).add()

    def graph_fault(self, pool: str) -> Callable[[], None]:
        """The counter of a pool's graph failures."""
        return self._counters.counter("quorate_graph_fallbacks_total", pool=pool).add

    # --- now and then ---

    def time_collections(self) -> None:
        """From now on, time every garbage collection of this process."""
        self._gauges.process.time_collections()

    def lagged(self, ms: float) -> None:
        """Count how late the event loop woke a timer."""
        self._gauges.lag.observe(max(0.0, ms))

    def observe(self, pools: Iterable[LoadedPool], journal: Journal, captures: CaptureDesk | None = None) -> None:
        """Refresh what is read off rather than counted; called about once a second, and at the end."""
        self._gauges.observe(pools, journal)
        if captures is not None:
            captures.observe(self._captured)
            self._counters.gauge("quorate_capture_pending_bytes").set(captures.pending_bytes)

    def _captured(self, endpoint: str, result: str, count: float) -> None:
        self._counter("quorate_captures_total", endpoint=endpoint, result=result).add(count)
