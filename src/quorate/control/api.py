"""The control port: what is registered, served, decided and changed; thin handlers over the parts that know."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from quorate import __version__
from quorate.clock import Clock
from quorate.codecs import snapshot
from quorate.codecs.lookup import JournalReader
from quorate.control import openapi, views
from quorate.control.access import Access, Gate
from quorate.control.authors import author_of
from quorate.control.bodies import body_of, media_type_of
from quorate.control.calibration.refitting import Refitter
from quorate.control.calibration.routes import calibration_router
from quorate.control.captures.dataset_routes import dataset_router
from quorate.control.captures.erasing_routes import erasing_router
from quorate.control.captures.exporting import DatasetDesk
from quorate.control.coverage import shown as promises
from quorate.control.coverage.routes import coverage_router
from quorate.control.decisions import describe
from quorate.control.experiments.desk import ExperimentDesk
from quorate.control.experiments.hiding import require_shown
from quorate.control.experiments.routes import experiments_router
from quorate.control.frontier import frontier_router
from quorate.control.health import Files, readings
from quorate.control.jobs.desk import JobDesk
from quorate.control.jobs.routes import jobs_router
from quorate.control.learning.routes import learner_router
from quorate.control.learning.warm_starts import WarmStarts
from quorate.control.model_routes import models_router
from quorate.control.outcomes.routes import outcomes_router
from quorate.control.overview import Overview, overview
from quorate.control.pool_audits.desk import PoolAuditDesk
from quorate.control.pool_audits.routes import pool_audits_router
from quorate.control.pools import running
from quorate.control.problems import answer_problems
from quorate.control.replay.desk import ReplayDesk
from quorate.control.replay.routes import replays_router
from quorate.control.report import Report, report
from quorate.control.revisions.submit import preview, submit
from quorate.control.rule_routes import Explain, rules_router
from quorate.control.selection.routes import selection_router
from quorate.control.served import served_endpoint
from quorate.control.skipped import why_skipped
from quorate.control.switching.routes import switch_router
from quorate.control.why import made_by, why
from quorate.errors import (
    MalformedRequest,
    NotFound,
    UnsupportedMediaType,
)
from quorate.home import Home
from quorate.registry.registry import Registry
from quorate.spec.document import MAX_BYTES
from quorate.spec.model import NAME
from quorate.store.audit import entries
from quorate.store.database import Database
from quorate.store.ledger import outcomes_of
from quorate.store.revisions import newest_revision, revisions
from quorate.telemetry.exposition import CONTENT_TYPE, exposition
from quorate.web.openapi import docs_html
from quorate.web.openapi_inference import ID_PATTERN

log = logging.getLogger("quorate.control")

YAML = ("application/yaml", "application/x-yaml", "text/yaml", "text/plain", "application/json")
Name = Annotated[str, Path(pattern=NAME)]
_HIDING = openapi.reading("not_found", "store", "conflict")
PREVIEWS = 2
"""Pictures decoded at a time: those who may only predict must not fill the memory of control."""


@dataclass(frozen=True, slots=True)
class Services:
    """What the handlers call; ``workers`` is how many there should be, 0 where that is not known.

    Without ``jobs``, ``replays``, ``pool_audits`` and ``warm_starts`` those there are can be looked at, but none is
    taken in; without ``explain`` no example is tried.
    """

    home: Home
    registry: Registry
    database: Database
    journal: JournalReader
    clock: Clock
    workers: int = 0
    jobs: JobDesk | None = None
    replays: ReplayDesk | None = None
    warm_starts: WarmStarts | None = None
    explain: Explain | None = None
    pool_audits: PoolAuditDesk | None = None


def create_app(services: Services, access: Access) -> FastAPI:
    """The ASGI application of the control port."""
    app = FastAPI(
        title="Quorate control",
        version=__version__,
        description="What is registered, served, decided and changed. Errors are problem JSON.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    answer_problems(app)
    app.include_router(_changing(services))  # first: /v1/endpoints/apply is not the endpoint of that name
    app.include_router(models_router(services.home, services.registry))
    app.include_router(_reading(services))
    app.include_router(outcomes_router(services.database, services.journal, services.clock))
    desk = services.jobs or JobDesk(services.home, services.database, services.clock, None)
    app.include_router(jobs_router(desk, lambda: snapshot.read_or_empty(services.home.snapshot).limits.batch_bytes))
    app.include_router(learner_router(services.home, services.database, services.clock, services.warm_starts))
    app.include_router(rules_router(services.home, services.explain))
    app.include_router(frontier_router(services.home, services.registry, services.database))
    app.include_router(coverage_router(services.home, services.database, services.registry.blobs.read))
    app.include_router(erasing_router(services.home, services.database, services.clock))
    app.include_router(dataset_router(DatasetDesk(services.home, services.database, services.clock)))
    s = services
    app.include_router(switch_router(s.home, s.registry, s.database, s.journal, s.clock))
    app.include_router(selection_router(s.home, s.database, s.journal, s.registry.read_blob))
    replays = services.replays or ReplayDesk(services.home, services.registry, services.database, services.clock)
    app.include_router(replays_router(replays))
    app.include_router(pool_audits_router(s.pool_audits or PoolAuditDesk(s.home, s.registry, s.database, s.clock)))
    experiments = ExperimentDesk(services.home, services.database, services.journal, services.clock)
    app.include_router(experiments_router(experiments))
    refitter = Refitter(s.home, s.database, s.registry, s.journal, s.clock)
    app.include_router(calibration_router(s.home, s.registry, s.database, s.journal, refitter))
    app.include_router(_about(app))
    app.add_middleware(Gate, access=access)
    return app


def _reading(services: Services) -> APIRouter:
    router = APIRouter()
    home, registry, database = services.home, services.registry, services.database
    files = Files(registry.blobs)

    @router.get("/metrics", tags=["about"], response_class=openapi.PlainText, responses=openapi.METRICS)
    def metrics() -> Response:
        """Every process's counters in the Prometheus text format."""
        return Response(exposition(home.telemetry), media_type=CONTENT_TYPE)

    @router.get("/v1/health", tags=["about"], responses=openapi.reading("store"))
    def health() -> views.Health:
        """Whether the control process works, and what it obeys."""
        return views.Health(
            status="ok",
            release=__version__,
            snapshot_version=snapshot.current_version(home.snapshot),
            store_schema=database.version(),
        )

    @router.get("/v1/pools", tags=["endpoints"], responses=openapi.reading())
    def pools() -> list[views.Pool]:
        """The pools that are served, their members resolved to versions, and how workers run them."""
        routing = snapshot.read_or_empty(home.snapshot)
        return [views.pool(*one) for one in zip(routing.pools, running(routing, home.telemetry), strict=True)]

    @router.get("/v1/endpoints", tags=["endpoints"], responses=openapi.reading())
    def endpoints(response: Response) -> views.Endpoints:
        """The endpoints that are served."""
        routing = snapshot.read_or_empty(home.snapshot)
        response.headers["etag"] = f'"{routing.version}"'
        return views.endpoints(routing)

    @router.get("/v1/endpoints/{name}", tags=["endpoints"], responses=openapi.reading("not_found", "store"))
    def endpoint(name: Name) -> views.EndpointHistory:
        """An endpoint and its revisions."""
        with database.read() as connection:
            found = [views.revision(r) for r in revisions(connection, name)]
        if not found:
            raise NotFound(f"There is no endpoint '{name}'; /v1/endpoints lists them.", path="name")
        routing = snapshot.read_or_empty(home.snapshot)
        served = next((views.endpoint(e) for e in routing.endpoints if e.name == name), None)
        front = next((views.front(f) for f in routing.fronts if f.name == name), None)
        return views.EndpointHistory(name=name, served=served, front=front, revisions=found)

    @router.get("/v1/endpoints/{name}/report", tags=["decisions"], responses=_HIDING)
    def endpoint_report(
        name: Name,
        since: Annotated[float | None, Query(ge=0, le=1e11, description="Unix seconds; everything without it.")] = None,
    ) -> Report:
        """How the endpoint's strategies do on its traffic, by the strategy that was assigned."""
        with database.read() as connection:
            if newest_revision(connection, name) is None:
                raise NotFound(f"There is no endpoint '{name}'; /v1/endpoints lists them.", path="name")
            require_shown(connection, name)
            return report(connection, name, since, now=services.clock.now())

    @router.get("/v1/endpoints/{name}/overview", tags=["decisions"], responses=_HIDING)
    def endpoint_overview(
        name: Name,
        minutes: Annotated[int, Query(ge=1, le=24 * 60, description="How far back, the present minute included.")] = 15,
    ) -> Overview:
        """How an endpoint does now: traffic, latency, strategies, members' health, and what is wrong in words."""
        routing = snapshot.read_or_empty(home.snapshot)
        route, pool = served_endpoint(routing, name)
        with database.read() as connection:
            require_shown(connection, name)
            return overview(
                connection,
                route,
                pool,
                now=services.clock.now(),
                minutes=minutes,
                workers=services.workers,
                readings=readings(home.telemetry),
                files=files,
            )

    @router.get("/v1/decisions/{id}", tags=["decisions"], responses={**_HIDING, **openapi.reading("journal")})
    def decision(id: Annotated[str, Path(pattern=ID_PATTERN)]) -> views.DecisionView:
        """The record of one answer, and the outcomes told for it."""
        found = services.journal.find(id)
        if found is None:
            raise NotFound(f"Decision {id} is not in the journal; it may not be written yet, or be removed.", path="id")
        with database.read() as connection:
            require_shown(connection, found.endpoint, found.revision)
            outcomes = outcomes_of(connection, [id])
            endpoint, pool = made_by(connection, found)
        skipped = why_skipped(found, endpoint, registry.blobs.read)
        told = describe(found, outcomes, why(found, endpoint), endpoint, skipped)
        promised = promises.shown(found, endpoint, pool, registry.blobs.read)
        return views.DecisionView.model_validate({**told, "coverage": promised})

    @router.get("/v1/audit", tags=["audit"], responses=openapi.reading("store"))
    def audit(
        before: Annotated[int | None, Query(ge=1, lt=2**53, description="Entries older than this id.")] = None,
        limit: Annotated[int, Query(ge=1, le=1000, description="How many entries at most.")] = 100,
    ) -> list[views.AuditEntry]:
        """Who changed what, newest first."""
        with database.read() as connection:
            return [views.audit_entry(entry) for entry in entries(connection, before=before, limit=limit)]

    return router


def _changing(services: Services) -> APIRouter:
    router = APIRouter()
    parts = (services.home, services.registry, services.database)

    @router.post("/v1/endpoints/apply", tags=["endpoints"], responses=openapi.CHANGING, openapi_extra=openapi.APPLY)
    async def apply(
        request: Request,
        dry_run: Annotated[bool, Query(description="Only say what would change.")] = False,
    ) -> views.AppliedView:
        """Apply a configuration: the body takes the place of quorate.yaml; without a body, that file as it is."""
        expected = _expected(request.headers.get("if-match"))
        text = await _yaml(request)
        if dry_run:
            return views.applied(await run_in_threadpool(preview, *parts, text, expected=expected), dry_run=True)
        author = author_of(request)
        done = await run_in_threadpool(submit, *parts, text, author=author, clock=services.clock, expected=expected)
        return views.applied(done, dry_run=False)

    return router


def _about(app: FastAPI) -> APIRouter:
    router = APIRouter()

    @router.get("/openapi.json", tags=["about"], responses=openapi.reading())
    def document() -> dict[str, Any]:
        """This document."""
        return openapi.document(app)

    @router.get("/docs", tags=["about"], response_class=openapi.Page, responses=openapi.reading())
    def docs() -> Response:
        """This document as a page."""
        return openapi.Page(docs_html(openapi.document(app)))

    return router


async def _yaml(request: Request) -> bytes | None:
    body = await body_of(request, MAX_BYTES)
    if not body:
        return None
    media_type = media_type_of(request)
    if media_type not in YAML:
        raise UnsupportedMediaType(
            f"'{media_type[:64]}' is not read here; expected quorate.yaml as application/yaml.", path="Content-Type"
        )
    return body


def _expected(if_match: str | None) -> int | None:
    if if_match is None:
        return None
    if not re.fullmatch(openapi.ETAG, if_match):
        raise MalformedRequest(
            f"If-Match is the ETag of /v1/endpoints, as \"12\"; got '{if_match[:50]}'.", path="If-Match"
        )
    return None if if_match == "*" else int(if_match.strip('"'))
