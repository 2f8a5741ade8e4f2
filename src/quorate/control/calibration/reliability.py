"""How reliable the confidences of an endpoint's strategies are, on what became known lately."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from quorate.codecs.lookup import JournalReader
from quorate.codecs.snapshot import EndpointRoute, PoolRoute, Routing, StrategyRoute
from quorate.control.calibration.known import ROWS, Gathering, KnownRows, logged, until
from quorate.control.calibration.views import (
    BinView,
    ErrorView,
    RefitView,
    ReliabilityView,
    StrategyReliabilityView,
)
from quorate.control.learning.answering import LoggedStrategy, ReadBlob
from quorate.control.served import served_endpoint
from quorate.core.calibrate.ece import Error, Reliability, of_answers
from quorate.errors import InvalidInput

LEAST_ROWS = 500
"""Rows without which a calibration is not fitted again."""
LEVEL = 0.99
"""Of the limits that the standing check looks at: it looks again and again, and must not refit by chance."""


def served(routing: Routing, endpoint: str) -> tuple[EndpointRoute, PoolRoute]:
    """An endpoint that answers scores, as it is served; :class:`~quorate.errors.NotFound`, :class:`InvalidInput`."""
    route, pool = served_endpoint(routing, endpoint)
    if pool.signature.output.kind != "scores":
        raise InvalidInput(f"Endpoint '{endpoint}' answers values, which have no confidence.", path="name")
    return route, pool


def reliability(
    connection: sa.Connection,
    reader: JournalReader,
    route: EndpointRoute,
    pool: PoolRoute,
    read: ReadBlob,
    *,
    most: int = ROWS,
    rest: Callable[[], object] = lambda: None,
) -> ReliabilityView:
    """Bins and errors of all strategies, from their newest ``most`` rows at most; :data:`Reliability` says how."""
    strategies = logged(route, pool, read)
    rows = Gathering(connection, reader, route, pool).rows(strategies, most=most, rest=rest)
    return ReliabilityView(
        endpoint=route.name,
        strategies=[
            _strategy(own, strategy, rows[own.name]) for own, strategy in zip(route.strategies, strategies, strict=True)
        ],
    )


def _strategy(route: StrategyRoute, strategy: LoggedStrategy, rows: KnownRows) -> StrategyReliabilityView:
    answers, truths = rows.answers(strategy)
    found = of_answers(answers, truths)
    return StrategyReliabilityView(
        strategy=route.name,
        calibrated=route.calibrate is not None,
        rows=len(truths),
        ece=None if found is None else error_view(found.error),
        bins=[] if found is None else _bins(found),
        refit=_refit(route, strategy, rows),
    )


def _bins(found: Reliability) -> list[BinView]:
    return [BinView.model_validate(each._asdict()) for each in found.bins]


def error_view(error: Error) -> ErrorView:
    """An error as the port tells it."""
    return ErrorView(value=error.value, low=error.low, high=error.high)


def _refit(route: StrategyRoute, strategy: LoggedStrategy, rows: KnownRows) -> RefitView | None:
    if route.calibrate is None:
        return None
    seen = until(strategy)
    return RefitView(
        state=route.calibrate.state,
        version=route.calibrate.version,
        method=None if strategy.calibration is None else strategy.calibration.kind,
        auto=route.calibrate.refit,
        above=route.calibrate.above,
        due=off(route, strategy, rows),
        until=seen or None,
        rows=int((rows.arrived > seen).sum()),
        needed=LEAST_ROWS,
    )


def off(route: StrategyRoute, strategy: LoggedStrategy, rows: KnownRows) -> bool:
    """Whether outcomes show that a calibration is off, as the standing check sees it."""
    if route.calibrate is None or strategy.calibration is None:
        return False
    answers, truths = rows.answers(strategy)
    if len(truths) < LEAST_ROWS:
        return False
    found = of_answers(answers, truths, level=LEVEL)
    return found is not None and found.error.low > route.calibrate.above
