"""What the control port answers about what is served and decided, and how it is made from the records within."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from quorate.codecs.snapshot import EndpointRoute, FrontRoute, PoolRoute, Routing
from quorate.control import pools
from quorate.control.coverage.shown import Promised
from quorate.control.pools import RunningPool
from quorate.control.revisions.apply import Applied
from quorate.control.skipped import Skipped
from quorate.control.view import View
from quorate.store.audit import Entry
from quorate.store.revisions import Revision


class Health(View):
    """Whether the control process works, and what it obeys."""

    status: Literal["ok"]
    release: str
    snapshot_version: int | None
    store_schema: str | None


class Member(View):
    """A member of a pool, resolved to a version."""

    name: str
    version: int
    format: str
    digest: str


class Pool(View):
    """A pool that is served; ``fused`` are the members that run as one graph, ``workers`` those that run now.

    Threads of a run were ``declared`` or ``measured``; ``none`` where there were none to choose. Lanes, the runs at
    once in a worker, were ``declared`` or follow from the ``cores``.
    """

    name: str
    task: str
    signature: dict[str, Any]
    members: list[Member]
    fused: list[str]
    threads_from: Literal["declared", "measured", "none"]
    lanes_from: Literal["declared", "cores"]
    workers: list[PoolInWorker]


class PoolInWorker(View):
    """A pool in one worker; ``tried_ms`` is what one row took by the number of threads, as measured at the load."""

    process: str
    resident: bool
    threads: int
    lanes: int
    memory_bytes: int | None
    tried_ms: dict[str, float]


class Conformal(View):
    """What a strategy promises: the ``coverage`` of requests that ask for none (null: they get no set), and whether its
    levels follow the outcomes."""

    coverage: float | None
    adaptive: bool
    abstain: Literal["never", "ambiguous"]


class Strategy(View):
    """A strategy of an endpoint; ``conformal`` is null where it can promise no coverage."""

    name: str
    kind: str
    members: list[str]
    quorum: int
    params: dict[str, Any]
    plan: str
    stages: list[list[str]]
    conformal: Conformal | None


class Policy(View):
    """How an endpoint chooses among its strategies."""

    kind: str
    params: dict[str, Any]
    blind: bool
    sticky: str | None


class Endpoint(View):
    """An endpoint at the revision that is served."""

    name: str
    revision: int
    pool: str
    strategies: list[Strategy]
    policy: Policy
    fallback: list[str]
    deadline_ms: float
    caller_may_choose: bool
    on_member_failure: str
    on_full: str
    queue_ms: float | None
    max_in_flight: int | None
    cache: dict[str, float] | None


class FrontRuleView(View):
    """Where a front sends requests for which a condition is true."""

    when: str
    to: str


class Front(View):
    """A name that sends requests on to endpoints, at the revision that is served."""

    name: str
    revision: int
    rules: list[FrontRuleView]
    otherwise: str
    timezone: str


class Endpoints(View):
    """What is served; the snapshot's version is also the ETag, for ``If-Match`` when applying."""

    snapshot_version: int
    endpoints: list[Endpoint]
    fronts: list[Front]


class RevisionView(View):
    """One revision of an endpoint; ``content`` is its resolved settings, ``created`` Unix seconds."""

    number: int
    digest: str
    author: str
    created: float
    content: dict[str, Any]


class EndpointHistory(View):
    """An endpoint, None where it is served no more, or a front; and its revisions, newest first."""

    name: str
    served: Endpoint | None
    front: Front | None
    revisions: list[RevisionView]


class AppliedView(View):
    """What an apply did, or with ``dry_run`` would do."""

    dry_run: bool
    snapshot_version: int
    revisions: dict[str, int]
    changed: list[str]
    removed: list[str]
    notices: list[str]


class MemberRun(View):
    """A member's part in a decision: what became of it, per row too, and its outputs (None is NaN).

    ``skipped`` says of rows that did not ask it why: the plan ``stopped`` without it, there was ``no_time`` for it, or
    it is ``not_in_strategy``; null where it was asked, or that is not known.
    """

    name: str
    version: int
    status: str
    latency_ms: float | None
    reason: str | None
    row_status: list[str]
    skipped: list[Skipped | None]
    outputs: list[list[float | None]]


class StageView(View):
    """A stage of a plan: the members that it asks, and how many rows of a decision asked one of them; of the others,
    how many ``stopped`` without it, and for how many there was ``no_time``."""

    members: list[str]
    rows: int
    stopped: int
    no_time: int


class OutcomeView(View):
    """A truth or reward that was told for a row; times are Unix seconds."""

    row: int
    metric: str
    value: str | float | None
    source: str
    at: float
    received: float
    state: str


class DecisionView(View):
    """The record of one answer and what became known about it; ``arrived`` is Unix seconds.

    ``why`` says in words how the strategy was chosen; ``coverage`` what was promised, where a coverage was asked for.
    """

    id: str
    endpoint: str
    revision: int
    state_version: int
    arrived: float
    arrived_at: str
    queue_ms: float | None
    latency_ms: float | None
    source: str
    assigned: str
    served: str | None
    why: list[str]
    propensities: dict[str, float]
    unit: str | None
    context: dict[str, str | int | float | bool | None]
    facts: dict[str, str | int | float | bool | None]
    features: list[list[float | None]] | None
    degraded: bool
    abstained: bool
    withheld: list[int]
    error: str | None
    rows: int
    output_kind: str
    classes: list[str]
    answer: list[list[float | None]] | None
    stages: list[StageView]
    members: list[MemberRun]
    input_digest: str
    capture: str | None
    request_id: str | None
    idempotency_key: str | None
    traceparent: str | None
    outcomes: list[OutcomeView]
    coverage: Promised | None = None


class AuditEntry(View):
    """One change: who did what to what, at Unix time ``at``."""

    id: int
    at: float
    actor: str
    action: str
    subject: str
    detail: dict[str, Any]


def pool(route: PoolRoute, running: RunningPool) -> Pool:
    """A pool as it is shown."""
    members = [Member(name=m.name, version=m.version, format=m.format, digest=m.digest) for m in route.members]
    return Pool(
        name=route.name,
        task=route.task,
        signature=msgspec.to_builtins(route.signature),
        members=members,
        fused=sorted({name for graph in route.graphs for name in graph.outputs}),
        threads_from=running.threads_from,
        lanes_from=running.lanes_from,
        workers=[_in_worker(worker) for worker in running.workers],
    )


def _in_worker(found: pools.PoolInWorker) -> PoolInWorker:
    return PoolInWorker(
        process=found.process,
        resident=found.resident,
        threads=found.threads,
        lanes=found.lanes,
        memory_bytes=found.memory_bytes,
        tried_ms={str(threads): ms for threads, ms in found.tried_ms.items()},
    )


def endpoint(route: EndpointRoute) -> Endpoint:
    """An endpoint as it is shown."""
    strategies = [
        Strategy(
            name=s.name,
            kind=s.kind,
            members=list(s.members),
            quorum=s.quorum,
            params=s.params,
            plan=s.plan,
            stages=[list(stage) for stage in s.stages],
            conformal=None
            if s.conformal is None
            else Conformal(coverage=s.conformal.coverage, adaptive=s.conformal.adaptive, abstain=s.conformal.abstain),
        )
        for s in route.strategies
    ]
    policy = Policy(
        kind=route.policy.kind, params=route.policy.params, blind=route.policy.blind, sticky=route.policy.sticky
    )
    return Endpoint(
        name=route.name,
        revision=route.revision,
        pool=route.pool,
        strategies=strategies,
        policy=policy,
        fallback=list(route.fallback),
        deadline_ms=route.deadline_ms,
        caller_may_choose=route.caller_may_choose,
        on_member_failure=route.on_member_failure,
        on_full=route.on_full,
        queue_ms=route.queue_ms,
        max_in_flight=route.max_in_flight,
        cache=None if route.cache is None else msgspec.structs.asdict(route.cache),
    )


def endpoints(routing: Routing) -> Endpoints:
    """All that is served, by name."""
    return Endpoints(
        snapshot_version=routing.version,
        endpoints=[endpoint(route) for route in sorted(routing.endpoints, key=lambda e: e.name)],
        fronts=[front(route) for route in sorted(routing.fronts, key=lambda f: f.name)],
    )


def front(route: FrontRoute) -> Front:
    """A front as it is shown."""
    rules = [FrontRuleView(when=rule.when, to=rule.to) for rule in route.rules]
    return Front(
        name=route.name, revision=route.revision, rules=rules, otherwise=route.otherwise, timezone=route.timezone
    )


def revision(found: Revision) -> RevisionView:
    """A revision as it is shown."""
    return RevisionView(
        number=found.number,
        digest=found.digest,
        author=found.author,
        created=found.created,
        content=msgspec.json.decode(found.content),
    )


def applied(done: Applied, *, dry_run: bool) -> AppliedView:
    """What an apply did, as it is shown."""
    return AppliedView(
        dry_run=dry_run,
        snapshot_version=done.snapshot_version,
        revisions=dict(done.revisions),
        changed=list(done.changed),
        removed=list(done.removed),
        notices=list(done.notices),
    )


def audit_entry(entry: Entry) -> AuditEntry:
    """An audit entry as it is shown."""
    return AuditEntry(
        id=entry.id,
        at=entry.at,
        actor=entry.actor,
        action=entry.action,
        subject=entry.subject,
        detail=dict(entry.detail),
    )
