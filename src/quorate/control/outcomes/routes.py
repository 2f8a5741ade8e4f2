"""The control port's routes about outcomes."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from quorate.clock import Clock
from quorate.control import openapi
from quorate.control.outcomes.completeness import OutcomesReport, outcomes_report
from quorate.errors import NotFound
from quorate.spec.model import NAME
from quorate.store.database import Database
from quorate.store.revisions import newest_revision


def outcomes_router(database: Database, clock: Clock) -> APIRouter:
    """What is known of outcomes, by endpoint."""
    router = APIRouter()

    @router.get("/v1/endpoints/{name}/outcomes", tags=["decisions"], responses=openapi.reading("not_found", "store"))
    def endpoint_outcomes(
        name: Annotated[str, Path(pattern=NAME)],
        since: Annotated[float | None, Query(ge=0, le=1e11, description="Unix seconds; 30 days without it.")] = None,
    ) -> OutcomesReport:
        """How many of an endpoint's decisions have outcomes, whose, how late they come, and how complete that is."""
        with database.read() as connection:
            if newest_revision(connection, name) is None:
                raise NotFound(f"There is no endpoint '{name}'; /v1/endpoints lists them.", path="name")
            return outcomes_report(connection, name, now=clock.now(), since=since)

    return router
