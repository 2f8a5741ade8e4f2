"""What a switch cost and brought: the same quantities before and after it, and what was promised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import sqlalchemy as sa

from quorate.codecs.lookup import JournalReader
from quorate.codecs.snapshot import PoolRoute, Routing
from quorate.control.revisions.publication import routes_of
from quorate.control.switching import evidence, telling
from quorate.control.switching.marks import aim, record, targets
from quorate.control.switching.planning import Plan
from quorate.control.switching.quantities import WARM_UP, Measured, Quantity, compare, counted, measured
from quorate.control.switching.warming import Warming, warmings
from quorate.control.switching.windows import windows
from quorate.errors import NotFound
from quorate.store import ledger
from quorate.store import switches as store
from quorate.store.database import Database
from quorate.store.revisions import newest_revision, revision
from quorate.store.switches import POLICY, Switch


@dataclass(frozen=True, slots=True)
class SwitchSummary:
    """One switch: ``at`` is Unix seconds, ``cause`` ``revision`` or ``policy``, ``what`` says what changed.

    ``planned`` says whether there was a plan for it. ``missed`` switches of the policy came right before this one and
    are not on record.
    """

    number: int
    at: float
    cause: str
    revision: int
    what: str
    planned: bool
    missed: int = 0


@dataclass(frozen=True, slots=True)
class WindowView:
    """A time that is compared, and how much is known of it. ``since`` and ``until`` are Unix seconds.

    ``usage_seconds`` are those in which processors and memory were watched; ``judged_rows`` the rows by metric.
    """

    since: float
    until: float
    requests: int
    rows: int
    usage_seconds: float
    judged_rows: dict[str, int]


@dataclass(frozen=True, slots=True)
class Promise:
    """What was planned: when (Unix seconds), by whom, and the quantities as they were expected."""

    id: str
    made: float
    author: str
    summary: str
    quantities: tuple[Quantity, ...]


@dataclass(frozen=True, slots=True)
class SwitchReport:
    """A switch, with what it cost and brought as far as is known by now.

    ``warm_up`` has the workers that were seen to change over, ``warm_up_s`` the slowest of them: from publication to
    the end of the first answer.
    """

    endpoint: str
    number: int
    at: float
    cause: str
    revision: int
    what: str
    before: WindowView
    after: WindowView
    quantities: tuple[Quantity, ...]
    warm_up: tuple[Warming, ...]
    warm_up_s: float | None
    promised: Promise | None
    notes: tuple[str, ...]
    summary: str


def summaries(database: Database, endpoint: str) -> list[SwitchSummary]:
    """The switches of an endpoint, the newest first; :class:`NotFound` where there is no such endpoint."""
    found = _recorded(database, endpoint)
    with database.read() as connection:
        return [
            SwitchSummary(
                switch.number,
                switch.at,
                switch.cause,
                switch.revision,
                telling.what(switch),
                _plan(connection, switch) is not None,
                switch.detail.get("missed", 0),
            )
            for switch in reversed(found)
        ]


def report(
    database: Database, reader: JournalReader, served: Routing, endpoint: str, number: int | None, *, now: float
) -> SwitchReport:
    """The report of a switch, the newest one without a ``number``; :class:`NotFound`.

    ``served`` is what is served now: its prices count, and its endpoints share the workers.
    """
    found = _recorded(database, endpoint)
    at = next((i for i, each in enumerate(found) if each.number == number), None) if number else len(found) - 1
    if at is None or at < 0:
        which = "has not switched yet" if number is None else f"has no switch {number}"
        raise NotFound(f"Endpoint '{endpoint}' {which}; `quorate switches list` lists them.", path="number")
    order = sorted(found, key=lambda each: each.at)
    position = order.index(found[at])
    previous = order[position - 1].at if position else None
    following = order[position + 1].at if position + 1 < len(order) else None
    with database.read() as connection:
        return _report(connection, reader, served, found[at], now=now, previous=previous, following=following)


def _report(
    connection: sa.Connection,
    reader: JournalReader,
    served: Routing,
    switch: Switch,
    *,
    now: float,
    previous: float | None,
    following: float | None,
) -> SwitchReport:
    warm = _warm(connection, reader, switch)
    slowest = max((each.first_answer_s for each in warm), default=None)
    before, after = windows(
        switch.at,
        switch.at + (slowest or 0.0),
        now,
        begin=evidence.first_minute(connection, switch.endpoint),
        previous=previous,
        following=following,
    )
    old_pool, pool = _pools(connection, switch)
    ours = switch.cause == POLICY
    first = measured(connection, switch.endpoint, old_pool, served, before, lambda r: ours or r < switch.revision)
    second = measured(connection, switch.endpoint, pool, served, after, lambda r: r >= switch.revision)
    quantities = tuple(compare(first, second, served.prices)) if before.minutes else ()
    if quantities and slowest is not None:
        quantities = (*quantities, counted(WARM_UP, "s", None, slowest, "publication to the first answer"))
    strategies = sorted(
        {by.strategy for by in evidence.traffic(connection, switch.endpoint, after, lambda r: r >= switch.revision)}
    )
    notes = telling.notes(first, second, served.prices, strategies)
    if switch.cause == POLICY:
        notes.append("The members were in memory before: a policy's own switch loads nothing.")
    elif not warm:
        notes.append("The warm-up was not seen: no worker answered with the new revision within an hour.")
    return SwitchReport(
        endpoint=switch.endpoint,
        number=switch.number,
        at=switch.at,
        cause=switch.cause,
        revision=switch.revision,
        what=telling.what(switch),
        before=_view(first),
        after=_view(second),
        quantities=quantities,
        warm_up=tuple(warm),
        warm_up_s=slowest,
        promised=_promise(connection, switch),
        notes=tuple(notes),
        summary=telling.happened(quantities) if quantities else "Nothing can be said yet: " + notes[0].lower(),
    )


def _recorded(database: Database, endpoint: str) -> list[Switch]:
    with database.read() as connection:
        if newest_revision(connection, endpoint) is None:
            raise NotFound(f"There is no endpoint '{endpoint}'; `quorate endpoints` lists them.", path="name")
    return record(database, endpoint)


def _warm(connection: sa.Connection, reader: JournalReader, switch: Switch) -> Sequence[Warming]:
    if switch.cause == POLICY:
        return ()
    return warmings(reader, ledger.progress(connection), switch.endpoint, switch.revision, switch.at)


def _pools(connection: sa.Connection, switch: Switch) -> tuple[PoolRoute, PoolRoute]:
    """The pools that answered before and after."""
    _, after = routes_of(revision(connection, switch.endpoint, switch.revision))
    before = switch.detail.get("before")
    if not isinstance(before, int):
        return after, after
    return routes_of(revision(connection, switch.endpoint, before))[1], after


def _view(of: Measured) -> WindowView:
    judged = {metric: sums.rows for metric, sums in of.judged.items()}
    t = of.traffic
    return WindowView(of.window.first * 60.0, of.window.end * 60.0, t.requests, t.rows, of.resources.seconds, judged)


def _plan(connection: sa.Connection, switch: Switch) -> store.StoredPlan | None:
    made = revision(connection, switch.endpoint, switch.revision)
    route = routes_of(made)
    wanted = targets(route, made.digest)
    if switch.cause == POLICY:
        to = switch.detail.get("to")
        wanted = tuple(aim(route, each.name) for each in route[0].strategies if each.name == to)
    return store.plan_before(connection, switch.endpoint, wanted, switch.at)


def _promise(connection: sa.Connection, switch: Switch) -> Promise | None:
    found = _plan(connection, switch)
    if found is None:
        return None
    plan = msgspec.json.decode(found.plan, type=Plan)
    return Promise(found.id, found.made, found.author, plan.summary, plan.quantities)
