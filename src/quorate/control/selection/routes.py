"""The routes of selection on the control port: who is trusted where, and regret over time."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from quorate.codecs import snapshot
from quorate.codecs.lookup import JournalReader
from quorate.control import openapi
from quorate.control.experiments.hiding import require_shown
from quorate.control.learning.answering import ReadBlob
from quorate.control.selection.regret import regret
from quorate.control.selection.regret_views import RegretView
from quorate.control.selection.trust import TrustView, trust
from quorate.control.served import served_endpoint
from quorate.home import Home
from quorate.spec.model import NAME
from quorate.store.database import Database

Name = Annotated[str, Path(pattern=NAME)]


def selection_router(home: Home, database: Database, journal: JournalReader, read: ReadBlob) -> APIRouter:
    """What selection does, by endpoint; ``read`` reads blobs of the registry by their digest."""
    router = APIRouter()

    @router.get(
        "/v1/endpoints/{name}/trust",
        tags=["decisions"],
        responses=openapi.reading("not_found", "store", "conflict", "registry"),
    )
    def who_is_trusted(
        name: Name,
        strategy: Annotated[str | None, Query(pattern=NAME, description="The first that tells, without it.")] = None,
        by: Annotated[
            str | None,
            Query(max_length=200, description="How rows are grouped: `label`, `context.KEY` or `feature.NAME`."),
        ] = None,
    ) -> TrustView:
        """Whom a strategy trusts where: the members' shares of its answers in recent rows, by groups of these."""
        route, pool = served_endpoint(snapshot.read_or_empty(home.snapshot), name)
        with database.read() as connection:
            require_shown(connection, name)
            return trust(connection, journal, read, route, pool, strategy=strategy, by=by)

    @router.get(
        "/v1/endpoints/{name}/regret",
        tags=["decisions"],
        responses=openapi.reading("not_found", "store", "conflict"),
    )
    def regret_over_time(
        name: Name,
        points: Annotated[int, Query(ge=2, le=400, description="Points of time at most.")] = 60,
    ) -> RegretView:
        """What was served against each strategy, member and expert over time, with the bounds that are stated."""
        route, pool = served_endpoint(snapshot.read_or_empty(home.snapshot), name)
        with database.read() as connection:
            require_shown(connection, name)
            return regret(connection, journal, read, route, pool, points=points)

    return router
