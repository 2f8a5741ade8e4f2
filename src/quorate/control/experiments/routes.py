"""The routes of experiments on the control port: thin handlers over the desk."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as PathParameter
from fastapi.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from quorate.control import openapi
from quorate.control.authors import author_of
from quorate.control.experiments.desk import WINDOW_DAYS, ExperimentDesk
from quorate.control.experiments.reports import report
from quorate.control.experiments.reports.manager import manager_page
from quorate.control.experiments.reports.statistician import statistician_page
from quorate.control.experiments.views import ExperimentView, LookView, experiment_view, look_view
from quorate.errors import MalformedRequest, MethodNotAllowed, TooLarge
from quorate.spec.model import NAME
from quorate.store.experiments import Experiment
from quorate.web import json
from quorate.web.openapi import parameter, ref

ExperimentId = Annotated[str, PathParameter(pattern="^[0-9a-f]{16}$")]
Days = Annotated[float, Query(gt=0, le=3660, description="How far back the endpoint's own traffic is looked at.")]
MOST_JSON = 256 * 1024
_READ = ("not_found", "store")
_CHANGE = ("not_found", "conflict", "store", "too_large")
_BODY: dict[str, Any] = {
    "required": True,
    "description": "A registration; see the page on experiments.",
    "content": {"application/json": {"schema": ref("Registration")}},
}
_IF_MATCH: dict[str, Any] = parameter(
    "If-Match",
    "header",
    {"type": "string", "pattern": openapi.ETAG},
    "The ETag of the experiment: change it only if nobody has since.",
)


class Page(Response):
    """A report for people."""

    media_type = "text/html"


_REPORT: dict[int | str, dict[str, Any]] = {
    **openapi.reading(*_READ),
    200: {
        "description": "The report, as a page of its own; or everything in it as JSON, where `Accept` asks for that.",
        "content": {"text/html": {"schema": {"type": "string"}}, "application/json": {"schema": {"type": "object"}}},
    },
}


def experiments_router(desk: ExperimentDesk) -> APIRouter:
    """The routes below ``/v1/experiments``."""
    router = APIRouter(tags=["experiments"])
    router.include_router(_asking(desk))  # first: /v1/experiments/plan is not the experiment of that id
    router.include_router(_reading(desk))
    router.include_router(_changing(desk))
    return router


def _reading(desk: ExperimentDesk) -> APIRouter:
    router = APIRouter()

    @router.get("/v1/experiments", responses=openapi.reading(*_READ))
    def list_experiments(
        endpoint: Annotated[str | None, Query(pattern=NAME, description="Of one endpoint only.")] = None,
        before: Annotated[
            str | None, Query(pattern="^[0-9a-f]{16}$", description="Experiments older than that of this id.")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=1000, description="How many at most.")] = 100,
    ) -> list[ExperimentView]:
        """Experiments, newest first."""
        return [experiment_view(found) for found in desk.list(endpoint=endpoint, before=before, limit=limit)]

    @router.get("/v1/experiments/{id}", responses=openapi.reading(*_READ))
    def show_experiment(id: ExperimentId, response: Response) -> ExperimentView:
        """An experiment and its newest look."""
        found, last = desk.latest(id)
        response.headers["etag"] = f'"{found.version}"'
        return experiment_view(found, last)

    @router.get("/v1/experiments/{id}/looks", responses=openapi.reading(*_READ))
    def experiment_looks(id: ExperimentId) -> list[LookView]:
        """Every look that was taken, in order: the interval as it was seen then, never computed again."""
        found = desk.get(id)
        return [look_view(found, look) for look in desk.looks(id)]

    @router.get("/v1/experiments/{id}/report", response_class=Page, responses=_REPORT)
    def experiment_report(
        id: ExperimentId,
        request: Request,
        reader: Annotated[
            Literal["manager", "statistician"], Query(alias="for", description="Who is to read it.")
        ] = "manager",
    ) -> Response:
        """One page: what was found, for a manager; or how, for a statistician."""
        found = report(desk.get(id), desk.looks(id))
        if "application/json" in request.headers.get("accept", ""):
            return Response(msgspec.json.encode(found), media_type="application/json")
        return Page(manager_page(found) if reader == "manager" else statistician_page(found))

    return router


def _asking(desk: ExperimentDesk) -> APIRouter:
    router = APIRouter()

    @router.post("/v1/experiments/plan", responses=openapi.reading(*_CHANGE), openapi_extra={"requestBody": _BODY})
    async def plan_experiment(
        request: Request,
        days: Days = WINDOW_DAYS,
        daily_units: Annotated[
            float | None, Query(gt=0, le=1e12, description="Units per day, if known better.")
        ] = None,
        presence: Annotated[
            float | None, Query(gt=0, le=1, description="Share of units whose outcome becomes known, if known better.")
        ] = None,
    ) -> dict[str, Any]:
        """How many units an experiment needs and how long it takes, from the endpoint's own traffic."""
        data = await _json(request)
        return await run_in_threadpool(lambda: desk.plan(data, days=days, daily_units=daily_units, presence=presence))

    @router.post("/v1/experiments/selftest", responses=openapi.reading(*_CHANGE), openapi_extra={"requestBody": _BODY})
    async def test_experiment(
        request: Request,
        days: Days = WINDOW_DAYS,
        runs: Annotated[int, Query(ge=1, le=20_000, description="Simulated A/A experiments.")] = 500,
        looks: Annotated[int, Query(ge=1, le=200, description="Looks in each.")] = 20,
        seed: Annotated[int, Query(ge=0, le=2**32 - 1)] = 0,
    ) -> dict[str, Any]:
        """How often the method finds a difference on the endpoint's own units where there is none (A/A)."""
        data = await _json(request)
        return await run_in_threadpool(lambda: desk.self_test(data, days=days, runs=runs, looks=looks, seed=seed))

    @router.api_route("/v1/experiments/plan", methods=["GET", "PUT", "DELETE"], include_in_schema=False)
    @router.api_route("/v1/experiments/selftest", methods=["GET", "PUT", "DELETE"], include_in_schema=False)
    def only_post() -> Response:
        """Without this, both would be taken for ids."""
        message = "Only POST is possible here, with a registration."
        raise MethodNotAllowed(message, allow=("POST",), path="method")

    return router


def _changing(desk: ExperimentDesk) -> APIRouter:
    router = APIRouter()
    matching: dict[str, Any] = {"parameters": [_IF_MATCH]}

    @router.post(
        "/v1/experiments", status_code=201, responses=openapi.reading(*_CHANGE), openapi_extra={"requestBody": _BODY}
    )
    async def register_experiment(request: Request) -> ExperimentView:
        """Register an experiment, which starts nothing yet. Needs the role `operate`."""
        data, author = await _json(request), author_of(request)
        return experiment_view(await run_in_threadpool(desk.register, data, author=author))

    @router.put(
        "/v1/experiments/{id}",
        responses=openapi.reading(*_CHANGE),
        openapi_extra={**matching, "requestBody": _BODY},
    )
    async def revise_experiment(id: ExperimentId, request: Request) -> ExperimentView:
        """Register something else in its place; one that has started cannot be edited. Needs the role `operate`."""
        data, author, expected = await _json(request), author_of(request), _expected(request)
        return experiment_view(await run_in_threadpool(desk.revise, id, data, author=author, expected=expected))

    @router.delete("/v1/experiments/{id}", responses=openapi.reading(*_CHANGE), openapi_extra=matching)
    def withdraw_experiment(id: ExperimentId, request: Request) -> ExperimentView:
        """Forget an experiment that has not started. Needs the role `operate`."""
        return experiment_view(desk.withdraw(id, author=author_of(request), expected=_expected(request)))

    @router.post("/v1/experiments/{id}/start", responses=openapi.reading(*_CHANGE), openapi_extra=matching)
    def start_experiment(id: ExperimentId, request: Request) -> ExperimentView:
        """Split the endpoint's traffic as registered. Needs the role `operate`."""
        return experiment_view(desk.start(id, author=author_of(request), expected=_expected(request)))

    def conclude(id: str, request: Request, action: str) -> Experiment:
        return desk.conclude(id, action, author=author_of(request), expected=_expected(request))

    @router.post("/v1/experiments/{id}/stop", responses=openapi.reading(*_CHANGE), openapi_extra=matching)
    def stop_experiment(id: ExperimentId, request: Request) -> ExperimentView:
        """End a running experiment; what was served before is served again. Needs the role `operate`."""
        return experiment_view(conclude(id, request, "stop"))

    @router.post("/v1/experiments/{id}/promote", responses=openapi.reading(*_CHANGE), openapi_extra=matching)
    def promote_experiment(id: ExperimentId, request: Request) -> ExperimentView:
        """Serve the winner alone, once there is one. Needs the role `operate`."""
        return experiment_view(conclude(id, request, "promote"))

    @router.post("/v1/experiments/{id}/keep", responses=openapi.reading(*_CHANGE), openapi_extra=matching)
    def keep_experiment(id: ExperimentId, request: Request) -> ExperimentView:
        """After the verdict, serve what was served before. Needs the role `operate`."""
        return experiment_view(conclude(id, request, "keep"))

    return router


def _expected(request: Request) -> int | None:
    text = request.headers.get("if-match")
    if text is None or text == "*":
        return None
    if not re.fullmatch(openapi.ETAG, text):
        raise MalformedRequest(f"If-Match is the ETag of the experiment, as \"3\"; got '{text[:50]}'.", path="If-Match")
    return int(text.strip('"'))


async def _json(request: Request) -> Any:
    body = b""
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > MOST_JSON:
                raise TooLarge(f"A registration has at most {MOST_JSON} bytes.", path="body")
    except ClientDisconnect:
        raise MalformedRequest("The body is not complete: the client went away.", path="body") from None
    return json.decode(body, depth=32)
