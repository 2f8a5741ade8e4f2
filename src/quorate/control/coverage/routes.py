"""The control port's route about coverage."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from quorate.codecs import learned, snapshot
from quorate.control import openapi
from quorate.control.coverage.logged import ReadBlob, promising
from quorate.control.coverage.report import CoverageReport, coverage_report
from quorate.control.experiments.hiding import require_shown
from quorate.control.served import served_endpoint
from quorate.home import Home
from quorate.spec.model import NAME
from quorate.store import learners
from quorate.store.database import Database


def coverage_router(home: Home, database: Database, read: ReadBlob) -> APIRouter:
    """The route below ``/v1/endpoints/{name}/coverage``; ``read`` gives a blob of the registry."""
    router = APIRouter()

    @router.get(
        "/v1/endpoints/{name}/coverage", tags=["decisions"], responses=openapi.reading("not_found", "store", "conflict")
    )
    def endpoint_coverage(
        name: Annotated[str, Path(pattern=NAME)],
        since: Annotated[float | None, Query(ge=0, le=1e11, description="Unix seconds; everything without it.")] = None,
    ) -> CoverageReport:
        """How often the truth was in the sets and intervals that were answered, and how large these were."""
        route, pool = served_endpoint(snapshot.read_or_empty(home.snapshot), name)
        mine = promising(route, pool, read)
        with database.read() as connection:
            require_shown(connection, name)
            stored = learners.learner(connection, name)
            known = {} if stored is None else learned.unpack(stored.state).combiners
            states = {
                strategy: found.state
                for strategy, each in mine.items()
                if (found := known.get(learned.ADAPTIVE + strategy)) is not None
                and found.key == learned.adaptive_key(each.route, pool)
            }
            return coverage_report(connection, name, mine, states, since)

    return router
