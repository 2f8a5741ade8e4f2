"""The routes of calibration on the control port: how reliable confidences are, and fitting a calibration again."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request

from quorate.codecs import snapshot
from quorate.codecs.lookup import JournalReader
from quorate.control import openapi
from quorate.control.authors import author_of
from quorate.control.calibration.known import ROWS
from quorate.control.calibration.refitting import FIT_ROWS, Refitter
from quorate.control.calibration.reliability import reliability, served
from quorate.control.calibration.views import RefittedView, ReliabilityView
from quorate.control.experiments.hiding import require_shown
from quorate.home import Home
from quorate.registry.registry import Registry
from quorate.spec.model import NAME
from quorate.store.database import Database

Name = Annotated[str, Path(pattern=NAME)]


def calibration_router(
    home: Home, registry: Registry, database: Database, journal: JournalReader, refitter: Refitter
) -> APIRouter:
    """Reliability of an endpoint, and refits of its strategies."""
    router = APIRouter()

    @router.get(
        "/v1/endpoints/{name}/reliability",
        tags=["endpoints"],
        responses=openapi.reading("not_found", "store", "conflict", "journal"),
    )
    def endpoint_reliability(
        name: Name,
        rows: Annotated[int, Query(ge=1, le=FIT_ROWS, description="The newest rows of a strategy, at most.")] = ROWS,
    ) -> ReliabilityView:
        """How often confidences come true, by strategy, on the newest decisions whose truth is known."""
        route, pool = served(snapshot.read_or_empty(home.snapshot), name)
        with database.read() as connection:
            require_shown(connection, name)
            return reliability(connection, journal, route, pool, registry.blobs.read, most=rows)

    @router.post(
        "/v1/endpoints/{name}/strategies/{strategy}/refit",
        tags=["endpoints"],
        responses=openapi.reading("not_found", "store", "conflict", "journal", "registry", "format_refused"),
    )
    def refit(name: Name, strategy: Name, request: Request) -> RefittedView:
        """Fit a strategy's calibration again on what became known, and serve it as a new revision."""
        author = author_of(request)
        with database.read() as connection:
            require_shown(connection, name)
        return refitter.refit(name, strategy, author=author)

    return router
