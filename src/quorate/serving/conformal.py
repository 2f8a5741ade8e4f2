"""Conformal sets and intervals of answers: whether a coverage can be promised, and what then belongs to a decision."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quorate.core.asking import check_seeing, lacking
from quorate.core.conformal.recorded import COVERAGE, DIVERTED, promised
from quorate.core.types import Decision, Scalar
from quorate.errors import InvalidInput
from quorate.serving.call import Call
from quorate.serving.endpoint import Choice, LoadedEndpoint
from quorate.serving.strategy import LoadedStrategy

_PATH = "options.coverage"
_ANSWER = frozenset({"label", "probabilities"})
"""What a row is not told that is told none."""


def check(endpoint: LoadedEndpoint, choice: Choice, call: Call) -> None:
    """Raise a client error unless every strategy that could have been assigned can promise what the call asks for.

    All of them, not the one that was drawn: whether a request is right must not depend on a draw.
    """
    coverage = call.coverage
    if coverage is None:
        return
    check_seeing(endpoint.name, blind=endpoint.blind, path=_PATH)
    likely = [endpoint.strategies[n] for n, p in zip(endpoint.names, choice.propensities, strict=True) if p > 0]
    for strategy in [*likely, choice.strategy]:
        why = _lacks(strategy, coverage)
        if why is not None:
            raise InvalidInput(why, path=_PATH)


def refuse(endpoint: LoadedEndpoint, coverage: float, strategy: str | None) -> None:
    """Raise a client error where no row of a batch could be answered so, whatever is drawn for it."""
    check_seeing(endpoint.name, blind=endpoint.blind, path=_PATH)
    some = endpoint.strategies.values() if strategy is None else [endpoint.strategy(strategy)]
    reasons = [_lacks(each, coverage) for each in some]
    if reasons[0] is not None and None not in reasons:
        raise InvalidInput(reasons[0], path=_PATH)


def _lacks(strategy: LoadedStrategy, coverage: float) -> str | None:
    return lacking(strategy.name, None if strategy.promise is None else strategy.promise.calibrated, coverage)


def settled(
    decision: Decision,
    endpoint: LoadedEndpoint,
    choice: Choice,
    call: Call,
    served: LoadedStrategy | None,
    *,
    cut: bool = False,
) -> Decision:
    """The decision with what its coverage adds to the record; the same where none is asked for, or it has no answer.

    What was ``cut`` for want of time, or had to go on until it was sure, is not the answer that was calibrated.
    """
    if endpoint.blind or served is None or decision.answer is None:
        return decision
    first = choice.strategy.promise
    coverage = call.coverage if call.coverage is not None else None if first is None else first.coverage
    if coverage is None:
        return decision
    mine = served.promise
    facts: dict[str, Scalar] = {COVERAGE: coverage} if mine is None else mine.facts(coverage)
    if cut or (served.staged and call.min_confidence is not None):
        facts[DIVERTED] = True
    decision = decision._replace(facts={**decision.facts, **facts})
    rows = _rows(decision, served)
    if not rows:
        return decision
    endpoint.on_sets(served.name, [len(row["set"]) if "set" in row else None for row in rows])
    withheld = tuple(i for i, row in enumerate(rows) if row["abstained"] or decision.withholds(i))
    return decision._replace(abstained=bool(withheld), withheld=withheld if len(withheld) < len(rows) else ())


def add(endpoint: LoadedEndpoint, decision: Decision, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Predictions ``rows`` with their sets or intervals, where the decision has a coverage.

    A row that is not told an answer keeps its set; why it is not told one was said before, or is said here.
    """
    found = extras(endpoint, decision)
    if found is None:
        return rows
    return [
        {**more, **row}
        if row.get("abstained")
        else {**({k: v for k, v in row.items() if k not in _ANSWER} if more["abstained"] else row), **more}
        for row, more in zip(rows, found, strict=True)
    ]


def extras(endpoint: LoadedEndpoint, decision: Decision) -> list[dict[str, Any]] | None:
    """By row what the decision's coverage adds to the answer; None where it has none."""
    if COVERAGE not in decision.facts or endpoint.blind or decision.served is None:
        return None
    return _rows(decision, endpoint.strategy(decision.served))


def tensors(endpoint: LoadedEndpoint, decision: Decision) -> dict[str, NDArray[Any]]:
    """The same as tensors: ``set`` bool ``[n, k]`` or ``interval`` float64 ``[n, 2]``; ``abstained`` bool ``[n]``."""
    found = extras(endpoint, decision)
    if found is None:
        return {}
    withheld = [decision.withholds(i) for i in range(decision.rows)]
    more: dict[str, NDArray[Any]] = {"abstained": np.array(withheld, np.bool_)}
    if "set" in found[0]:
        inside = [[label in row["set"] for label in decision.classes] for row in found]
        return {"set": np.array(inside, np.bool_)} | more
    ends = [
        [-math.inf if low is None else low, math.inf if high is None else high]
        for low, high in (row["interval"] for row in found)
    ]
    return {"interval": np.array(ends, np.float64)} | more


def _rows(decision: Decision, served: LoadedStrategy) -> list[dict[str, Any]] | None:
    mine = served.promise
    if mine is None:
        return promised(decision, None, served.members)
    return promised(decision, mine.calibrated, served.members, mine.abstain)
