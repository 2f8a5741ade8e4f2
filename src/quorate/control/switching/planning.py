"""What a switch is expected to cost and bring, before it is made."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from quorate.codecs.lookup import JournalReader
from quorate.codecs.snapshot import PolicyRoute, Prices, Routing
from quorate.control.revisions.publication import content
from quorate.control.revisions.resolve import resolve
from quorate.control.switching import evidence, mixture, telling
from quorate.control.switching.expecting import evidence_of, latencies, outcomes, shares_known
from quorate.control.switching.loading import Load, Running, as_fused, load, run_seconds, running
from quorate.control.switching.marks import Route, aim, changes, record
from quorate.control.switching.mixture import Shares
from quorate.control.switching.quantities import (
    CPU,
    MEMORY_ADDED,
    MEMORY_FREED,
    MONEY,
    WARM_UP,
    Quantity,
    counted,
)
from quorate.control.switching.reaching import Side, counted_by, reaches
from quorate.control.switching.resources import Resources, resources
from quorate.control.switching.windows import DAY, Window
from quorate.errors import Conflict, InvalidInput, NotFound
from quorate.registry.registry import Registry
from quorate.spec import Config
from quorate.store import switches as store
from quorate.store.database import Database
from quorate.store.switches import Switch


@dataclass(frozen=True, slots=True)
class Plan:
    """What a switch would cost and bring. ``what`` says which, ``made`` is Unix seconds, ``revision`` answers now.

    ``shares_before`` and ``shares_after`` are the parts of the requests that strategies get; empty where not known.
    """

    endpoint: str
    what: str
    made: float
    author: str
    revision: int
    shares_before: dict[str, float]
    shares_after: dict[str, float]
    quantities: tuple[Quantity, ...]
    notes: tuple[str, ...]
    summary: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which switch: ``to`` one strategy of the endpoint as it is, or as a whole ``config`` says."""

    to: str | None = None
    config: Config | None = None


def plan(
    database: Database,
    registry: Registry,
    reader: JournalReader,
    telemetry: Path,
    served: Routing,
    endpoint: str,
    asked: Asked,
    *,
    author: str,
    now: float,
) -> Plan:
    """The plan of a switch, kept beside the switch if it is made.

    :class:`NotFound` for an endpoint or strategy that there is not, :class:`Conflict` where nothing would change.
    """
    before = _present(served, endpoint)
    after, target, what = _target(before, served, registry, asked)
    live = running(telemetry)
    switches = record(database, endpoint)
    with database.read() as connection:
        known = evidence_of(connection, endpoint, now)
        recent = _since(switches, now)
        mine = evidence.traffic(connection, endpoint, recent, before[0].revision.__eq__)
        old = mixture.seen(mine) or mixture.declared(connection, before)
        new = mixture.declared(connection, after)
        first, second = (
            Side(route, shares, reaches(route, before, live.series, registry.read_blob))
            for route, shares in ((before, old), (after, new))
        )
        used = resources(connection, endpoint, before[1], served, recent)
        quantities = []
        notes = _notes(before, after, old, new)
        if old is not None and new is not None:
            quantities += latencies(known, first, second, live)
            found, said = outcomes(connection, reader, registry.read_blob, known, (before, old), (after, new))
            quantities += found
            notes += said
        loading = load(before[1], after[1], served, live, registry.blobs)
        quantities += _loaded(loading)
        quantities += _used(first, second, used, loading, live, served.prices)
    notes += [*counted_by((first, second)), *telling.priced(served.prices), telling.ONE_LOOK]
    made = Plan(
        endpoint=endpoint,
        what=what,
        made=now,
        author=author,
        revision=before[0].revision,
        shares_before=dict(old or {}),
        shares_after=dict(new or {}),
        quantities=tuple(quantities),
        notes=tuple(notes),
        summary=telling.promised(quantities),
    )
    text = msgspec.json.encode(made).decode()
    with database.begin() as connection:
        kept = store.add_plan(connection, endpoint, target, text, author=author, now=now)
    return replace(made, id=kept.id)


def _since(switches: Sequence[Switch], now: float) -> Window:
    """The time since the last switch, a day at most."""
    present = int(now // 60)
    last = max((int(each.at // 60) for each in switches), default=0)
    return Window(min(max(last + 1, present - DAY), present), present + 1)


def _present(served: Routing, endpoint: str) -> Route:
    route = next((each for each in served.endpoints if each.name == endpoint), None)
    if route is None:
        raise NotFound(
            f"There is no endpoint '{endpoint}' that is served; `quorate endpoints` lists them.", path="name"
        )
    return route, next(pool for pool in served.pools if pool.name == route.pool)


def _target(before: Route, served: Routing, registry: Registry, asked: Asked) -> tuple[Route, str, str]:
    """What is to answer, the mark by which the switch will know its plan, and what it is in words."""
    endpoint, pool = before
    if (asked.to is None) == (asked.config is None):
        raise InvalidInput("A switch is planned to one strategy or to a configuration; give one of the two.", path="to")
    if asked.config is not None:
        routing = resolve(asked.config, registry).routing
        route = next((each for each in routing.endpoints if each.name == endpoint.name), None)
        if route is None:
            raise Conflict(
                f"The configuration has no endpoint '{endpoint.name}', so it would be removed.", path="config"
            )
        resolved = next(each for each in routing.pools if each.name == route.pool)
        target = hashlib.sha256(content(route, resolved).encode()).hexdigest()
        held = next((each for each in served.pools if each.name == route.pool), None)
        after = (route, as_fused(resolved, routing.endpoints, held))
        words = "as the configuration says"
    else:
        names = [strategy.name for strategy in endpoint.strategies]
        if asked.to not in names:
            raise NotFound(
                f"Endpoint '{endpoint.name}' has no strategy '{asked.to}'; expected one of: {', '.join(names)}.",
                path="to",
            )
        policy = PolicyRoute("fixed", {"strategy": asked.to}, blind=endpoint.policy.blind)
        after = (msgspec.structs.replace(endpoint, policy=policy), pool)
        target = aim(before, asked.to)
        words = f"to strategy '{asked.to}' for every request"
    different = changes(before, after)
    if not different:
        raise Conflict(f"Endpoint '{endpoint.name}' already answers so: nothing would change.", path="to")
    return after, target, f"{words} (other {telling.listed(different)})"


def _loaded(loading: Load) -> list[Quantity]:
    return [
        counted(WARM_UP, "s", None, loading.seconds, loading.basis),
        counted(MEMORY_ADDED, "bytes", None, loading.added, loading.basis),
        counted(MEMORY_FREED, "bytes", None, loading.freed, loading.basis),
    ]


def _used(before: Side, after: Side, used: Resources, loading: Load, live: Running, prices: Prices) -> list[Quantity]:
    """Processor time and money: as they were lately, changed by what the members' runs take."""
    runs = [_run_seconds(side, live) for side in (before, after)]
    cpu = used.cpu_per_thousand
    later = None
    if cpu is not None and runs[0] is not None and runs[1] is not None:
        later = max(cpu + 1000 * (runs[1] - runs[0]), 0.0)
    basis = "since the last switch, a day at most; changed by what the members' runs take"
    money = used.money_per_million(prices)
    then = None
    if later is not None and loading.added is not None and loading.freed is not None:
        changed = replace(
            used, cpu_s=later / 1000 * used.requests, bytes=used.bytes + used.share * (loading.added - loading.freed)
        )
        then = changed.money_per_million(prices)
    return [
        counted(CPU, "s", cpu, later, basis),
        counted(MONEY, prices.currency or "money", money, then, basis),
    ]


def _run_seconds(side: Side, live: Running) -> float | None:
    endpoint, pool = side.route
    strategies = {strategy.name: strategy.members for strategy in endpoint.strategies}
    if side.shares is None:
        return None
    if endpoint.policy.blind:
        needed = {name for names in strategies.values() for name in names}
        return run_seconds(pool, [member.name for member in pool.members if member.name in needed], live)
    parts = [run_seconds(pool, strategies[name], live, side.reaches.get(name)) for name in side.shares]
    if any(part is None for part in parts):
        return None
    return sum(share * (part or 0.0) for share, part in zip(side.shares.values(), parts, strict=True))


def _notes(before: Route, after: Route, old: Shares | None, new: Shares | None) -> list[str]:
    found = []
    for shares, which in ((old, "answer now"), (new, "would answer")):
        if not shares_known(shares):
            found.append(f"It is not known which strategies {which}, so nothing is said about answers.")
    if mixture.looks_at_requests(after[0]):
        found.append("The policy looks at each request; the shares are those of a request of which nothing is known.")
    if after[0].policy.reward is not None:
        found.append("The policy learns: the shares are what it draws now, and will change.")
    return found
