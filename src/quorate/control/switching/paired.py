"""What mixtures of strategies come to on the same rows: from members' logged outputs and the truths that came."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from quorate.codecs.lookup import JournalReader
from quorate.control.answering import LoggedStrategy, ReadBlob
from quorate.control.report import CALLER
from quorate.control.revisions import routes_of
from quorate.control.rewards import ACCURACY, ERROR, of_truths
from quorate.control.switching.estimates import paired
from quorate.control.switching.marks import Route
from quorate.control.switching.mixture import Shares
from quorate.core.stats.intervals import Interval
from quorate.core.types import Decision
from quorate.errors import JournalError, NotFound
from quorate.store.ledger import JOINED, TRUTH
from quorate.store.revisions import revision

MOST = 2000
"""Decisions that are read; the newest ones whose truth is known."""
_LOOKED_AT = 5 * MOST
_FIRST = ("ground_truth", "expert", "user")


@dataclass(frozen=True, slots=True)
class Paired:
    """The difference of two mixtures of strategies on the same ``decisions``, and what each came to, by row."""

    metric: str
    decisions: int
    before: float
    after: float
    change: Interval
    read: int


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
    members: dict[int, tuple[str, ...] | None] = {}
    before_rows: list[float] = []
    after_rows: list[float] = []
    seen = 0
    arms = _Arms(read)
    metric = ACCURACY if before[0][1].signature.output.kind == "scores" else ERROR
    for decision, truths in _judged(connection, reader, before[0][0].name):
        seen += 1
        if decision.revision not in members:
            members[decision.revision] = _same_members(connection, decision, (before[0], after[0]))
        names = members[decision.revision]
        if names is None or decision.outputs.shape[1:2] != (len(names),) or not decision.outputs.shape[2]:
            continue
        pair = [arms.earned(route, shares, names, decision, truths, metric) for route, shares in (before, after)]
        if all(math.isfinite(each) for each in pair):
            before_rows.append(pair[0])
            after_rows.append(pair[1])
    old, new = np.array(before_rows), np.array(after_rows)
    change = paired(new - old, bounded=metric == ACCURACY)
    if change is None:
        return None
    return Paired(metric, len(old), float(old.mean()), float(new.mean()), change, seen)


class _Arms:
    """Strategies over the members of a revision, built once each."""

    def __init__(self, read: ReadBlob) -> None:
        self._read = read
        self._built: dict[tuple[int, tuple[str, ...], str], LoggedStrategy] = {}

    def earned(
        self,
        route: Route,
        shares: Shares,
        members: tuple[str, ...],
        decision: Decision,
        truths: Mapping[int, float],
        metric: str,
    ) -> float:
        """What a mixture came to on a decision: the mean over its judged rows; NaN where it is not known."""
        rows = sorted(truths)
        wanted = np.array([truths[row] for row in rows])
        total = 0.0
        for name, share in shares.items():
            strategy = self._strategy(route, name, members)
            answers = strategy.answer(decision.outputs[rows], decision.status[rows])
            found: NDArray[np.float64] = of_truths(answers, wanted, metric)
            total += share * float(found.mean())
        return total

    def _strategy(self, route: Route, name: str, members: tuple[str, ...]) -> LoggedStrategy:
        key = (id(route[0]), members, name)
        if key not in self._built:
            spec = next(each for each in route[0].strategies if each.name == name)
            self._built[key] = LoggedStrategy.of(spec, members, self._read)
        return self._built[key]


def _same_members(connection: sa.Connection, decision: Decision, routes: tuple[Route, Route]) -> tuple[str, ...] | None:
    """The member axis of a decision's revision, if it has the very members that the routes' strategies need."""
    try:
        _, logged = routes_of(revision(connection, decision.endpoint, decision.revision))
    except NotFound:
        return None
    digests = {member.name: member.digest for member in logged.members}
    for endpoint, pool in routes:
        own = {member.name: member.digest for member in pool.members}
        needed = {name for strategy in endpoint.strategies for name in strategy.members}
        if any(digests.get(name) != own[name] for name in needed):
            return None
    return tuple(member.name for member in logged.members)


def _judged(connection: sa.Connection, reader: JournalReader, endpoint: str) -> list[tuple[Decision, dict[int, float]]]:
    """The newest decisions of an endpoint with the truths of their rows, as class indices or numbers."""
    query = sa.text(
        'SELECT decision, "row", source, label, value FROM outcomes WHERE metric = :metric AND state = :state '
        "ORDER BY decision DESC LIMIT :most"
    )
    told: dict[str, dict[int, tuple[int, str | None, float | None]]] = defaultdict(dict)
    values = {"metric": TRUTH, "state": JOINED, "most": _LOOKED_AT}
    for decision_id, row, source, label, value in connection.execute(query, values):
        rank = _FIRST.index(source) if source in _FIRST else len(_FIRST)
        other = told[decision_id].get(row)
        if other is None or rank < other[0]:
            told[decision_id][row] = (rank, label, value)
    found: list[tuple[Decision, dict[int, float]]] = []
    for decision_id, rows in told.items():
        if len(found) == MOST:
            break
        try:
            outline = reader.outline(decision_id)
            decision = reader.find(decision_id) if outline is not None and outline.endpoint == endpoint else None
        except JournalError:
            continue
        if decision is None or decision.source == CALLER:
            continue
        truths = {
            row: _number(decision, label, value) for row, (_, label, value) in rows.items() if row < decision.rows
        }
        known = {row: number for row, number in truths.items() if math.isfinite(number)}
        if known:
            found.append((decision, known))
    return found


def _number(decision: Decision, label: str | None, value: float | None) -> float:
    if label is not None:
        return float(decision.classes.index(label)) if label in decision.classes else math.nan
    return math.nan if value is None else value
