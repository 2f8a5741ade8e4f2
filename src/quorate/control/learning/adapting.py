"""Coverage that adapts: what joined decisions teach the level of one endpoint's strategies.

A row teaches when its truth has become known and the strategy's own answer was served, whether or not a set was asked
for and whoever chose it: what counts is how far up the truth's score is, and whether a set that was answered had it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from quorate.codecs import learned
from quorate.codecs.decision import Packed
from quorate.codecs.learned import Known
from quorate.codecs.snapshot import EndpointRoute, PoolRoute, StrategyRoute
from quorate.control.coverage.logged import Numbers, served_by, truth_scores
from quorate.control.learning.answering import LoggedRevision
from quorate.control.learning.feedback import truth_of
from quorate.control.outcomes.joined import Joined
from quorate.core.conformal import adaptive
from quorate.core.conformal.adaptive import TARGETS, Adaptation
from quorate.core.conformal.calibrated import Calibrated, covers
from quorate.core.conformal.recorded import asked, threshold_of
from quorate.core.erasing import is_erased
from quorate.core.types import State
from quorate.store.ledger import TRUTH


class Scored(NamedTuple):
    """One row: the score and tie of its truth; the coverage it promised, NaN for none, and whether that had the truth.

    ``calibrated`` is what it begins with.
    """

    at: float
    score: float
    tie: float
    asked: float
    covered: bool
    calibrated: Calibrated


class Adapting:
    """One strategy whose coverage adapts; among the combiners that learn, under a name that none of them can have."""

    def __init__(self, route: StrategyRoute, pool: PoolRoute) -> None:
        self.strategy = route.name
        self.name = learned.ADAPTIVE + route.name
        self.key = learned.adaptive_key(route, pool)
        own = route.conformal.coverage if route.conformal is not None else None
        extra = set() if own is None else {round(1.0 - own, 12)}
        self.settings = Adaptation(targets=tuple(sorted({*TARGETS, *extra})))

    def state(self, known: Mapping[str, Known]) -> State | None:
        """Its state among what the endpoint knows; None before it has learned anything of this calibration."""
        found = known.get(self.name)
        return found.state if found is not None and found.key == self.key else None

    def lessons(self, revision: LoggedRevision, joined: Sequence[Joined]) -> list[Any]:
        """What decisions made under ``revision`` teach it; nothing where it was calibrated otherwise."""
        mine = revision.promising.get(self.strategy)
        if mine is None or learned.adaptive_key(mine.route, revision.pool) != self.key:
            return []
        found: list[Scored] = []
        for each in joined:
            d = each.decision
            if is_erased(d.capture) or d.answer is None or served_by(d) != self.strategy:
                continue
            known = {row: truth_of(each, row) for row, new in each.new.items() if TRUTH in new}
            known = {row: truth for row, truth in known.items() if np.isfinite(truth)}
            scored = truth_scores(mine, d, list(known), np.array(list(known.values()))) if known else None
            if scored is not None:
                found += _scored(mine.calibrated, d, *scored)
        return found

    def learn(self, state: State | None, lessons: Iterable[Any], *, shown: bool) -> State | None:
        """The state after lessons, by the time their requests arrived; None while there is nothing to know.

        It learns nothing of decisions that have no outcome yet, so it does not matter whether they were ``shown``.
        """
        some = sorted(lessons, key=lambda each: each.at)
        if not some:
            return state
        known = adaptive.unpack(state) if state is not None else adaptive.start(some[0].calibrated, self.settings)
        scores, ties, asked, covered = (np.array([each[i] for each in some]) for i in range(1, 5))
        return adaptive.pack(adaptive.learn(known, scores, ties, self.settings, asked, covered))


def _scored(calibrated: Calibrated, decision: Packed, scores: Numbers, ties: Numbers) -> list[Scored]:
    """Rows whose truths have such scores; those without are left out."""
    coverage, kept = asked(decision.facts), np.flatnonzero(np.isfinite(scores))
    covered = np.ones(len(scores), bool)
    if coverage is not None:
        threshold = threshold_of(calibrated, decision.facts, coverage)
        covered = covers(scores, ties, threshold, np.zeros(len(scores), np.intp))
    promised = np.nan if coverage is None else coverage
    return [
        Scored(decision.arrived, float(scores[i]), float(ties[i]), promised, bool(covered[i]), calibrated)
        for i in kept.tolist()
    ]


def adapting(endpoint: EndpointRoute, pool: PoolRoute) -> tuple[Adapting, ...]:
    """An endpoint's strategies whose coverage adapts."""
    some = (route for route in endpoint.strategies if route.conformal is not None and route.conformal.adaptive)
    return tuple(Adapting(route, pool) for route in some)
