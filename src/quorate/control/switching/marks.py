"""What counts as a switch, and recording those that there were."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import msgspec
import sqlalchemy as sa

from quorate.codecs import learned
from quorate.codecs.snapshot import EndpointRoute, PoolRoute
from quorate.control.revisions.publication import routes_of
from quorate.errors import QuorateError
from quorate.store import learners
from quorate.store import switches as store
from quorate.store.database import Database
from quorate.store.revisions import Revision, revisions
from quorate.store.switches import POLICY, REVISION, Switch

Route = tuple[EndpointRoute, PoolRoute]


def answering(revision: Revision) -> Route | None:
    """Who answers by a revision; None where it is a front's, which answers nothing itself, or of an older format."""
    try:
        return routes_of(revision)
    except msgspec.DecodeError:
        return None


def makeup(route: Route) -> dict[str, str]:
    """What each strategy is made of, hashed: with the same hash it answers the same."""
    endpoint, pool = route
    digests = {member.name: member.digest for member in pool.members}
    return {
        strategy.name: _hash([msgspec.structs.replace(strategy, name=""), [digests[m] for m in strategy.members]])
        for strategy in endpoint.strategies
    }


def aim(route: Route, strategy: str) -> str:
    """The target of a plan by which one strategy, made as here, is to answer."""
    return f"to:{_hash([strategy, makeup(route)[strategy]])}"


def targets(route: Route, digest: str) -> tuple[str, ...]:
    """The targets of plans that a revision fulfils: itself by its digest, and its strategy where it has one only."""
    endpoint, _ = route
    names = {strategy.name for strategy in endpoint.strategies}
    only = endpoint.policy.params.get("strategy") if endpoint.policy.kind == "fixed" else None
    chosen = only if only in names else next(iter(names)) if len(names) == 1 else None
    return (digest,) if chosen is None else (digest, aim(route, chosen))


def changes(before: Route, after: Route) -> tuple[str, ...]:
    """Which of strategies, policy and members differ, or the pool as a whole; nothing where it is no switch."""
    (old, old_pool), (new, new_pool) = before, after
    found = []
    if old.pool != new.pool:
        found.append("pool")
    if [(m.name, m.digest) for m in old_pool.members] != [(m.name, m.digest) for m in new_pool.members]:
        found.append("members")
    if old.strategies != new.strategies:
        found.append("strategies")
    if old.policy != new.policy:
        found.append("policy")
    return tuple(found)


def record(database: Database, endpoint: str) -> list[Switch]:
    """All switches of an endpoint, those that were not recorded yet included, the first one first.

    Of a policy's own switches only the last one is in its state: ``detail`` counts those in between as ``missed``.
    """
    with database.read() as connection:
        known = store.switches(connection, endpoint)
        fresh = list(_fresh(connection, endpoint, known))
    if not fresh:
        return known
    with database.begin() as connection:
        known = store.switches(connection, endpoint)  # again: another process may have recorded them meanwhile
        for switch in sorted(_fresh(connection, endpoint, known), key=lambda each: each.at):
            known.append(store.add(connection, switch))
    return known


def _fresh(connection: sa.Connection, endpoint: str, known: list[Switch]) -> Iterator[Switch]:
    found = revisions(connection, endpoint)[::-1]
    yield from _of_revisions(endpoint, found, {each.mark for each in known if each.cause == REVISION})
    yield from _of_policy(connection, endpoint, found, [each for each in known if each.cause == POLICY])


def _of_revisions(endpoint: str, found: list[Revision], known: set[str]) -> Iterator[Switch]:
    for before, after in pairwise(found):
        if str(after.number) in known:
            continue
        old, new = answering(before), answering(after)
        what = () if old is None or new is None else changes(old, new)
        if what:
            detail = {"before": before.number, "changes": list(what), "author": after.author}
            yield Switch(endpoint, 0, after.created, REVISION, str(after.number), after.number, detail)


def _of_policy(
    connection: sa.Connection, endpoint: str, found: list[Revision], known: list[Switch]
) -> Iterator[Switch]:
    stored = learners.learner(connection, endpoint)
    if stored is None or not found:
        return
    try:
        meta = learned.unpack(stored.state).state.meta
    except QuorateError:
        return  # of another release; its learner says so
    count, last = meta.get("switches"), meta.get("last")
    if not isinstance(count, int) or not isinstance(last, Mapping):
        return
    marks = [each.mark.partition(":") for each in known]
    seen = max((int(number) for key, _, number in marks if key == stored.key), default=0)
    if count <= seen:
        return
    at = last.get("at")
    when = float(at) if isinstance(at, int | float) else stored.updated
    revision = max((each.number for each in found if each.created <= when), default=found[0].number)
    detail: dict[str, Any] = {**last, "missed": count - seen - 1}
    yield Switch(endpoint, 0, when, POLICY, f"{stored.key}:{count}", revision, detail)


def _hash(value: Any) -> str:
    return hashlib.blake2b(msgspec.json.encode(value, order="sorted"), digest_size=16).hexdigest()
