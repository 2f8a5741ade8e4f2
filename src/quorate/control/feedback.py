"""Feedback: what joined decisions tell a policy, a row of rewards for each row that something became known of."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from quorate.codecs.decision import Summary
from quorate.codecs.snapshot import RewardRoute
from quorate.control.answering import LoggedRevision
from quorate.control.joined import Joined
from quorate.control.rewards import ACCURACY, FROM_TRUTH, VALUE, normalised, of_truths, worst
from quorate.core.select.base import Feedback
from quorate.core.types import Decision, FloatArray
from quorate.store.ledger import TRUTH

LEARNED, OTHER_POLICY, NOT_DRAWN, NO_REWARD = "learned", "other_policy", "not_drawn", "no_reward"
FAILED = "failed"
"""What becomes of rows: learned from; or not, because they were answered under another policy or other strategies,
because the caller chose, because what became known is not what is learned from, or because the policy raised an
error."""


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
    if metric in FROM_TRUTH:
        if TRUTH not in new:
            return None
        truth = joined.truths[row]
        if metric == ACCURACY:
            return math.nan, float(joined.decision.classes.index(truth.label or ""))
        return None if truth.value is None else (math.nan, truth.value)
    if metric == VALUE:
        before = (joined.rewards.get(row, {}).keys() | ({TRUTH} if row in joined.truths else set())) - new
        return None if before or row not in joined.values else (joined.values[row], math.nan)
    return (joined.rewards[row][metric], math.nan) if metric in new else None


def _score(revision: LoggedRevision, reward: RewardRoute, rows: list[_Row], rewards: NDArray[np.float64]) -> None:
    """Fill in what each strategy earned: all of them where the members' outputs were recorded, the drawn one always.

    The drawn one earned what the caller got, also where a fallback answered in its place, and the worst for an error.
    """
    alike: dict[tuple[int, ...], list[int]] = defaultdict(list)
    answered: list[int] = []
    for i, (d, *_) in enumerate(rows):
        shape = d.outputs.shape
        if shape[2] and shape[1] == len(revision.members):
            alike[shape[1:]].append(i)
        if d.answer is None:
            rewards[i, rows[i].assigned] = worst(reward.metric, reward)
        else:
            answered.append(i)
    truths = np.array([each.truth for each in rows])
    for some in alike.values():
        outputs = np.concatenate([rows[i].decision.outputs[rows[i].row : rows[i].row + 1] for i in some])
        status = np.concatenate([rows[i].decision.status[rows[i].row : rows[i].row + 1] for i in some])
        earned = of_truths(revision.answers(outputs, status), truths[some], reward.metric).T
        drawn = rewards[some]
        rewards[some] = np.where(np.isnan(drawn), earned, drawn)
    if answered:
        served = np.concatenate([cast(FloatArray, rows[i].decision.answer)[rows[i].row, None] for i in answered])
        earned = of_truths(served, truths[answered], reward.metric)
        lost = worst(reward.metric, reward)
        rewards[answered, [rows[i].assigned for i in answered]] = np.where(np.isnan(earned), lost, earned)
