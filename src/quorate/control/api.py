"""The control port: what is registered, served, decided and changed; thin handlers over the parts that know."""

from __future__ import annotations

import asyncio
import logging
import re
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from quorate import __version__
from quorate.clock import Clock
from quorate.codecs import snapshot
from quorate.codecs.lookup import JournalReader
from quorate.codecs.snapshot import Routing
from quorate.control import openapi, views
from quorate.control.access import Access, Gate
from quorate.control.captures.dataset_routes import dataset_router
from quorate.control.captures.erasing_routes import erasing_router
from quorate.control.captures.exporting import DatasetDesk
from quorate.control.decisions import describe
from quorate.control.experiments.desk import ExperimentDesk
from quorate.control.experiments.hiding import require_shown
from quorate.control.experiments.routes import experiments_router
from quorate.control.health import Files, readings
from quorate.control.jobs.desk import JobDesk
from quorate.control.jobs.routes import jobs_router
from quorate.control.learning.routes import learner_router
from quorate.control.outcomes.routes import outcomes_router
from quorate.control.overview import Overview, overview
from quorate.control.pools import running
from quorate.control.preview import seen, steps_of
from quorate.control.replay.desk import ReplayDesk
from quorate.control.replay.routes import replays_router
from quorate.control.report import Report, report
from quorate.control.revisions.submit import preview, submit
from quorate.control.switching.routes import switch_router
from quorate.control.why import route_of, why
from quorate.errors import (
    InvalidInput,
    MalformedRequest,
    MethodNotAllowed,
    NotFound,
    QuorateError,
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
from quorate.web.limits import ClientDisconnected, read_body
from quorate.web.openapi import docs_html
from quorate.web.openapi_inference import ID_PATTERN
from quorate.web.problem import problem

log = logging.getLogger("quorate.control")

YAML = ("application/yaml", "application/x-yaml", "text/yaml", "text/plain", "application/json")
Name = Annotated[str, Path(pattern=NAME)]
_HIDING = openapi.reading("not_found", "store", "conflict")
PREVIEWS = 2
"""Pictures decoded at a time: those who may only predict must not fill the memory of control."""


@dataclass(frozen=True, slots=True)
class Services:
    """What the handlers call; ``workers`` is how many there should be, 0 where that is not known.

    Without ``jobs`` and ``replays`` those there are can be looked at, but none is taken in.
    """

    home: Home
    registry: Registry
    database: Database
    journal: JournalReader
    clock: Clock
    workers: int = 0
    jobs: JobDesk | None = None
    replays: ReplayDesk | None = None


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
    app.add_exception_handler(QuorateError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _failed)
    app.include_router(_changing(services))  # first: /v1/endpoints/apply is not the endpoint of that name
    app.include_router(_asking(services))
    app.include_router(_reading(services))
    app.include_router(outcomes_router(services.database, services.clock))
    desk = services.jobs or JobDesk(services.home, services.database, services.clock, None)
    app.include_router(jobs_router(desk, lambda: _routing(services.home).limits.batch_bytes))
    app.include_router(learner_router(services.home, services.database, services.clock))
    app.include_router(erasing_router(services.home, services.database, services.clock))
    app.include_router(dataset_router(DatasetDesk(services.home, services.database, services.clock)))
    s = services
    app.include_router(switch_router(s.home, s.registry, s.database, s.journal, s.clock))
    replays = services.replays or ReplayDesk(services.home, services.registry, services.database, services.clock)
    app.include_router(replays_router(replays))
    experiments = ExperimentDesk(services.home, services.database, services.journal, services.clock)
    app.include_router(experiments_router(experiments))
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

    @router.get("/v1/models", tags=["models"], responses=openapi.reading("registry"))
    def models() -> list[views.ModelSummary]:
        """The models of the registry."""
        found = (views.model_summary(registry, name) for name in registry.names())
        return [summary for summary in found if summary is not None]

    @router.get("/v1/models/{name}", tags=["models"], responses=openapi.reading("not_found", "registry"))
    def model(name: Name) -> views.Model:
        """A model and all its versions."""
        aliases = registry.aliases(name)
        versions = [views.model_version(registry.manifest(f"{name}:{v}"), aliases) for v in _versions(registry, name)]
        return views.Model(name=name, aliases=aliases, versions=versions)

    @router.get("/v1/models/{name}/{version}", tags=["models"], responses=openapi.reading("not_found", "registry"))
    def model_version(name: Name, version: Annotated[int, Path(ge=1, lt=10**9)]) -> views.ModelVersion:
        """One version of a model: its manifest."""
        if version not in _versions(registry, name):
            raise NotFound(f"Model '{name}' has no version {version}; /v1/models/{name} lists them.", path="version")
        return views.model_version(registry.manifest(f"{name}:{version}"), registry.aliases(name))

    @router.get("/v1/pools", tags=["endpoints"], responses=openapi.reading())
    def pools() -> list[views.Pool]:
        """The pools that are served, their members resolved to versions, and how workers run them."""
        routing = _routing(home)
        return [views.pool(*one) for one in zip(routing.pools, running(routing, home.telemetry), strict=True)]

    @router.get("/v1/endpoints", tags=["endpoints"], responses=openapi.reading())
    def endpoints(response: Response) -> views.Endpoints:
        """The endpoints that are served."""
        routing = _routing(home)
        response.headers["etag"] = f'"{routing.version}"'
        return views.endpoints(routing)

    @router.get("/v1/endpoints/{name}", tags=["endpoints"], responses=openapi.reading("not_found", "store"))
    def endpoint(name: Name) -> views.EndpointHistory:
        """An endpoint and its revisions."""
        with database.read() as connection:
            found = [views.revision(r) for r in revisions(connection, name)]
        if not found:
            raise NotFound(f"There is no endpoint '{name}'; /v1/endpoints lists them.", path="name")
        routing = _routing(home)
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
        routing = _routing(home)
        route = next((endpoint for endpoint in routing.endpoints if endpoint.name == name), None)
        if route is None:
            raise NotFound(f"There is no endpoint '{name}'; /v1/endpoints lists them.", path="name")
        with database.read() as connection:
            require_shown(connection, name)
            return overview(
                connection,
                route,
                next(pool for pool in routing.pools if pool.name == route.pool),
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
            reasons = why(found, route_of(connection, found))
        return views.DecisionView.model_validate(describe(found, outcomes, reasons))

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
        author = f"key {request.state.key_id}" if request.state.key_id else "control port"
        done = await run_in_threadpool(submit, *parts, text, author=author, clock=services.clock, expected=expected)
        return views.applied(done, dry_run=False)

    return router


def _asking(services: Services) -> APIRouter:
    router = APIRouter()
    turn = asyncio.Semaphore(PREVIEWS)

    @router.post(
        "/v1/models/{name}/preview",
        tags=["models"],
        response_class=openapi.Png,
        responses=openapi.PREVIEW,
        openapi_extra=openapi.PICTURE,
    )
    async def model_preview(name: Name, request: Request) -> Response:
        """What a model sees of a picture: its declared preprocessing, as a PNG. Needs the role `predict`."""
        routing = _routing(services.home)
        body = await _body(request, routing.limits.body_bytes)
        media_type = _media_type(request)
        if not media_type.startswith("image/") and media_type != "application/octet-stream":
            raise UnsupportedMediaType(
                f"'{media_type[:64]}' is not read here; expected one encoded picture as image/*.", path="Content-Type"
            )
        steps = await run_in_threadpool(steps_of, name, routing, services.registry)
        pixels = routing.limits.image_pixels
        async with turn:
            return openapi.Png(await run_in_threadpool(seen, steps, body, max_pixels=pixels))

    @router.get("/v1/models/{name}/preview", include_in_schema=False)
    def no_preview(name: Name) -> Response:
        """Without this, 'preview' would be taken for a version."""
        raise MethodNotAllowed(
            "GET is not possible here; expected POST with a picture.", allow=("POST",), path="method"
        )

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


def _routing(home: Home) -> Routing:
    return Routing(version=0) if snapshot.current_version(home.snapshot) is None else snapshot.read(home.snapshot)


def _versions(registry: Registry, name: str) -> list[int]:
    found = sorted(registry.versions(name), reverse=True)
    if not found:
        raise NotFound(f"There is no model '{name}'; /v1/models lists them.", path="name")
    return found


async def _body(request: Request, limit: int) -> bytes:
    headers = dict(request.scope["headers"])
    try:
        return await read_body(
            request.receive,
            limit=limit,
            content_length=headers.get(b"content-length"),
            encoding=headers.get(b"content-encoding"),
        )
    except ClientDisconnected:
        raise MalformedRequest("The body is not complete: the client went away.", path="body") from None


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _yaml(request: Request) -> bytes | None:
    body = await _body(request, MAX_BYTES)
    if not body:
        return None
    media_type = _media_type(request)
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


# --- errors ---------------------------------------------------------------------------------------


def _respond(request: Request, error: BaseException) -> Response:
    status, headers, body = problem(error, request_id=request.state.request_id)
    response = Response(body, status)
    response.raw_headers = headers
    return response


def _refused(request: Request, error: Exception) -> Response:
    return _respond(request, error)


def _failed(request: Request, error: Exception) -> Response:
    # Starlette raises it again afterwards, and the server logs it with its traceback.
    request_id = request.state.request_id
    log.error("Request %s failed (%s)", request.url.path[:200], request_id, extra={"request_id": request_id})
    return _respond(request, error)


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it
    first = error.errors()[0]
    place, *rest = first["loc"]
    name = ".".join(map(str, rest)) or str(place)
    return _respond(request, InvalidInput(f"The {place} parameter '{name}' is wrong: {first['msg']}.", path=name))


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    path = request.url.path[:200]
    if error.status_code == 404:
        return _respond(request, NotFound(f"There is no route {path}; /docs lists them.", path="path"))
    if error.status_code == 405:
        allow = _allowed(request) or tuple((error.headers or {}).get("Allow", "").split(", "))
        message = f"{request.method} is not possible on {path}; expected {' or '.join(allow)}."
        return _respond(request, MethodNotAllowed(message, allow=allow, path="method"))
    return _respond(request, MalformedRequest(f"The request cannot be read: {error.detail}.", path="request"))


def _allowed(request: Request) -> tuple[str, ...]:
    """What is possible on a path; the framework names the methods of one of its routes only."""
    paths = openapi.document(request.app)["paths"]
    fits = [t for t in paths if re.fullmatch(re.sub(r"{[^}]+}", "[^/]+", t), request.url.path)]
    # As OpenAPI says, the path with the fewest parameters is meant.
    best = min(fits, key=lambda template: template.count("{"), default=None)
    return () if best is None else tuple(sorted(method.upper() for method in paths[best]))
