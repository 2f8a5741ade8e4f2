"""The routes of learners on the control port: what a policy has learned, and having it forget."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request

from quorate.clock import Clock
from quorate.codecs import snapshot
from quorate.control import openapi
from quorate.control.authors import author_of
from quorate.control.experiments.hiding import require_shown
from quorate.control.learning import recording
from quorate.control.learning.history import SharesView, shares
from quorate.control.learning.learner import Learning, served
from quorate.control.learning.views import LearnerView, WarmStartView, view
from quorate.control.learning.warm_starts import WarmStarts
from quorate.errors import NotFound, NotReady
from quorate.home import Home
from quorate.spec.model import NAME
from quorate.store import experts, learners
from quorate.store.audit import add_entry
from quorate.store.database import Database
from quorate.store.lessons import RESET

DEFAULT_S = 30 * 86400.0
"""How far back a warm start looks where it is not said."""

_WARM = "/v1/endpoints/{name}/learner/warm-start"
Name = Annotated[str, Path(pattern=NAME)]


def learner_router(home: Home, database: Database, clock: Clock, warm_starts: WarmStarts | None = None) -> APIRouter:
    """Routes below ``/v1/endpoints/{name}/learner``; without ``warm_starts`` none is done."""
    router = APIRouter()

    def learning(name: str) -> Learning:
        found = served(snapshot.read_or_empty(home.snapshot), name)
        if found is None:
            raise NotFound(f"Endpoint '{name}' is not served, or does not learn.", path="name")
        return found

    @router.get("/v1/endpoints/{name}/learner", tags=["endpoints"], responses=openapi.reading("not_found", "store"))
    def learner(name: Name) -> LearnerView:
        """What the endpoint's policy has learned."""
        with database.read() as connection:
            return view(learning(name), learners.learner(connection, name))

    @router.get(
        "/v1/endpoints/{name}/learner/shares",
        tags=["endpoints"],
        responses=openapi.reading("not_found", "store", "conflict"),
    )
    def shares_over_time(
        name: Name,
        hours: Annotated[float, Query(gt=0, le=24 * 366, description="How far back.")] = 24,
    ) -> SharesView:
        """How many requests the policy gave each strategy, over time."""
        mine = learning(name)
        with database.read() as connection:
            require_shown(connection, name)
            return shares(connection, name, list(mine.policy.strategies), hours, clock.now())

    @router.post(
        "/v1/endpoints/{name}/learner/reset", tags=["endpoints"], responses=openapi.reading("not_found", "store")
    )
    def reset(name: Name, request: Request) -> LearnerView:
        """Have the policy forget what it learned; the workers follow within seconds."""
        return forget(database, learning(name), author_of(request), clock.now())

    @router.post(
        _WARM, tags=["endpoints"], status_code=202, responses=openapi.reading("not_found", "store", "conflict")
    )
    def warm_start(
        name: Name,
        request: Request,
        since: Annotated[
            float | None,
            Query(ge=0, le=1e11, description="Learn from decisions made from then on, Unix seconds; 30 days back."),
        ] = None,
    ) -> WarmStartView:
        """Have the policy begin anew with what is known of decisions that the same strategies made.

        It is done in the background, one at a time; what was learned is replaced at its end, at once.
        """
        mine = learning(name)
        if warm_starts is None:
            raise NotReady("This control process does no warm starts; try again in a moment.")
        return warm_starts.ask(mine, clock.now() - DEFAULT_S if since is None else since, author_of(request))

    @router.get(_WARM, tags=["endpoints"], responses=openapi.reading("not_found", "store"))
    def newest_warm_start(name: Name) -> WarmStartView:
        """The warm start that was asked for last, since control started."""
        found = None if warm_starts is None else warm_starts.newest(name)
        if found is None:
            raise NotFound(f"No warm start of '{name}' was asked for since control started.", path="name")
        return found

    return router


def forget(database: Database, learning: Learning, author: str, now: float) -> LearnerView:
    """Begin anew, with an entry in the audit trail that has what was forgotten."""
    with database.begin() as connection:
        before = learners.learner(connection, learning.name)
        fresh = learning.anew(before, now)
        learners.put(connection, fresh)
        recording.began(connection, learning, fresh, RESET)
        experts.drop(connection, learning.name)
        lost = {} if before is None else {"version": before.version, "rows": dict(before.counts)}
        add_entry(connection, at=now, actor=author, action="learner.reset", subject=learning.name, detail=lost)
    return view(learning, fresh)
