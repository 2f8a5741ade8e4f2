"""What mixtures of strategies come to on the same rows: from members' logged outputs and the truths that came."""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from quorate.codecs.lookup import JournalReader
from quorate.control.learning.answering import LoggedStrategy, ReadBlob
from quorate.control.learning.rewards import ACCURACY, ERROR, of_truths
from quorate.control.outcomes.rules import RuleBook
from quorate.control.report import CALLER
from quorate.control.switching.estimates import paired
from quorate.control.switching.marks import Route, answering
from quorate.control.switching.mixture import Shares
from quorate.core.stats.intervals import Interval
from quorate.core.types import Decision, FloatArray, StatusArray
from quorate.errors import JournalError, NotFound
from quorate.store.ledger import JOINED, TRUTH
from quorate.store.revisions import revision

log = logging.getLogger("quorate.control")

MOST = 2000
"""Decisions that are read; the newest ones whose truth is known."""
_LOOKED_AT = 5 * MOST


@dataclass(frozen=True, slots=True)
class Paired:
    """The difference of two mixtures of strategies on the same ``decisions``, and what each came to, by row."""

    metric: str
    decisions: int
    before: float
    after: float
    change: Interval


class _Judged(NamedTuple):
    """The rows of a decision whose truth is known: outputs ``[n, m, k]``, status ``[n, m]``, truths as class indices or
    numbers, features ``[n, d]`` where they were recorded. A decision may have many more rows, which are not kept."""

    revision: int
    outputs: FloatArray
    status: StatusArray
    truths: list[float]
    features: FloatArray | None


def compare(
    connection: sa.Connection,
    reader: JournalReader,
    read: ReadBlob,
    before: tuple[Route, Shares],
    after: tuple[Route, Shares],
) -> Paired | None:
    """Both mixtures on the newest judged decisions in which everything they need was logged; None without two of them.

    Strategies answer logged outputs as they do when they serve; those of a revision whose member is another version
    need outputs that were never made, and then nothing is known.
    """
    metric = ACCURACY if before[0][1].signature.output.kind == "scores" else ERROR
    members: dict[int, tuple[str, ...] | None] = {}
    alike: dict[tuple[tuple[str, ...], tuple[int, ...]], list[_Judged]] = defaultdict(list)  # arrays of one width
    for each in _judged(connection, reader, before[0][0].name):
        shape = each.outputs.shape
        if each.revision not in members:
            members[each.revision] = _same_members(connection, each.revision, (before[0], after[0]))
        names = members[each.revision]
        if names is not None and shape[1] == len(names) and shape[2]:
            width = 0 if each.features is None else each.features.shape[1]
            alike[names, (*shape[1:], width)].append(each)
    parts = [
        [_earned(side, names, some, read, metric) for side in (before, after)] for (names, _), some in alike.items()
    ]
    if not parts:
        return None
    old, new = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    known = np.isfinite(old) & np.isfinite(new)
    change = paired(new[known] - old[known], bounded=metric == ACCURACY)
    if change is None:
        return None
    return Paired(metric, int(known.sum()), float(old[known].mean()), float(new[known].mean()), change)


def _earned(
    side: tuple[Route, Shares], members: tuple[str, ...], some: Sequence[_Judged], read: ReadBlob, metric: str
) -> NDArray[np.float64]:
    """What a mixture came to on each decision: the mean over its judged rows; NaN where it is not known."""
    (endpoint, _), shares = side
    outputs = np.concatenate([each.outputs for each in some])
    status = np.concatenate([each.status for each in some])
    truths = np.array([truth for each in some for truth in each.truths])
    rows = np.array([len(each.truths) for each in some])
    looked = [each.features for each in some if each.features is not None]
    features = np.concatenate(looked) if looked else None
    total = np.zeros(len(truths))
    for strategy in endpoint.strategies:
        if share := shares.get(strategy.name, 0.0):
            answers = LoggedStrategy.of(strategy, members, read).answer(outputs, status, features)
            total += share * of_truths(answers, truths, metric)
    found: NDArray[np.float64] = np.add.reduceat(total, np.concatenate([[0], np.cumsum(rows)[:-1]])) / rows
    return found


def _same_members(connection: sa.Connection, number: int, routes: tuple[Route, Route]) -> tuple[str, ...] | None:
    """The member axis of a revision, if it has the very members that the routes' strategies need."""
    try:
        found = answering(revision(connection, routes[0][0].name, number))
    except NotFound:
        return None
    if found is None:
        return None
    logged = found[1]
    digests = {member.name: member.digest for member in logged.members}
    for endpoint, pool in routes:
        own = {member.name: member.digest for member in pool.members}
        needed = {name for strategy in endpoint.strategies for name in strategy.members}
        if any(digests.get(name) != own[name] for name in needed):
            return None
    return tuple(member.name for member in logged.members)


def _judged(connection: sa.Connection, reader: JournalReader, endpoint: str) -> list[_Judged]:
    """The newest decisions of an endpoint of whose rows the truth is known."""
    query = sa.text(
        'SELECT decision, "row", source, label, value FROM outcomes WHERE metric = :metric AND state = :state '
        "ORDER BY decision DESC LIMIT :most"
    )
    told: dict[str, dict[int, list[tuple[str, str | None, float | None]]]] = defaultdict(lambda: defaultdict(list))
    values = {"metric": TRUTH, "state": JOINED, "most": _LOOKED_AT}
    for decision_id, row, source, label, value in connection.execute(query, values):
        told[decision_id][row].append((source, label, value))
    book = RuleBook()
    found: list[_Judged] = []
    lost: list[str] = []
    for decision_id, rows in told.items():
        if len(found) == MOST:
            break
        try:
            outline = reader.outline(decision_id)
            decision = reader.find(decision_id) if outline is not None and outline.endpoint == endpoint else None
        except JournalError as error:
            lost.append(f"{error}")
            continue
        if decision is None or decision.source == CALLER:
            continue
        rank = book.of(connection, decision.endpoint, decision.revision).outcomes.rank
        first = {row: min(told, key=lambda each: rank(each[0])) for row, told in rows.items() if row < decision.rows}
        truths = {row: _number(decision, label, value) for row, (_, label, value) in first.items()}
        known = {row: number for row, number in truths.items() if math.isfinite(number)}
        if known:
            rows_known = list(known)
            outputs, status = decision.outputs[rows_known], decision.status[rows_known]
            features = None if decision.features is None else decision.features[rows_known]
            found.append(_Judged(decision.revision, outputs, status, list(known.values()), features))
    if lost:
        log.warning(
            "%d judged decisions cannot be read and are not compared, the first because: %s", len(lost), lost[0]
        )
    return found


def _number(decision: Decision, label: str | None, value: float | None) -> float:
    if label is not None:
        return float(decision.classes.index(label)) if label in decision.classes else math.nan
    return math.nan if value is None else value
