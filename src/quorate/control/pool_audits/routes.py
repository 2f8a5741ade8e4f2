"""The routes of pool audits on the control port: thin handlers over the desk."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi import Path as PathParameter
from fastapi.concurrency import run_in_threadpool
from pydantic import ValidationError

from quorate.control import openapi
from quorate.control.bodies import body_of, media_type_of
from quorate.control.pool_audits.asked import Question
from quorate.control.pool_audits.desk import PoolAuditDesk
from quorate.control.pool_audits.views import PoolAuditRequest, PoolAuditView, view
from quorate.errors import InvalidInput, MalformedRequest, UnsupportedMediaType

AuditId = Annotated[str, PathParameter(pattern="^[0-9a-f]{32}$")]
MOST_JSON = 64 * 1024

_SUBMIT: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": PoolAuditRequest.model_json_schema()}},
    },
}


def pool_audits_router(desk: PoolAuditDesk) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["pool audits"])

    @router.post(
        "/v1/pool-audits",
        status_code=202,
        responses=openapi.reading(
            "not_found", "conflict", "store", "too_large", "unsupported_media_type", "overloaded", "registry"
        ),
        openapi_extra=_SUBMIT,
    )
    async def submit_pool_audit(request: Request) -> PoolAuditView:
        """Ask what the members of a pool are worth, and which can go. Needs the role `operate`."""
        question = Question(**(await _asked(request)).model_dump())
        return view(await run_in_threadpool(desk.submit, question, author=_author(request)))

    @router.get("/v1/pool-audits", responses=openapi.reading("not_found", "store"))
    def list_pool_audits(
        before: Annotated[
            str | None, Query(pattern="^[0-9a-f]{32}$", description="Audits older than that of this id.")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=1000, description="How many at most.")] = 100,
    ) -> list[PoolAuditView]:
        """Pool audits, newest first."""
        return [view(each) for each in desk.list(before=before, limit=limit)]

    @router.get("/v1/pool-audits/{id}", responses=openapi.reading("not_found", "store"))
    def show_pool_audit(id: AuditId) -> PoolAuditView:
        """How far an audit is, and what it came to."""
        return view(desk.get(id))

    @router.delete("/v1/pool-audits/{id}", responses=openapi.reading("not_found", "conflict", "store"))
    def cancel_pool_audit(id: AuditId, request: Request) -> PoolAuditView:
        """Stop an audit. Needs the role `operate`."""
        return view(desk.cancel(id, author=_author(request)))

    return router


def _author(request: Request) -> str:
    return f"key {request.state.key_id}" if request.state.key_id else "control port"


async def _asked(request: Request) -> PoolAuditRequest:
    media_type = media_type_of(request)
    if media_type != "application/json":
        raise UnsupportedMediaType(
            f"'{media_type[:64]}' is not read here; expected application/json.", path="Content-Type"
        )
    body = await body_of(request, MOST_JSON)
    try:
        return PoolAuditRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(map(str, first["loc"])) or "body"
        if first["type"] == "json_invalid":
            raise MalformedRequest(f"The body is not JSON: {first['msg']}.", path="body") from None
        raise InvalidInput(f"{path} is wrong: {first['msg']}.", path=path) from None
