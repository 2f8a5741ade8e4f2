"""Regret over time: what was served against each fixed strategy and member, and combiners that learn against their
experts, with the bound that these state.

``regret(t) = sum of served losses - min over the others of the sum of theirs``, the best of the first t rows: in
hindsight, and anew at every point.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import sqlalchemy as sa

from quorate.codecs.lookup import JournalReader
from quorate.codecs.snapshot import EndpointRoute, PoolRoute
from quorate.control.learning.answering import ReadBlob
from quorate.control.learning.combining import Combining
from quorate.control.learning.learner import Learning
from quorate.control.learning.trusting import history
from quorate.control.selection.comparing import compare
from quorate.control.selection.losses import Losses, losses
from quorate.control.selection.regret_views import (
    CombinerRegret,
    ExpertLoss,
    ExpertPoint,
    PolicyBound,
    RegretView,
)
from quorate.errors import NotFound
from quorate.store import learners
from quorate.store.experts import Point


def regret(
    connection: sa.Connection,
    reader: JournalReader,
    read: ReadBlob,
    endpoint: EndpointRoute,
    pool: PoolRoute,
    *,
    points: int,
) -> RegretView:
    """The regret of a served endpoint, at so many ``points``; :class:`NotFound` where nothing of it learns."""
    learning = Learning(endpoint, pool)
    if learning.reward is None and not learning.combining:
        raise NotFound(f"Neither the policy nor a combiner of endpoint '{endpoint.name}' learns.", path="name")
    found = losses(connection, reader, read, endpoint, pool)
    learn = {each.name for each in learning.combining} if learning.reward is None else set()
    compared = compare(found, without=learn)
    at, n = found.at[compared.rows], len(compared.rows)
    marks = np.unique(np.linspace(1, n, min(points, n)).round().astype(int)) if n else np.empty(0, int)
    stored = learners.learner(connection, endpoint.name)
    known = learning.known(stored)
    return RegretView(
        endpoint=endpoint.name,
        policy=endpoint.policy.kind,
        learns=learning.reward is not None,
        metric=found.metric,
        unit=found.unit,
        known=compared.known,
        rows=n,
        outcomes=len(found.at),
        since=float(at[0]) if n else None,
        until=float(at[-1]) if n else None,
        whole=found.whole,
        served=float(compared.served.sum()) if n else None,
        best=compared.best(n),
        regret=compared.regret(n),
        others=compared.others(),
        points=[compared.point(int(count), float(at[count - 1])) for count in marks],
        left_out={why: count for why, count in sorted(found.left_out.items()) if count},
        bound=_bound(learning, found, n),
        combiners=[
            _combiner(each, past, pool, points)
            for each in learning.combining
            if stored is not None and (past := history(connection, each, each.state(known), stored))
        ],
    )


def _bound(learning: Learning, found: Losses, rows: int) -> PolicyBound | None:
    """What the policy promises, where every row that it learned from is among these."""
    value = learning.policy.regret_bound(rows) if found.whole and rows and rows == len(found.at) else None
    return None if value is None else PolicyBound(value=value, rows=rows)


def _combiner(each: Combining, past: Sequence[Point], pool: PoolRoute, points: int) -> CombinerRegret:
    marks = np.unique(np.linspace(0, len(past) - 1, min(points, len(past))).round().astype(int)).tolist()
    shown, now = [_expert_point(past[i]) for i in marks], past[-1]
    return CombinerRegret(
        strategy=each.name,
        kind=each.combiner.kind,
        unit="mistakes" if pool.signature.output.kind == "scores" else "squared error",
        rows=now.rows,
        own=now.own,
        regret=shown[-1].regret,
        certificate=now.certificate,
        experts=[
            ExpertLoss(name=name, trust=now.trust.get(name, 0.0), loss=loss)
            for name, loss in sorted(now.losses.items(), key=lambda item: (item[1], item[0]))
        ],
        points=shown,
    )


def _expert_point(point: Point) -> ExpertPoint:
    best, least = min(point.losses.items(), key=lambda item: (item[1], item[0]))
    return ExpertPoint(
        at=point.at,
        rows=point.rows,
        own=point.own,
        best=best,
        least=least,
        regret=None if point.own is None else point.own - least,
        certificate=point.certificate,
    )
