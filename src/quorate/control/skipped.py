"""Why members were not asked, row by row, found out from a decision's record and the plan that decided it."""

from __future__ import annotations

from typing import Literal

import numpy as np

from quorate.codecs.snapshot import EndpointRoute, StrategyRoute
from quorate.control.learning.answering import LoggedStrategy, ReadBlob
from quorate.core.asking import MIN_CONFIDENCE
from quorate.core.plan.trace import held_back
from quorate.core.types import BoolArray, Decision, Status
from quorate.errors import QuorateError

Skipped = Literal["stopped", "no_time", "not_in_strategy"]
STOPPED: Skipped = "stopped"
NO_TIME: Skipped = "no_time"
NOT_IN_STRATEGY: Skipped = "not_in_strategy"
ALL_AT_ONCE = "all"


def why_skipped(decision: Decision, endpoint: EndpointRoute | None, read: ReadBlob) -> list[list[Skipped | None]]:
    """By member and row why it was not asked; None where it was, or where that is not known.

    ``endpoint`` is the revision that decided and ``read`` gives a blob of the registry. Plans are functions of what was
    answered: one that would go on from where a row ended had no time to, any other stopped.
    """
    skipped = decision.status == Status.SKIPPED
    found = np.full(skipped.shape, None, object)
    if endpoint is not None and skipped.any():
        name = decision.served or decision.assigned
        route = next((each for each in endpoint.strategies if each.name == name), None)
        members = (name,) if route is None else route.members
        mine = np.array([run.name in members for run in decision.members], np.bool_)
        found[skipped & ~mine] = NOT_IN_STRATEGY
        if route is not None and (skipped & mine).any():
            late = _late(decision, route, skipped & mine, read)
            if late is not None:
                found[skipped & mine & late] = NO_TIME
                found[skipped & mine & ~late] = STOPPED
    rows: list[list[Skipped | None]] = found.T.tolist()
    return rows


def _late(decision: Decision, route: StrategyRoute, skipped: BoolArray, read: ReadBlob) -> BoolArray | None:
    """Which of the members that were not asked would have been, with more time; None where that is not known."""
    if route.plan == ALL_AT_ONCE:
        return skipped  # only a deadline keeps such a plan from asking them
    if not decision.outputs.shape[2]:  # they were not recorded
        return None
    names = tuple(run.name for run in decision.members)
    try:
        strategy = LoggedStrategy.of(route, names, read)
    except (QuorateError, ValueError):  # of a plugin or with members that there are not any more
        return None
    if strategy.plan is None:
        return None
    columns = list(strategy.columns)
    late = np.zeros(skipped.shape, np.bool_)
    late[:, columns] = held_back(strategy.plan, decision.outputs[:, columns], decision.status[:, columns])
    return late | _unsure(decision)[:, None]


def _unsure(decision: Decision) -> BoolArray:
    """Rows that are less sure than was asked: a plan of several stages goes on for them while there is anybody left."""
    asked = decision.facts.get(MIN_CONFIDENCE)
    if decision.answer is None or not isinstance(asked, float | int):
        return np.zeros(decision.rows, np.bool_)
    unsure: BoolArray = ~(decision.answer.max(axis=1) >= np.float32(asked))
    return unsure
