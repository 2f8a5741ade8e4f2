"""Feedback: what joined decisions tell a policy, a row of rewards for each row that something became known of."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quorate.codecs.snapshot import RewardRoute
from quorate.control.answering import LoggedRevision
from quorate.control.joined import Joined
from quorate.control.rewards import ACCURACY, FROM_TRUTH, VALUE, normalised, of_truths, worst
from quorate.core.select.base import Feedback
from quorate.core.types import Decision
from quorate.store.ledger import TRUTH

LEARNED, OTHER_POLICY, NOT_DRAWN, NO_REWARD = "learned", "other_policy", "not_drawn", "no_reward"
FAILED = "failed"
"""What becomes of rows: learned from; or not, because they were answered under another policy or other strategies,
because the caller chose, because what became known is not what is learned from, or because the policy raised an
error."""


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
    rewards = normalised(rewards, reward)
    return [
        Feedback(
            each.decision.context,
            each.decision.facts,
            each.decision.propensities,
            each.assigned,
            rewards[i],
            each.decision.arrived,
            each.decision.latency_ms,
            each.decision.error is not None,
        )
        for i, each in enumerate(rows)
    ]


def _rows(revision: LoggedRevision, metric: str, joined: Sequence[Joined], counts: Counter[str]) -> Iterator[_Row]:
    names = [strategy.name for strategy in revision.strategies]
    for each in joined:
        d = each.decision
        drawn = d.source != "caller" and d.assigned in names and len(d.propensities) == len(names)
        for row, new in each.new.items():
            if not new:
                continue
            found = _found(each, row, metric, new) if drawn and not d.abstained else None
            if found is None:
                counts[NO_REWARD if drawn else NOT_DRAWN] += 1
            else:
                yield _Row(d, row, names.index(d.assigned), *found)


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
    for i, each in enumerate(rows):
        shape = each.decision.outputs.shape
        if shape[2] and shape[1] == len(revision.members):
            alike[shape[1:]].append(i)
    for some in alike.values():
        outputs = np.stack([rows[i].decision.outputs[rows[i].row] for i in some])
        status = np.stack([rows[i].decision.status[rows[i].row] for i in some])
        truths = np.array([rows[i].truth for i in some])
        rewards[some] = of_truths(revision.answers(outputs, status), truths, reward.metric).T
    answers = [each.decision.answer for each in rows]
    got = [i for i, answer in enumerate(answers) if answer is not None and np.isfinite(answer[rows[i].row]).all()]
    if got:
        served = np.stack([answers[i][rows[i].row] for i in got])  # type: ignore[index]
        earned = of_truths(served, np.array([rows[i].truth for i in got]), reward.metric)
        rewards[got, [rows[i].assigned for i in got]] = earned
    for i in set(range(len(rows))).difference(got):
        rewards[i, rows[i].assigned] = worst(reward.metric, reward)
