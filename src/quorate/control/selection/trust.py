"""Who is trusted where: the share of each answer that every member has, by groups of the rows it was asked about.

It is found with the combiner that serves: a combiner that weighs members anew for every row says how much
(:meth:`~quorate.core.combine.base.Combiner.trust`); of a cascade it is who answered; one that learns tells how much it
trusts each expert, now and as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from pydantic import Field

from quorate import plugins
from quorate.codecs.lookup import JournalReader
from quorate.codecs.snapshot import EndpointRoute, PoolRoute, StrategyRoute
from quorate.control.learning.answering import LoggedStrategy, ReadBlob
from quorate.control.learning.learner import Learning
from quorate.control.learning.trusting import history
from quorate.control.selection import groups
from quorate.control.selection.recent import Rows, recent
from quorate.control.view import View
from quorate.core.combine.base import Combiner
from quorate.core.types import FloatArray, Status
from quorate.errors import InvalidInput, NotFound, RegistryError
from quorate.store import learners

WEIGHT, ANSWERED, EXPERTS = "weight", "answered", "experts"
LABEL, CONTEXT, FEATURE = "label", "context.", "feature."
CASCADE = "cascade"


class TrustStrategy(View):
    """A strategy of which it can be told; ``means`` says what its shares are: see :class:`TrustView`."""

    name: str
    kind: str
    means: Literal["weight", "answered", "experts"]


class TrustWay(View):
    """A way to group rows: what ``by`` takes, and how it is called."""

    by: str
    title: str


class TrustGroup(View):
    """Some rows: what they have in common, how many, and each member's share in them."""

    name: str
    rows: int
    shares: dict[str, float]


class TrustPoint(View):
    """What a combiner knew at Unix time ``at``, from so many ``rows``: the trust in each expert."""

    at: float
    rows: int
    trust: dict[str, float]


class TrustExperts(View):
    """Of a combiner that learns: the trust in each expert now, from so many rows, and over time, the oldest first."""

    rows: int
    trust: dict[str, float] = Field(description="Weights of its experts, which sum to 1: members, and combinations.")
    history: list[TrustPoint]


class TrustView(View):
    """Who is trusted where. What shares are is said by ``means``: ``weight``, the mean share of the vote;
    ``answered``, the share of rows that the member answered; ``experts``, none: see ``experts``.

    ``rows`` of ``decisions`` decisions made ``since`` … ``until`` (Unix seconds) were looked at; ``left_out`` counts
    newer and other rows by why they were not. ``ways`` are the values that ``by`` takes.
    """

    endpoint: str
    strategy: str
    kind: str
    means: Literal["weight", "answered", "experts"]
    members: list[str]
    strategies: list[TrustStrategy]
    by: str
    ways: list[TrustWay]
    decisions: int
    rows: int
    since: float | None
    until: float | None
    overall: dict[str, float]
    groups: list[TrustGroup]
    left_out: dict[str, int]
    experts: TrustExperts | None


def able(endpoint: EndpointRoute) -> list[TrustStrategy]:
    """The strategies of an endpoint of which it can be told."""
    found = [(route, _means(route)) for route in endpoint.strategies]
    return [TrustStrategy(name=route.name, kind=route.kind, means=means) for route, means in found if means]


def _means(route: StrategyRoute) -> Literal["weight", "answered", "experts"] | None:
    if route.kind == CASCADE:
        return "answered"
    try:
        combiner: type[Combiner] = plugins.load("combiners", route.kind)
    except Exception:  # of a plugin that is not installed here
        return None
    if combiner.learns:
        return "experts"
    return "weight" if combiner.trust is not Combiner.trust else None


def trust(
    connection: sa.Connection,
    reader: JournalReader,
    read: ReadBlob,
    endpoint: EndpointRoute,
    pool: PoolRoute,
    *,
    strategy: str | None = None,
    by: str | None = None,
) -> TrustView:
    """Who is trusted where in a served endpoint; the first strategy that tells, and by label, where it is not said.

    :class:`NotFound` where no strategy tells, :class:`InvalidInput` for one that does not, or an unknown way to group,
    :class:`RegistryError` where a fitted state is lost.
    """
    listed = able(endpoint)
    chosen = _chosen(endpoint.name, listed, strategy)
    route = next(each for each in endpoint.strategies if each.name == chosen.name)
    if chosen.means == EXPERTS:
        told = _experts(connection, endpoint, pool, route.name)
        return _view(endpoint, route, chosen, listed, LABEL, None, [], experts=told)
    found = _answered if chosen.means == ANSWERED else _weighed
    seen = found(connection, reader, read, endpoint, pool, route)
    ways, wanted = _ways(seen, pool), by or LABEL
    if not wanted.startswith(CONTEXT) and wanted not in [way.by for way in ways]:
        raise InvalidInput(
            f"Rows are grouped by {', '.join(way.by for way in ways[:20])}; got '{wanted[:80]}'.", path="by"
        )
    made = _grouped(route, seen.shares, _groups(wanted, seen, pool))
    return _view(endpoint, route, chosen, listed, wanted, seen, ways, groups=made)


def _view(
    endpoint: EndpointRoute,
    route: StrategyRoute,
    chosen: TrustStrategy,
    listed: list[TrustStrategy],
    by: str,
    seen: _Seen | None,
    ways: list[TrustWay],
    **told: Any,
) -> TrustView:
    rows = None if seen is None else seen.rows
    return TrustView(
        endpoint=endpoint.name,
        strategy=route.name,
        kind=route.kind,
        means=chosen.means,
        members=list(route.members),
        strategies=listed,
        by=by,
        ways=ways,
        decisions=0 if rows is None else rows.decisions,
        rows=0 if rows is None else len(rows),
        since=None if rows is None else rows.since,
        until=None if rows is None else rows.until,
        overall={} if seen is None else _mean(route, seen.shares),
        left_out={} if rows is None else {why: count for why, count in sorted(rows.left_out.items()) if count},
        **{"groups": [], "experts": None, **told},
    )


def _chosen(endpoint: str, listed: Sequence[TrustStrategy], name: str | None) -> TrustStrategy:
    if not listed:
        raise NotFound(
            f"No strategy of endpoint '{endpoint}' weighs members anew for each input, learns, or asks them in stages.",
            path="name",
        )
    found = listed[0] if name is None else next((each for each in listed if each.name == name), None)
    if found is None:
        names = ", ".join(each.name for each in listed)
        raise InvalidInput(f"It can be told of the strategies {names}; got '{(name or '')[:80]}'.", path="strategy")
    return found


@dataclass(frozen=True, slots=True)
class _Seen:
    """Rows, the members' ``shares`` in them float64 ``[n, m]`` (NaN where nobody answered), the ``answers`` by which
    they are grouped, and how many features they have."""

    rows: Rows
    shares: NDArray[np.float64]
    answers: FloatArray
    width: int


def _weighed(
    connection: sa.Connection,
    reader: JournalReader,
    read: ReadBlob,
    endpoint: EndpointRoute,
    pool: PoolRoute,
    route: StrategyRoute,
) -> _Seen:
    """Shares of each row's vote, and what the strategy answers."""
    built = LoggedStrategy.of(route, tuple(member.name for member in pool.members), read)
    combiner, state = built.combiner, built.state
    if combiner is None:
        raise RegistryError(f"The fitted state of strategy '{route.name}' cannot be read; the log of control says why.")
    width = combiner.feature_width(state)
    rows = recent(connection, reader, endpoint, pool, route, width=width, staged=False)
    columns = list(built.columns)
    given = (rows.outputs[:, columns], rows.status[:, columns], state, rows.features)
    shares = combiner.trust(*given)
    if shares is None:
        shares = np.full((len(rows), len(columns)), np.nan)
    return _Seen(rows, shares, combiner.combine(*given), width)


def _answered(
    connection: sa.Connection,
    reader: JournalReader,
    read: ReadBlob,
    endpoint: EndpointRoute,
    pool: PoolRoute,
    route: StrategyRoute,
) -> _Seen:
    """Whether each member answered each row, 0 or 1, and what was served."""
    rows = recent(connection, reader, endpoint, pool, route, width=0, staged=True)
    names = [member.name for member in pool.members]
    answered = rows.status[:, [names.index(name) for name in route.members]] == Status.OK
    return _Seen(rows, answered.astype(np.float64), rows.answer, 0)


def _ways(seen: _Seen, pool: PoolRoute) -> list[TrustWay]:
    label = "predicted label" if pool.signature.output.kind == "scores" else "predicted number"
    found = [TrustWay(by=LABEL, title=label)]
    found += [TrustWay(by=CONTEXT + key, title=f"context: {key}") for key in groups.keys_of(seen.rows.contexts)]
    names = groups.features_of(pool.signature, seen.width)[: groups.FEATURES]
    return found + [TrustWay(by=FEATURE + name, title=f"feature: {name}") for name in names]


def _groups(by: str, seen: _Seen, pool: PoolRoute) -> groups.Groups:
    if by.startswith(CONTEXT):
        return groups.by_context(seen.rows.contexts, by.removeprefix(CONTEXT))
    if by.startswith(FEATURE) and seen.rows.features is not None:
        column = groups.features_of(pool.signature, seen.width).index(by.removeprefix(FEATURE))
        return groups.by_number(seen.rows.features[:, column])
    return groups.by_label(seen.answers, pool.signature.output)


def _grouped(route: StrategyRoute, shares: NDArray[np.float64], found: groups.Groups) -> list[TrustGroup]:
    names, which = found
    return [
        TrustGroup(name=name, rows=int((which == i).sum()), shares=_mean(route, shares[which == i]))
        for i, name in enumerate(names)
    ]


def _mean(route: StrategyRoute, shares: NDArray[np.float64]) -> dict[str, float]:
    """The mean over rows in which anybody answered; nothing without any."""
    known = shares[np.isfinite(shares).all(axis=1)]
    return dict(zip(route.members, known.mean(axis=0).tolist(), strict=True)) if len(known) else {}


def _experts(connection: sa.Connection, endpoint: EndpointRoute, pool: PoolRoute, name: str) -> TrustExperts:
    learning = Learning(endpoint, pool)
    each = next(one for one in learning.combining if one.name == name)
    stored = learners.learner(connection, endpoint.name)
    state = each.state(learning.known(stored))
    told = each.combiner.told(each.members, state)
    past = [] if stored is None else history(connection, each, state, stored)
    return TrustExperts(
        rows=told.rows,
        trust=dict(told.trust),
        history=[TrustPoint(at=p.at, rows=p.rows, trust=dict(p.trust)) for p in past],
    )
