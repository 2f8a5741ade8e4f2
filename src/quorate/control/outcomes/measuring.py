"""What counts of a decision as numbers: wrong or right, the error, rewards, the business value; and their sums."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from quorate.control.outcomes.settling import Counted
from quorate.core.stats.survival import bucket
from quorate.core.types import Decision
from quorate.core.value import ValueSpec, value_of
from quorate.store.ledger import INVALID, JOINED, LATE, REPLACED, TRUTH, StoredOutcome
from quorate.store.tallies import REWARD, SCORES, VALUES, WORTH

_STATES = {JOINED: 0, REPLACED: 1, LATE: 2, INVALID: 3}

Values = dict[int, float]
"""Business values by row."""


class Measures:
    """Sums over decisions, to be added to those in the store; keys are plain tuples, which are made faster."""

    def __init__(self) -> None:
        self.sums: dict[tuple[str, int, int, str, str, str], list[float]] = {}
        self.told: dict[tuple[str, int, str, str], list[int]] = {}
        self.delays: dict[tuple[str, int, str], dict[int, int]] = {}

    def add(self, decision: Decision, counted: Counted, value: ValueSpec | None, sign: int = 1) -> Values:
        """Add what counts of a decision, or take it away; returns the values of its rows."""
        worth = _worth(decision, counted, value) if value is not None and counted else {}
        if worth:
            self._sum(decision, WORTH, list(worth.values()), sign)
        if len(counted) == 1:
            ((row, metric), outcome) = next(iter(counted.items()))
            name, number = _number(decision, row, metric, outcome)
            if number is not None:
                self._sum(decision, name, (number,), sign)
            return worth
        by_metric: dict[str, list[float]] = {}
        for (row, metric), outcome in counted.items():
            name, number = _number(decision, row, metric, outcome)
            if number is not None:
                by_metric.setdefault(name, []).append(number)
        for name, numbers in by_metric.items():
            self._sum(decision, name, numbers, sign)
        return worth

    def _sum(self, d: Decision, metric: str, numbers: Sequence[float], sign: int) -> None:
        key = (d.endpoint, int(d.arrived // 60), d.revision, d.assigned, d.source, metric)
        sums = self.sums.get(key)
        if sums is None:
            sums = self.sums[key] = [0, 0, 0, 0.0, 0.0, 0.0]
        n = len(numbers)
        s = numbers[0] if n == 1 else math.fsum(numbers)
        sums[0] += sign
        sums[1] += sign * n
        sums[2] += sign * n * n
        sums[3] += sign * s
        sums[4] += sign * s * s
        sums[5] += sign * n * s

    def came(self, decision: Decision, first: Mapping[tuple[int, str], float], sign: int = 1) -> None:
        """Count how long after the decision its first outcomes came, or take that away."""
        minute = int(decision.arrived // 60)
        for (_, metric), received in first.items():
            key = (decision.endpoint, minute, metric)
            counts = self.delays.get(key)
            if counts is None:
                counts = self.delays[key] = {}
            each = bucket(received - decision.arrived)
            counts[each] = counts.get(each, 0) + sign

    def states(self, decision: Decision, values: Iterable[StoredOutcome], sign: int = 1) -> None:
        """Count the states of values told, or take them away."""
        minute = int(decision.arrived // 60)
        for value in values:
            key = (decision.endpoint, minute, value.metric, value.source)
            counts = self.told.get(key)
            if counts is None:
                counts = self.told[key] = [0, 0, 0, 0]
            counts[_STATES[value.state]] += sign


def _number(decision: Decision, row: int, metric: str, outcome: StoredOutcome) -> tuple[str, float | None]:
    """The metric's name among the measures, and its number, None where there is none."""
    if metric == TRUTH:
        return SCORES if decision.output_kind == "scores" else VALUES, _loss(decision, row, outcome)
    return REWARD + metric, outcome.value


def answer_of(decision: Decision, row: int) -> str | float | None:
    """What was answered for a row: a class or a number; None where nothing was, or not one number."""
    if decision.answer is None or decision.abstained:
        return None
    answer = decision.answer[row]
    if decision.output_kind != "scores":
        return float(answer[0]) if len(answer) == 1 and math.isfinite(answer[0]) else None
    best = int(answer.argmax())  # of NaN, where there is one
    return decision.classes[best] if math.isfinite(answer[best]) else None


def _loss(decision: Decision, row: int, truth: StoredOutcome) -> float | None:
    answer = answer_of(decision, row)
    if answer is None:
        return None
    if isinstance(answer, str):
        return float(answer != truth.label)
    return None if truth.value is None else abs(answer - truth.value)


def _worth(decision: Decision, counted: Counted, value: ValueSpec) -> Values:
    rewards: dict[int, dict[str, float]] = {}
    truths: dict[int, str | float | None] = {}
    for (row, metric), outcome in counted.items():
        known = rewards.setdefault(row, {})
        if metric == TRUTH:
            truths[row] = outcome.label if outcome.value is None else outcome.value
        elif outcome.value is not None:
            known[metric] = outcome.value
    found = {
        row: value_of(value, truths.get(row), answer_of(decision, row), known, decision.latency_ms)
        for row, known in rewards.items()
    }
    return {row: each for row, each in found.items() if math.isfinite(each)}
