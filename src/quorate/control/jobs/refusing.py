"""What a job cannot ask of an endpoint, said when it is submitted rather than when it has failed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quorate.codecs.snapshot import EndpointRoute, PoolRoute, Routing
from quorate.control.coverage.logged import ReadBlob, promising
from quorate.core.asking import check_confidence, check_seeing, lacking
from quorate.errors import InvalidInput


def check_asked(routing: Routing, name: str, asked: Mapping[str, Any], read: ReadBlob) -> None:
    """A client error, its path the option, where no row could be answered so; ``read`` gives a blob of the registry.

    What a front sends to several endpoints is refused row by row.
    """
    route = next((each for each in routing.endpoints if each.name == name), None)
    if route is None:
        return
    pool = next(each for each in routing.pools if each.name == route.pool)
    blind = route.policy.blind
    if asked.get("min_confidence") is not None:
        check_confidence(name, blind=blind, output=pool.signature.output.kind, path="min_confidence")
    if asked.get("coverage") is not None:
        check_seeing(name, blind=blind, path="coverage")
        _check_coverage(route, pool, asked["coverage"], asked.get("strategy"), read)


def _check_coverage(route: EndpointRoute, pool: PoolRoute, coverage: float, chosen: str | None, read: ReadBlob) -> None:
    """Where a policy chooses, one strategy that can is enough: each row is refused or answered by whom it is given."""
    names = [each.name for each in route.strategies] if chosen is None else [chosen]
    known = promising(route, pool, read)
    reasons = [lacking(each, known[each].calibrated if each in known else None, coverage) for each in names]
    if reasons[0] is not None and None not in reasons:
        raise InvalidInput(reasons[0], path="coverage")
