"""The control port's routes about outcomes."""

from __future__ import annotations

from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Path, Query

from quorate.clock import Clock
from quorate.codecs.lookup import JournalReader
from quorate.control import openapi
from quorate.control.experiments.hiding import require_shown
from quorate.control.outcomes.completeness import HISTORY_S, OutcomesReport, outcomes_report
from quorate.control.outcomes.contested import ContestedReport, contested
from quorate.control.outcomes.timeline import TimelineReport, timeline
from quorate.errors import NotFound
from quorate.spec.model import NAME
from quorate.store.database import Database
from quorate.store.revisions import newest_revision

Name = Annotated[str, Path(pattern=NAME)]
Since = Annotated[float | None, Query(ge=0, le=1e11, description="Unix seconds; 30 days without it.")]


def outcomes_router(database: Database, journal: JournalReader, clock: Clock) -> APIRouter:
    """What is known of outcomes, by endpoint."""
    router = APIRouter()

    @router.get("/v1/endpoints/{name}/outcomes", tags=["decisions"], responses=openapi.reading("not_found", "store"))
    def endpoint_outcomes(name: Name, since: Since = None) -> OutcomesReport:
        """How many of an endpoint's decisions have outcomes, whose, how late they come, and how complete that is."""
        with database.read() as connection:
            _known(connection, name)
            return outcomes_report(connection, name, now=clock.now(), since=since)

    @router.get(
        "/v1/endpoints/{name}/outcomes/timeline",
        tags=["decisions"],
        responses=openapi.reading("not_found", "store", "conflict"),
    )
    def outcomes_timeline(
        name: Name,
        since: Since = None,
        points: Annotated[int, Query(ge=1, le=1000, description="Stretches of time at most.")] = 60,
    ) -> TimelineReport:
        """How answers turned out over time: each strategy's metrics with intervals, by when the decision was made."""
        now = clock.now()
        with database.read() as connection:
            _known(connection, name)
            require_shown(connection, name)
            begin = min(now - HISTORY_S if since is None else since, now)
            return timeline(connection, name, since=begin, now=now, points=points)

    @router.get(
        "/v1/endpoints/{name}/outcomes/contested",
        tags=["decisions"],
        responses=openapi.reading("not_found", "store"),
    )
    def contested_outcomes(
        name: Name, limit: Annotated[int, Query(ge=1, le=100, description="How many at most.")] = 20
    ) -> list[ContestedReport]:
        """The newest values that were corrected by their source, or contradicted by another one."""
        with database.read() as connection:
            _known(connection, name)
            return contested(connection, journal, name, most=limit)

    return router


def _known(connection: sa.Connection, name: str) -> None:
    if newest_revision(connection, name) is None:
        raise NotFound(f"There is no endpoint '{name}'; /v1/endpoints lists them.", path="name")
