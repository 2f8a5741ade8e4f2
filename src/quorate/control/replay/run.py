"""A replay from its question to its answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec

from quorate.clock import Clock
from quorate.codecs import snapshot
from quorate.codecs.lookup import JournalReader
from quorate.control.journal.ingest import INDEXES
from quorate.control.learning.past import Pasts
from quorate.control.learning.rewards import ACCURACY, ERROR, FROM_TRUTH
from quorate.control.replay import reading, telling
from quorate.control.replay.asked import Answer, Counts, Files, OffPolicyEstimate, Question
from quorate.control.replay.asked import verdict as said
from quorate.control.replay.joining import Outcomes
from quorate.control.replay.tally import Tally
from quorate.control.replay.targets import AS_NAMED, Target, target
from quorate.core.outcomes import OutcomeRules
from quorate.core.stats.influence import Estimate
from quorate.core.stats.off_policy import NoOverlap, OffPolicy
from quorate.core.stats.paired import Paired
from quorate.errors import InvalidInput
from quorate.home import Home
from quorate.registry.registry import Registry
from quorate.store.database import Database
from quorate.store.ledger import TRUTH
from quorate.store.revisions import revisions

SHOWN = ("ips", "snips", "dr")
HEADLINE = "dr"


def replay(
    question: Question,
    home: Home,
    database: Database,
    registry: Registry,
    clock: Clock,
    *,
    told: Callable[[str, int], None] = lambda _what, _count: None,
) -> Answer:
    """What would have been, by the decisions in the journal and the outcomes in the store.

    ``told`` is called with ``outcomes`` or ``files`` and how many were read. Raises :class:`InvalidInput` (as
    :class:`~quorate.core.stats.off_policy.NoOverlap` where the log cannot tell), :class:`NotFound` and
    :class:`NotReady`, each with the reason.
    """
    started = clock.monotonic()
    question.check()
    routing = snapshot.read(home.snapshot)
    with database.read() as connection:
        past = {each.number: msgspec.json.decode(each.content) for each in revisions(connection, question.endpoint)}
    logged = sorted({each["name"] for content in past.values() for each in content["endpoint"]["strategies"]})
    reader = JournalReader(home.journal, cached=INDEXES)
    aim = target(question, routing, registry, logged, Pasts(database, reader))
    metric = _metric(question, aim)
    served = next((endpoint for endpoint in routing.endpoints if endpoint.name == question.endpoint), None)
    precedence = (OutcomeRules() if served is None else served.outcomes).precedence
    outcomes, files = Outcomes(home.run / "replay"), Files()
    tally = _tally(question, aim, metric, outcomes)
    try:
        # What learns was taught by decisions of any age.
        learns = any(each.past is not None for each in aim.computable.values())
        with reading.held(home, clock, None if learns else question.since) as hold:
            with database.read() as connection:
                stored = TRUTH if metric in FROM_TRUTH else metric
                for count in outcomes.load(connection, stored, precedence, question.since, question.until):
                    hold()
                    told("outcomes", count)

            def read(number: int) -> None:
                hold()
                told("files", number)

            since, until = question.since, question.until
            reading.read(home, question.endpoint, since, until, files, tally.add, read, by_time=learns)
    finally:
        outcomes.close()
    answer = _answer(tally, files, past)
    return replace(answer, seconds=clock.monotonic() - started)


def _metric(question: Question, aim: Target) -> str:
    usual = ACCURACY if aim.pool.task == "classification" else ERROR
    metric = question.metric or usual
    if metric in FROM_TRUTH and metric != usual:
        raise InvalidInput(
            f"Endpoint '{question.endpoint}' is measured by {usual}; got '{metric}'. Use that, or name a reward.",
            path="metric",
        )
    return metric


def _tally(question: Question, aim: Target, metric: str, outcomes: Outcomes) -> Tally:
    """What there is to add up for the question; :class:`InvalidInput` where the method asked for cannot be."""
    reward = metric not in FROM_TRUTH
    computable = set(aim.strategies) <= set(aim.computable)
    if question.method == "exact" and (reward or not computable):
        why = (
            f"what other answers would have earned of '{metric}' is not known"
            if reward
            else "the strategy is of an earlier revision, or what it had learned is not on record"
        )
        raise InvalidInput(f"An exact replay is not possible: {why}. Leave the method to 'auto'.", path="method")
    exact = Paired() if question.method != "off-policy" and computable and not reward else None
    served = any(name in _assignable(aim) for name in aim.strategies)
    weighted = OffPolicy(len(aim.strategies) + 1) if question.method != "exact" and served else None
    if exact is None and weighted is None:
        raise NoOverlap(
            f"'{metric}' is known of answers that were served, and the log has no decision that could have been "
            "assigned to what is asked about. Serve it with a small share first.",
            path="strategy",
        )
    return Tally(question, aim, metric, outcomes, exact, weighted)


def _assignable(aim: Target) -> set[str]:
    """Names that decisions can have been assigned to; a definition that is given now never was."""
    members = {each.name for each in aim.pool.members} - {each.name for each in aim.endpoint.strategies}
    return set(aim.strategies) - {AS_NAMED} - members


def _answer(tally: Tally, files: Files, past: dict[int, Any]) -> Answer:
    exact, sums = tally.exact, tally.weighted
    estimates: tuple[OffPolicyEstimate, ...] = ()
    if sums is not None and not tally.unsupported and tally.by_propensity.used:
        estimates = tuple(OffPolicyEstimate(m, sums.estimate(m), sums.difference(m)) for m in SHOWN)
    if exact is not None and exact.rows:
        counts = _counts(tally.shared, tally.by_outputs)
        parts, how = (exact.first(), exact.second(), exact.difference()), telling.SKEWED
        if exact.proportions:
            how = telling.PROPORTIONS
        return _told(tally, files, past, exact=True, counts=counts, parts=parts, how=how, estimates=estimates)
    if sums is None or not (tally.by_propensity.used or tally.unsupported):
        tried = _counts(tally.shared, tally.by_outputs if sums is None else tally.by_propensity)
        raise InvalidInput(telling.nothing(tally.question.endpoint, tally.metric, tried, files), path="since")
    counts = _counts(tally.shared, tally.by_propensity)
    if tally.unsupported:
        raise NoOverlap(telling.no_overlap(tally.question, counts, tally.unsupported), path=_field(tally.question))
    parts = (sums.estimate(HEADLINE), sums.live(), sums.difference(HEADLINE))
    return _told(tally, files, past, exact=False, counts=counts, parts=parts, how=telling.SKEWED, estimates=estimates)


def _told(
    tally: Tally,
    files: Files,
    past: dict[int, Any],
    *,
    exact: bool,
    counts: Counts,
    parts: tuple[Estimate, Estimate, Estimate],
    how: str,
    estimates: tuple[OffPolicyEstimate, ...],
) -> Answer:
    q, higher = tally.question, tally.metric != ERROR
    overlap = tally.weighted.overlap() if estimates and tally.weighted is not None else None
    return Answer(
        endpoint=q.endpoint,
        strategy=q.strategy,
        policy=q.policy,
        since=q.since,
        until=q.until,
        revision=q.revision,
        metric=tally.metric,
        higher_is_better=higher,
        method="exact" if exact else "off-policy",
        interval=how,
        candidate=parts[0],
        live=parts[1],
        difference=parts[2],
        verdict=said(parts[2], higher_is_better=higher),
        counts=counts,
        files=files,
        estimates=estimates,
        overlap=overlap,
        reproduced=tally.reproduced,
        differing=tally.differing,
        assumptions=telling.assumptions(tally, exact=exact),
        warnings=telling.warnings(tally, files, overlap, past, counts, exact=exact),
    )


def _counts(shared: Counts, own: Counts) -> Counts:
    left_out = dict(shared.left_out)
    for why, count in own.left_out.items():
        left_out[why] = left_out.get(why, 0) + count
    return Counts(shared.decisions, shared.with_outcome, own.used, own.rows, own.degraded, own.fell_back, left_out)


def _field(question: Question) -> str:
    return "strategy" if question.policy is None else "policy"
