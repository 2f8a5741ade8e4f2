"""What was lost row by row: by what was served, and by each strategy and member, had it answered alone.

Losses follow the metric that the endpoint's policy learns from, as ``1 - reward`` with rewards as it is told them;
where it does not learn, they are mistakes, or the absolute error. Where the truth and the members' outputs are on
record, every strategy's and every member's loss is known: what they answer is computed by the combiners that served.
Else that of the strategy that was drawn is, and nobody else's. What a combiner that learns would have answered is not
known either, as what it knew then is not on record.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from quorate.codecs import learned
from quorate.codecs.decision import Packed
from quorate.codecs.lookup import JournalReader
from quorate.codecs.snapshot import EndpointRoute, PoolRoute, RewardRoute
from quorate.control.learning.answering import LoggedRevision, ReadBlob, SameStrategies
from quorate.control.learning.feedback import ERASED, NO_REWARD, NOT_DRAWN, OTHER_POLICY, truth_of, worths
from quorate.control.learning.rewards import ACCURACY, ERROR, FROM_TRUTH, VALUE, normalised, of_truths, worst
from quorate.control.outcomes.joined import Joined
from quorate.control.outcomes.rejoining import Newest, by_revision
from quorate.core.erasing import is_erased
from quorate.core.types import FloatArray, Status

DECISIONS = 5000
"""Decisions with outcomes that are looked at, the newest ones."""
LOOKED = 20_000
"""Decisions with outcomes that are read for them, of all endpoints."""

Floats = NDArray[np.float64]
Unit = Literal["mistakes", "absolute error", "rewards"]


@dataclass(frozen=True, slots=True)
class Losses:
    """n rows, by arrival: ``at`` (Unix seconds), ``served`` ``[n]``, and what ``names`` lost, ``[n, c]``.

    ``lost`` is NaN where it is not known; the strategies are first, then the members. ``drawn`` is the strategy's
    index, ``propensities`` are ``[n, s]``. ``left_out`` counts other rows by why; ``whole``: there are no older ones.
    """

    at: Floats
    served: Floats
    strategies: tuple[str, ...]
    members: tuple[str, ...]
    lost: Floats
    drawn: NDArray[np.intp]
    propensities: Floats
    metric: str
    unit: Unit
    left_out: dict[str, int]
    whole: bool

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns; a member that is called as a strategy is says that it is one."""
        return (*self.strategies, *(f"{name} (member)" if name in self.strategies else name for name in self.members))


class _Row(NamedTuple):
    decision: Packed
    row: int
    drawn: int
    truth: float
    told: float


def losses(
    connection: sa.Connection,
    reader: JournalReader,
    read: ReadBlob,
    endpoint: EndpointRoute,
    pool: PoolRoute,
    *,
    most: int = DECISIONS,
) -> Losses:
    """Of the newest ``most`` decisions of which something is known, made by the same strategies of the same members."""
    reward, metric, unit = _scale(endpoint, pool)
    revisions = SameStrategies(connection, endpoint.name, learned.arms(endpoint, pool), read)
    left, parts = Counter[str](), list[_Part]()
    members = tuple(member.name for member in pool.members)
    strategies = tuple(strategy.name for strategy in endpoint.strategies)
    newest = Newest(connection, reader, endpoint.name, looked=LOOKED)
    for number, some in by_revision(_newest(newest, most)).items():
        revision = revisions.of(number)
        if revision is None:
            left[OTHER_POLICY] += sum(each.decision.rows for each in some)
            continue
        parts += _parts(revision, reward, metric, _rows(strategies, metric, some, left))
    at, served, lost, drawn, propensities = _stacked(parts, len(strategies), len(members))
    order = np.argsort(at, kind="stable")
    return Losses(
        at[order], served[order], strategies, members, lost[order], drawn[order], propensities[order], metric, unit,
        dict(left), newest.whole,
    )  # fmt: skip


def _scale(endpoint: EndpointRoute, pool: PoolRoute) -> tuple[RewardRoute | None, str, Unit]:
    """What losses are measured by: the policy's reward (None: numbers as they are), its metric, and the unit."""
    reward = endpoint.policy.reward
    if reward is None:
        scores = pool.signature.output.kind == "scores"
        return (RewardRoute(), ACCURACY, "mistakes") if scores else (None, ERROR, "absolute error")
    plain = reward.metric == ACCURACY and (reward.low, reward.high) == (0.0, 1.0)
    return reward, reward.metric, "mistakes" if plain else "rewards"


def _newest(newest: Newest, most: int) -> list[Joined]:
    found = list[Joined]()
    for joined in newest:
        found += joined[: most - len(found)]
        if len(found) >= most:
            break
    return found


def _rows(strategies: Sequence[str], metric: str, joined: Sequence[Joined], left: Counter[str]) -> list[_Row]:
    places = {name: i for i, name in enumerate(strategies)}
    found = []
    for each in joined:
        d = each.decision
        rows = sorted({*each.truths, *each.rewards, *each.values})
        place = None if d.source == "caller" or len(d.propensities) != len(places) else places.get(d.assigned)
        if is_erased(d.capture):
            left[ERASED] += len(rows)
        elif place is None:
            left[NOT_DRAWN] += len(rows)
        else:
            told = _told(metric)
            made = [_Row(d, row, place, truth_of(each, row), told(each, row)) for row in rows]
            known = [row for row in made if not d.withholds(row.row) and _usable(row, metric)]
            left[NO_REWARD] += len(made) - len(known)
            found += known
    return found


def _told(metric: str) -> Callable[[Joined, int], float]:
    if metric == VALUE:
        return lambda each, row: each.values.get(row, np.nan)
    return lambda each, row: each.rewards.get(row, {}).get(metric, np.nan)


def _usable(row: _Row, metric: str) -> bool:
    return bool(np.isfinite(row.truth if metric in FROM_TRUTH else row.told))


class _Part(NamedTuple):
    at: Floats
    served: Floats
    lost: Floats
    drawn: NDArray[np.intp]
    propensities: Floats


def _parts(revision: LoggedRevision, reward: RewardRoute | None, metric: str, rows: Sequence[_Row]) -> Iterator[_Part]:
    """Rows with the same shapes together."""
    alike: dict[tuple[int, int, int], list[_Row]] = defaultdict(list)
    for row in rows:
        d = row.decision
        answered = 0 if d.answer is None else d.answer[1]
        alike[d.shape[2], 0 if d.features is None else d.features[0], answered].append(row)
    for (width, features, answered), some in alike.items():
        s, m = len(revision.strategies), len(revision.members)
        lost = np.full((len(some), s + m), np.nan)
        if width and all(row.decision.shape[1] == m for row in some):
            lost[:] = _everybody(revision, reward, metric, some, features)
        served = _served(reward, metric, some, answered)
        drawn = np.array([row.drawn for row in some], np.intp)
        lost[np.arange(len(some)), drawn] = served  # what the caller got, whoever gave it
        at = np.array([row.decision.arrived for row in some])
        yield _Part(at, served, lost, drawn, np.array([row.decision.propensities for row in some], np.float64))


def _everybody(
    revision: LoggedRevision, reward: RewardRoute | None, metric: str, rows: Sequence[_Row], width: int
) -> Floats:
    """What all strategies and members lost ``[n, s + m]``, where the metric follows from the truth; else NaN."""
    m = len(revision.members)
    outputs = np.stack([np.frombuffer(r.decision.outputs, "<f4").reshape(r.decision.shape)[r.row] for r in rows])
    status = np.stack([np.frombuffer(r.decision.status, "i1").reshape(-1, m)[r.row] for r in rows])
    seen = [r.decision.features for r in rows]
    features = (
        np.stack([np.frombuffer(f[1], "<f4").reshape(-1, width)[r.row] for f, r in zip(seen, rows, strict=True) if f])
        if width
        else None
    )
    answers = revision.answers(outputs, status, features)
    ok = (status == Status.OK).T
    alone = np.where(ok[:, :, None], outputs.transpose(1, 0, 2), np.nan).astype(np.float32)
    lost = _lost(revision, reward, metric, np.concatenate([answers, alone]), rows).T
    failed = (status == Status.FAILED) & np.isfinite([r.truth for r in rows])[:, None]
    most = 1.0 if reward is not None else np.nan  # a number that is not there has no error
    lost[:, len(answers) :] = np.where(failed, most, lost[:, len(answers) :])
    return lost


def _lost(
    revision: LoggedRevision, reward: RewardRoute | None, metric: str, answers: FloatArray, rows: Sequence[_Row]
) -> Floats:
    """Losses of answers ``[a, n, k]``, ``[a, n]``."""
    truths = np.array([row.truth for row in rows])
    if metric in FROM_TRUTH:
        return _as_loss(of_truths(answers, truths, metric), reward)
    spec = revision.endpoint.value
    if metric == VALUE and spec is not None and spec.needs_truth and not spec.rewards:
        known = np.isfinite(truths)
        classes = revision.pool.signature.output.classes
        took = np.array([row.decision.latency_ms for row in rows])
        found = worths(spec, classes, answers, np.where(known, truths, 0.0), took)
        return _as_loss(np.where(known, found, np.nan), reward)
    return np.full(answers.shape[:2], np.nan)


def _served(reward: RewardRoute | None, metric: str, rows: Sequence[_Row], width: int) -> Floats:
    """What was lost by what callers got, ``[n]``; nothing at all is the worst."""
    if metric not in FROM_TRUTH:
        return _as_loss(np.array([row.told for row in rows]), reward)
    lost = np.nan if reward is None else float(_as_loss(np.array(worst(metric, reward)), reward))
    if not width:
        return np.full(len(rows), lost)
    answers = np.stack(
        [np.frombuffer(r.decision.answer[2], "<f4").reshape(-1, width)[r.row] for r in rows if r.decision.answer]
    )
    found = _as_loss(of_truths(answers, np.array([row.truth for row in rows]), metric), reward)
    return np.where(np.isnan(found), lost, found)


def _as_loss(values: Floats, reward: RewardRoute | None) -> Floats:
    return values if reward is None else 1.0 - normalised(values, reward)


def _stacked(parts: Sequence[_Part], s: int, m: int) -> _Part:
    none = _Part(
        np.empty(0), np.empty(0), np.empty((0, s + m)), np.empty(0, np.intp), np.empty((0, s))
    )  # so that nothing has a shape, too
    return _Part(*(np.concatenate(columns) for columns in zip(none, *parts, strict=True)))
