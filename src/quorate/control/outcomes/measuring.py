"""What counts of a decision as numbers: wrong or right, the error, rewards, the business value; and their sums."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, cast

import numpy as np

from quorate.codecs.decision import Packed
from quorate.control.outcomes.settling import Counted, Settled
from quorate.core.stats.survival import bucket
from quorate.core.value import ValueSpec, value_of
from quorate.store.ledger import INVALID, JOINED, LATE, REPLACED, TRUTH, StoredOutcome
from quorate.store.tallies import REWARD, SCORES, VALUES, WORTH

_STATES = {JOINED: 0, REPLACED: 1, LATE: 2, INVALID: 3}

Values = dict[int, float]
"""Business values by row."""
Answers = tuple[str | float | None, ...]
"""What was answered to each row: a class or a number; None where nothing was, or not one number."""


class Measures:
    """Sums over decisions, to be added to those in the store; keys are plain tuples, which are made faster."""

    def __init__(self) -> None:
        self.sums: dict[tuple[str, int, int, str, str, str], list[float]]
        self.sums = defaultdict(lambda: [0, 0, 0, 0.0, 0.0, 0.0])
        self.told: dict[tuple[str, int, str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        self.delays: dict[tuple[str, int, str], dict[int, int]] = defaultdict(lambda: defaultdict(int))

    def add(
        self,
        decision: Packed,
        answers: Answers,
        told: Iterable[StoredOutcome],
        settled: Settled,
        value: ValueSpec | None,
        sign: int = 1,
    ) -> Values:
        """Add what was told of a decision and what counts of it, or take it away; returns the values of its rows."""
        arrived, endpoint = decision.times[0], decision.endpoint
        minute = int(arrived // 60)
        for each in told:
            self.told[endpoint, minute, each.metric, each.source][_STATES[each.state]] += sign
        for (_, metric), received in settled.first.items():
            self.delays[endpoint, minute, metric][bucket(received - arrived)] += sign
        counted = settled.counted
        worth = worth_of(decision, answers, counted, value) if value is not None else {}
        if worth:
            self._sum(decision, minute, WORTH, list(worth.values()), sign)
        if len(counted) == 1:
            ((row, metric), outcome) = next(iter(counted.items()))
            name, number = _number(decision, answers, row, metric, outcome)
            if number is not None:
                self._sum(decision, minute, name, (number,), sign)
            return worth
        by_metric: dict[str, list[float]] = {}
        for (row, metric), outcome in counted.items():
            name, number = _number(decision, answers, row, metric, outcome)
            if number is not None:
                by_metric.setdefault(name, []).append(number)
        for name, numbers in by_metric.items():
            self._sum(decision, minute, name, numbers, sign)
        return worth

    def _sum(self, d: Packed, minute: int, metric: str, numbers: Sequence[float], sign: int) -> None:
        sums = self.sums[d.endpoint, minute, d.revision, d.assigned, d.source, metric]
        n = len(numbers)
        s = numbers[0] if n == 1 else math.fsum(numbers)
        sums[0] += sign
        sums[1] += sign * n
        sums[2] += sign * n * n
        sums[3] += sign * s
        sums[4] += sign * s * s
        sums[5] += sign * n * s


def answers_of(decisions: Sequence[Packed]) -> list[Answers]:
    """What was answered, by decision and row."""
    found: list[Answers] = [(None,) * decision.rows for decision in decisions]
    alike: dict[tuple[str, int], list[int]] = defaultdict(list)
    for i, decision in enumerate(decisions):
        if decision.answer is not None and (not decision.flags[1] or decision.withheld) and decision.answer[1]:
            alike[decision.output_kind, decision.answer[1]].append(i)
    for (kind, width), some in alike.items():
        raws = [cast(tuple[int, int, bytes], decisions[i].answer) for i in some]
        numbers = np.frombuffer(b"".join([raw for _, _, raw in raws]), "<f4").reshape(-1, width)
        if kind == "scores":
            best = numbers.argmax(axis=1)  # of NaN, where there is one
            known = np.isfinite(numbers[np.arange(len(best)), best]).tolist()
            said: list[Any] = best.tolist()
        else:
            said, known = numbers[:, 0].tolist(), (np.isfinite(numbers[:, 0]) & (width == 1)).tolist()
        at = 0
        for i, (rows, _, _) in zip(some, raws, strict=True):
            classes = decisions[i].classes if kind == "scores" else None
            if rows == 1:
                found[i] = (_answer(said[at], known[at], classes),)
            else:
                mine = slice(at, at + rows)
                pairs = zip(said[mine], known[mine], strict=True)
                found[i] = tuple([_answer(each, is_known, classes) for each, is_known in pairs])
            if decisions[i].withheld:
                found[i] = tuple([None if decisions[i].withholds(row) else one for row, one in enumerate(found[i])])
            at += rows
    return found


def _answer(said: Any, known: bool, classes: tuple[str, ...] | None) -> str | float | None:
    return None if not known else said if classes is None else classes[said]


def _number(
    decision: Packed, answers: Answers, row: int, metric: str, outcome: StoredOutcome
) -> tuple[str, float | None]:
    """The metric's name among the measures, and its number, None where there is none."""
    if metric == TRUTH:
        return SCORES if decision.output_kind == "scores" else VALUES, _loss(answers, row, outcome)
    return REWARD + metric, outcome.value


def _loss(answers: Answers, row: int, truth: StoredOutcome) -> float | None:
    answer = answers[row]
    if answer is None:
        return None
    if isinstance(answer, str):
        return float(answer != truth.label)
    return None if truth.value is None else abs(answer - truth.value)


def worth_of(decision: Packed, answers: Answers, counted: Counted, value: ValueSpec | None) -> Values:
    """What the answers of a decision were worth, by row, where that is known."""
    if value is None or not counted:
        return {}
    rewards: dict[int, dict[str, float]] = {}
    truths: dict[int, str | float | None] = {}
    for (row, metric), outcome in counted.items():
        known = rewards.setdefault(row, {})
        if metric == TRUTH:
            truths[row] = outcome.label if outcome.value is None else outcome.value
        elif outcome.value is not None:
            known[metric] = outcome.value
    found = {
        row: value_of(value, truths.get(row), answers[row], known, decision.latency_ms)
        for row, known in rewards.items()
    }
    return {row: each for row, each in found.items() if math.isfinite(each)}
