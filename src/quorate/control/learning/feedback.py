"""Feedback: what joined decisions tell a policy, a row of rewards for each row that something became known of."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from quorate.codecs.decision import Summary
from quorate.codecs.snapshot import RewardRoute
from quorate.control.learning.answering import LoggedRevision
from quorate.control.learning.rewards import FROM_TRUTH, VALUE, normalised, of_truths, worst
from quorate.control.outcomes.joined import Joined
from quorate.core.erasing import is_erased
from quorate.core.select.base import Feedback
from quorate.core.types import Decision, FloatArray
from quorate.core.value import values_of
from quorate.store.ledger import TRUTH

LEARNED, OTHER_POLICY, NOT_DRAWN, NO_REWARD = "learned", "other_policy", "not_drawn", "no_reward"
FAILED, ERASED = "failed", "erased"
"""What becomes of rows: learned from; or not, because they were answered under another policy or other strategies,
because the caller chose, because what became known is not what is learned from, because the policy raised an error,
or because the decision's subject was erased."""


_floats = msgspec.msgpack.Decoder(tuple[float, ...]).decode


class _Row(NamedTuple):
    """A row that is learned from; ``told`` is its metric where that is told, ``truth`` a class index or a number."""

    decision: Decision
    row: int
    assigned: int
    told: float
    truth: float


def feedback(
    revision: LoggedRevision, reward: RewardRoute, joined: Sequence[Joined], counts: Counter[str]
) -> list[Feedback]:
    """Rows whose reward has become known, all decided under ``revision``; the others are counted by why not."""
    rows = list(_rows(revision, reward.metric, joined, counts))
    counts[LEARNED] += len(rows)
    rewards = np.full((len(rows), len(revision.strategies)), math.nan)
    if reward.metric in FROM_TRUTH:
        _score(revision, reward, rows, rewards)
    elif reward.metric == VALUE:
        _value(revision, rows, rewards)
    else:
        for i, each in enumerate(rows):
            rewards[i, each.assigned] = each.told
    return [
        Feedback(d.context, d.facts, d.propensities, assigned, earned, d.arrived, d.latency_ms, d.error is not None)
        for (d, _, assigned, *_), earned in zip(rows, normalised(rewards, reward), strict=True)
    ]


def watched(decided: Summary, strategies: Sequence[str]) -> Iterator[Feedback]:
    """What a decision tells before anything is known about it: how long it took, and whether it failed."""
    if decided.assigned in strategies:
        yield Feedback(
            {},
            {},
            _floats(decided.propensities),
            strategies.index(decided.assigned),
            np.full(len(strategies), math.nan),
            decided.arrived,
            decided.latency_ms,
            decided.error is not None,
        )


def _rows(revision: LoggedRevision, metric: str, joined: Sequence[Joined], counts: Counter[str]) -> Iterator[_Row]:
    places = {strategy.name: i for i, strategy in enumerate(revision.strategies)}
    for each in joined:
        d = each.decision
        if is_erased(d.capture):  # its context and facts are gone
            counts[ERASED] += sum(map(bool, each.new.values()))
            continue
        place = None if d.source == "caller" or len(d.propensities) != len(places) else places.get(d.assigned)
        for row, new in each.new.items():
            if not new:
                continue
            found = None if place is None or d.abstained else _found(each, row, metric, new)
            if place is None or found is None:
                counts[NOT_DRAWN if place is None else NO_REWARD] += 1
            else:
                yield _Row(d, row, place, *found)


def _found(joined: Joined, row: int, metric: str, new: frozenset[str]) -> tuple[float, float] | None:
    """The metric of a row if it is told, and its truth, where that is new; what was known before was learned then."""
    if metric == VALUE:
        return (joined.values[row], truth_of(joined, row)) if row in joined.valued else None
    if metric not in FROM_TRUTH:
        return (joined.rewards[row][metric], math.nan) if metric in new else None
    truth = truth_of(joined, row) if TRUTH in new else math.nan
    return None if math.isnan(truth) else (math.nan, truth)


def truth_of(joined: Joined, row: int) -> float:
    """The index of the class, or the number; NaN where it is not known."""
    truth = joined.truths.get(row)
    if truth is None:
        return math.nan
    if truth.label is not None:
        return float(joined.decision.classes.index(truth.label))
    return math.nan if truth.value is None else truth.value


def _score(revision: LoggedRevision, reward: RewardRoute, rows: list[_Row], rewards: NDArray[np.float64]) -> None:
    """Fill in what each strategy earned: all of them where the members' outputs were recorded, the drawn one always.

    The drawn one earned what the caller got, also where a fallback answered in its place, and the worst for an error.
    """
    truths = np.array([each.truth for each in rows])
    for some, answers in _answers(revision, rows, range(len(rows))):
        rewards[some] = of_truths(answers, truths[some], reward.metric).T
    lost = worst(reward.metric, reward)
    answered = [i for i, each in enumerate(rows) if each.decision.answer is not None]
    rewards[range(len(rows)), [each.assigned for each in rows]] = lost
    if answered:
        served = np.concatenate([cast(FloatArray, rows[i].decision.answer)[rows[i].row, None] for i in answered])
        earned = of_truths(served, truths[answered], reward.metric)
        rewards[answered, [rows[i].assigned for i in answered]] = np.where(np.isnan(earned), lost, earned)


def _value(revision: LoggedRevision, rows: list[_Row], rewards: NDArray[np.float64]) -> None:
    """Fill in what each strategy's answers were worth; the drawn one's is told, the others' follow from the truth where
    nothing else counts."""
    spec = revision.endpoint.value
    if spec is not None and spec.needs_truth and not spec.rewards:
        classes = revision.pool.signature.output.classes
        for some, answers in _answers(revision, rows, [i for i, each in enumerate(rows) if not math.isnan(each.truth)]):
            known = np.isfinite(answers).all(axis=-1)
            said = np.where(known, np.nan_to_num(answers).argmax(axis=-1), -1) if classes else answers[..., 0]
            truths = np.array([rows[i].truth for i in some])[:, None]
            took = np.array([rows[i].decision.latency_ms for i in some])[:, None]
            if classes:
                truths = truths.astype(np.intp)
            worth = values_of(spec, classes, truths, said.T, {}, took)
            rewards[some] = np.where(known.T, worth, np.nan)
    for i, each in enumerate(rows):
        rewards[i, each.assigned] = each.told


def _answers(revision: LoggedRevision, rows: list[_Row], some: Iterable[int]) -> Iterator[tuple[list[int], FloatArray]]:
    """What all strategies answer to those of ``some`` rows whose members' outputs were recorded: ``[s, n, k]``."""
    alike: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for i in some:
        shape = rows[i].decision.outputs.shape
        if shape[2] and shape[1] == len(revision.members):
            alike[shape[1:]].append(i)
    for found in alike.values():
        outputs = np.concatenate([rows[i].decision.outputs[rows[i].row : rows[i].row + 1] for i in found])
        status = np.concatenate([rows[i].decision.status[rows[i].row : rows[i].row + 1] for i in found])
        yield found, revision.answers(outputs, status)
