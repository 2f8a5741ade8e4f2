"""An audit from its question to its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from quorate.clock import Clock
from quorate.codecs import snapshot
from quorate.codecs.snapshot import EndpointRoute, PoolRoute, Routing
from quorate.control.pool_audits import held, telling
from quorate.control.pool_audits.asked import Answer, Question
from quorate.control.pool_audits.cost import costs
from quorate.control.pool_audits.rows import Gathering
from quorate.control.pool_audits.subject import Subject, subject
from quorate.control.replay import reading
from quorate.control.replay.asked import Counts, Files
from quorate.control.replay.joining import Outcomes
from quorate.control.replay.telling import nothing
from quorate.control.switching.loading import running
from quorate.core.audit.game import Rows
from quorate.core.audit.report import audit
from quorate.errors import InvalidInput
from quorate.home import Home
from quorate.registry.registry import Registry
from quorate.store.database import Database
from quorate.store.ledger import TRUTH
from quorate.store.revisions import revisions


def audit_decisions(question: Question, home: Home, database: Database, registry: Registry, clock: Clock) -> Answer:
    """Audit by the decisions in the journal and the outcomes in the store.

    Raises :class:`InvalidInput`, :class:`~quorate.errors.NotFound` and :class:`~quorate.errors.NotReady`, each with
    the reason.
    """
    started = clock.monotonic()
    question.check()
    routing = snapshot.read(home.snapshot)
    about = subject(question, routing, registry)
    files = Files()
    members, width = about.strategy.members, about.pool.signature.output.width
    most = held.most_rows(about, len(members) * width)
    gathered = Gathering(about.strategy, about.classes, question.since, question.until, most)
    with reading.held(home, clock, question.since) as hold:
        for endpoint in about.endpoints:
            _gather(gathered, endpoint, about, question, home, database, files, hold)
    rows = gathered.rows()
    if rows is None:
        raise InvalidInput(nothing(question.name, about.metric, gathered.counts, files), path="since")
    found = _answer(question, about, routing, home, rows, "decisions", gathered.thinned, gathered.counts, files)
    return replace(found, seconds=clock.monotonic() - started)


def audit_held(question: Question, path: Path, home: Home, registry: Registry, clock: Clock) -> Answer:
    """Audit by a file of members' outputs on held-out rows (:mod:`quorate.codecs.held`); raises as above."""
    started = clock.monotonic()
    question.check()
    routing = snapshot.read(home.snapshot)
    about = subject(question, routing, registry)
    rows, share = held.rows_of(held.read(path), about, path)
    found = _answer(question, about, routing, home, rows, path.name, share, None, None)
    return replace(found, seconds=clock.monotonic() - started)


def _gather(
    gathered: Gathering,
    endpoint: EndpointRoute,
    about: Subject,
    question: Question,
    home: Home,
    database: Database,
    files: Files,
    hold: Any,
) -> None:
    """Read one endpoint's decisions."""
    outcomes = Outcomes(home.run / "replay")
    try:
        with database.read() as connection:
            past = {each.number: msgspec.json.decode(each.content) for each in revisions(connection, endpoint.name)}
            precedence = endpoint.outcomes.precedence
            for _ in outcomes.load(connection, TRUTH, precedence, question.since, question.until):
                hold()
        gathered.of(_alike(past, about), outcomes)
        since, until = question.since, question.until
        reading.read(home, endpoint.name, since, until, files, gathered.add, lambda _: hold())
    finally:
        outcomes.close()


def _alike(past: Mapping[int, Any], about: Subject) -> frozenset[int]:
    """Revisions whose members were the versions that are served now."""
    now = _digests(about.pool, about.strategy.members)
    found = []
    for number, content in past.items():
        then = {each["name"]: each["digest"] for each in content.get("pool", {}).get("members", ())}
        if all(then.get(name) == digest for name, digest in now.items()):
            found.append(number)
    return frozenset(found)


def _digests(pool: PoolRoute, members: tuple[str, ...]) -> dict[str, str]:
    return {each.name: each.digest for each in pool.members if each.name in members}


def _answer(
    question: Question,
    about: Subject,
    routing: Routing,
    home: Home,
    rows: Rows,
    source: str,
    share: float,
    counts: Counts | None,
    files: Files | None,
) -> Answer:
    strategy = about.strategy
    cost = costs(strategy.members, about.pool, running(home.telemetry), routing.prices, question.costs)
    found = audit(
        rows,
        strategy.combiner,
        strategy.state,
        about.metric,
        margin=question.margin,
        costs=None if cost is None else [cost.values[name] for name in strategy.members],
    )
    return telling.told(question, about, found, cost, source, share, counts, files)
