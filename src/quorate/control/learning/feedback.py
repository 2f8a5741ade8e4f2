"""Feedback: what joined decisions tell a policy, a row of rewards for each row that something became known of."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from quorate.codecs.decision import Packed, Summary
from quorate.codecs.snapshot import RewardRoute
from quorate.control.learning.answering import LoggedRevision
from quorate.control.learning.rewards import FROM_TRUTH, VALUE, normalised, of_truths, worst
from quorate.control.outcomes.joined import Joined
from quorate.core.erasing import is_erased
from quorate.core.select.base import Feedback
from quorate.core.select.columns import FeedbackColumns, matrix
from quorate.core.types import FloatArray
from quorate.core.value import values_of
from quorate.store.ledger import TRUTH

LEARNED, OTHER_POLICY, NOT_DRAWN, NO_REWARD = "learned", "other_policy", "not_drawn", "no_reward"
FAILED, ERASED = "failed", "erased"
"""What becomes of rows: learned from; or not, because they were answered under another policy or other strategies,
because the caller chose, because what became known is not what is learned from, because the policy raised an error,
or because the decision's subject was erased."""


_Answer = tuple[int, int, bytes]
_floats = msgspec.msgpack.Decoder(tuple[float, ...]).decode


class _Rows:
    """Rows that are learned from, field by field; ``told`` is their metric where that is told, ``truths`` a class index
    or a number."""

    def __init__(self) -> None:
        self.decisions: list[Packed] = []
        self.rows: list[int] = []
        self.assigned: list[int] = []
        self.told: list[float] = []
        self.truths: list[float] = []

    def __len__(self) -> int:
        return len(self.rows)


def feedback(
    revision: LoggedRevision, reward: RewardRoute, joined: Sequence[Joined], counts: Counter[str]
) -> FeedbackColumns:
    """Rows whose reward has become known, all decided under ``revision``; the others are counted by why not."""
    rows = _rows(revision, reward.metric, joined, counts)
    n, k = len(rows), len(revision.strategies)
    counts[LEARNED] += n
    rewards = np.full((n, k), math.nan)
    if n and reward.metric in FROM_TRUTH:
        _score(revision, reward, rows, rewards)
    elif n and reward.metric == VALUE:
        _value(revision, rows, rewards)
    else:
        rewards[range(n), rows.assigned] = rows.told
    decisions = rows.decisions
    return FeedbackColumns(
        [d.context for d in decisions],
        [d.facts for d in decisions],
        matrix([d.propensities for d in decisions], k),
        np.array(rows.assigned, np.intp),
        normalised(rewards, reward),
        np.array([d.times[0] for d in decisions], np.float64),
        np.array([d.times[2] for d in decisions], np.float64),
        np.array([d.error is not None for d in decisions], np.bool_),
    )


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


def _rows(revision: LoggedRevision, metric: str, joined: Sequence[Joined], counts: Counter[str]) -> _Rows:
    places = {strategy.name: i for i, strategy in enumerate(revision.strategies)}
    rows = _Rows()
    for each in joined:
        d = each.decision
        if is_erased(d.capture):  # its context and facts are gone
            counts[ERASED] += sum(map(bool, each.new.values()))
            continue
        place = None if d.source == "caller" or len(d.propensities) != len(places) else places.get(d.assigned)
        for row, new in each.new.items():
            if not new:
                continue
            found = None if place is None or d.withholds(row) else _found(each, row, metric, new)
            if place is None or found is None:
                counts[NOT_DRAWN if place is None else NO_REWARD] += 1
                continue
            rows.decisions.append(d)
            rows.rows.append(row)
            rows.assigned.append(place)
            rows.told.append(found[0])
            rows.truths.append(found[1])
    return rows


def _found(joined: Joined, row: int, metric: str, new: frozenset[str]) -> tuple[float, float] | None:
    """The metric of a row if it is told, and its truth, where that is new; what was known before was learned then."""
    if metric in FROM_TRUTH:
        truth = truth_of(joined, row) if TRUTH in new else math.nan
        return None if truth != truth else (math.nan, truth)
    if metric == VALUE:
        return (joined.values[row], truth_of(joined, row)) if row in joined.valued else None
    return (joined.rewards[row][metric], math.nan) if metric in new else None


def truth_of(joined: Joined, row: int) -> float:
    """The index of the class, or the number; NaN where it is not known."""
    truth = joined.truths.get(row)
    if truth is None:
        return math.nan
    if truth.label is not None:
        return float(joined.decision.classes.index(truth.label))
    return math.nan if truth.value is None else truth.value


def _score(revision: LoggedRevision, reward: RewardRoute, rows: _Rows, rewards: NDArray[np.float64]) -> None:
    """Fill in what each strategy earned: all of them where the members' outputs were recorded, the drawn one always.

    The drawn one earned what the caller got, also where a fallback answered in its place, and the worst for an error.
    """
    truths = np.array(rows.truths)
    for some, answers in _answers(revision, rows, range(len(rows))):
        rewards[some] = of_truths(answers, truths[some], reward.metric).T
    lost = worst(reward.metric, reward)
    drawn = np.array(rows.assigned, np.intp)
    rewards[np.arange(len(rows)), drawn] = lost
    alike: dict[int, list[int]] = defaultdict(list)
    for i, decision in enumerate(rows.decisions):
        if decision.answer is not None:
            alike[decision.answer[1]].append(i)
    for width, some in alike.items():
        parts = [_row(cast(_Answer, rows.decisions[i].answer)[2], rows.rows[i], 4 * width) for i in some]
        served = np.frombuffer(b"".join(parts), "<f4").reshape(len(some), width)
        earned = of_truths(served, truths[some], reward.metric)
        rewards[some, drawn[some]] = np.where(np.isnan(earned), lost, earned)


def _value(revision: LoggedRevision, rows: _Rows, rewards: NDArray[np.float64]) -> None:
    """Fill in what each strategy's answers were worth; the drawn one's is told, the others' follow from the truth where
    nothing else counts."""
    spec = revision.endpoint.value
    if spec is not None and spec.needs_truth and not spec.rewards:
        classes = revision.pool.signature.output.classes
        for some, answers in _answers(
            revision, rows, [i for i, each in enumerate(rows.truths) if not math.isnan(each)]
        ):
            known = np.isfinite(answers).all(axis=-1)
            said = np.where(known, np.nan_to_num(answers).argmax(axis=-1), -1) if classes else answers[..., 0]
            truths = np.array([rows.truths[i] for i in some])[:, None]
            took = np.array([rows.decisions[i].latency_ms for i in some])[:, None]
            if classes:
                truths = truths.astype(np.intp)
            worth = values_of(spec, classes, truths, said.T, {}, took)
            rewards[some] = np.where(known.T, worth, np.nan)
    rewards[np.arange(len(rows)), rows.assigned] = rows.told


def _answers(revision: LoggedRevision, rows: _Rows, some: Iterable[int]) -> Iterator[tuple[list[int], FloatArray]]:
    """What all strategies answer to those of ``some`` rows whose members' outputs were recorded: ``[s, n, k]``."""
    members = len(revision.members)
    alike: dict[tuple[int, int], list[int]] = defaultdict(list)
    for i in some:
        decision = rows.decisions[i]
        _, m, width = decision.shape
        if width and m == members:
            alike[width, 0 if decision.features is None else decision.features[0]].append(i)
    for (width, features), found in alike.items():
        each = [(rows.decisions[i], rows.rows[i]) for i in found]
        outputs = b"".join([_row(d.outputs, row, 4 * members * width) for d, row in each])
        status = b"".join([_row(d.status, row, members) for d, row in each])
        seen = b"".join([_row(d.features[1], row, 4 * features) for d, row in each if d.features is not None])
        yield (
            found,
            revision.answers(
                np.frombuffer(outputs, "<f4").reshape(len(found), members, width),
                np.frombuffer(status, "i1").reshape(len(found), members),
                np.frombuffer(seen, "<f4").reshape(len(found), features) if features else None,
            ),
        )


def _row(raw: bytes, row: int, size: int) -> bytes:
    """The bytes of one row, of so many bytes each."""
    return raw if len(raw) == size else raw[row * size : (row + 1) * size]
