"""What one decision promised, computed again from its record."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from quorate.codecs.snapshot import EndpointRoute, PoolRoute
from quorate.control.coverage.logged import ReadBlob, promising
from quorate.control.view import View
from quorate.core.conformal.recorded import asked, promised
from quorate.core.types import Decision


class PromisedRow(View):
    """What was promised of one row: the labels of its set, or the ends of its interval, null where it has none."""

    set: list[str] | None = None
    interval: list[float | None] | None = None
    abstained: bool
    reason: Literal["ambiguous", "empty", "degraded", "uncalibrated"] | None


class Promised(View):
    """What a decision promised."""

    asked: float = Field(description="The coverage.")
    rows: list[PromisedRow] | None = Field(description="Null where the record does not have what it follows from.")


def shown(
    decision: Decision, endpoint: EndpointRoute | None, pool: PoolRoute | None, read: ReadBlob
) -> Promised | None:
    """The sets or intervals of a decision; None where no coverage was asked for."""
    coverage = asked(decision.facts)
    if coverage is None:
        return None
    rows = None
    if endpoint is not None and pool is not None and decision.served is not None:
        mine = promising(endpoint, pool, read).get(decision.served)
        route = next((each for each in endpoint.strategies if each.name == decision.served), None)
        if mine is not None and mine.route.conformal is not None:
            rows = promised(decision, mine.calibrated, mine.route.members, mine.route.conformal.abstain)
        elif route is None or route.conformal is None:  # else its state cannot be read
            rows = promised(decision, None, ())
    return Promised(asked=coverage, rows=None if rows is None else [PromisedRow(**row) for row in rows])
