"""The routes of switches on the control port: what one would cost, and what those that there were cost."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field

from quorate.clock import Clock
from quorate.codecs import snapshot
from quorate.codecs.lookup import JournalReader
from quorate.control import bodies, openapi
from quorate.control.authors import author_of
from quorate.control.experiments.hiding import require_shown
from quorate.control.revisions.submit import conflicts
from quorate.control.switching.planning import Asked, Plan, plan
from quorate.control.switching.report import SwitchReport, SwitchSummary, report, summaries
from quorate.errors import InvalidInput, MethodNotAllowed
from quorate.home import Home
from quorate.registry.registry import Registry
from quorate.spec import load
from quorate.spec.document import MAX_BYTES
from quorate.spec.model import NAME
from quorate.store.database import Database

Name = Annotated[str, Path(pattern=NAME)]


class PlanRequest(BaseModel):
    """Which switch is planned: one of the two."""

    model_config = ConfigDict(extra="forbid", strict=True)

    to: Annotated[str | None, Field(pattern=NAME, description="A strategy of the endpoint, for every request.")] = None
    config: Annotated[
        str | None, Field(min_length=1, max_length=MAX_BYTES, description="A whole quorate.yaml, as text.")
    ] = None


def switch_router(
    home: Home, registry: Registry, database: Database, journal: JournalReader, clock: Clock
) -> APIRouter:
    """Routes below ``/v1/endpoints/{name}/switches``."""
    router = APIRouter()

    @router.get("/v1/endpoints/{name}/switches", tags=["endpoints"], responses=openapi.reading("not_found", "store"))
    def switches(name: Name) -> list[SwitchSummary]:
        """Every change of what answers at an endpoint, the newest first."""
        return summaries(database, name)

    @router.post(
        "/v1/endpoints/{name}/switches/plan",
        tags=["endpoints"],
        responses=openapi.reading(
            "not_found", "store", "conflict", "registry", "journal", "too_large", "unsupported_media_type"
        ),
        openapi_extra=bodies.described(PlanRequest),
    )
    async def plan_switch(name: Name, request: Request) -> Plan:
        """What a switch would cost and bring; nothing is changed. The plan is kept beside the switch, if it is made."""
        body = await bodies.asked(request, PlanRequest, 2 * MAX_BYTES)
        author = author_of(request)
        if (body.to is None) == (body.config is None):
            raise InvalidInput("A switch is planned to a strategy or to a configuration; give one of them.", path="to")
        config = None if body.config is None else load(body.config, home.config.name)
        asked = Asked(body.to, config)

        def planned() -> Plan:
            with database.read() as connection:
                require_shown(connection, name)
            with conflicts():
                return plan(
                    database,
                    registry,
                    journal,
                    home.telemetry,
                    snapshot.read_or_empty(home.snapshot),
                    name,
                    asked,
                    author=author,
                    now=clock.now(),
                )

        return await run_in_threadpool(planned)

    @router.get("/v1/endpoints/{name}/switches/plan", include_in_schema=False)
    def no_plan(name: Name) -> Response:
        """Without this, 'plan' would be taken for a number."""
        raise MethodNotAllowed("GET is not possible here; expected POST.", allow=("POST",), path="method")

    @router.get(
        "/v1/endpoints/{name}/switches/{number}",
        tags=["endpoints"],
        responses=openapi.reading("not_found", "store", "journal"),
    )
    def switch(name: Name, number: Annotated[int, Path(ge=1, lt=10**9)]) -> SwitchReport:
        """What a switch cost and brought: the same quantities before and after it, and what was promised."""
        return report(database, journal, snapshot.read_or_empty(home.snapshot), name, number, now=clock.now())

    return router
