"""The routes of pool audits on the control port: thin handlers over the desk."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool

from quorate.control import bodies, openapi
from quorate.control.authors import author_of
from quorate.control.pool_audits.asked import Question
from quorate.control.pool_audits.desk import PoolAuditDesk
from quorate.control.pool_audits.views import PoolAuditRequest, PoolAuditView, view
from quorate.control.questions.views import ID, Limit, QuestionId

MOST_JSON = 64 * 1024


def pool_audits_router(desk: PoolAuditDesk) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["pool audits"])

    @router.post(
        "/v1/pool-audits",
        status_code=202,
        responses=openapi.reading(
            "not_found", "conflict", "store", "too_large", "unsupported_media_type", "overloaded", "registry"
        ),
        openapi_extra=bodies.described(PoolAuditRequest),
    )
    async def submit_pool_audit(request: Request) -> PoolAuditView:
        """Ask what the members of a pool are worth, and which can go. Needs the role `operate`."""
        asked = await bodies.asked(request, PoolAuditRequest, MOST_JSON)
        question = Question(**asked.model_dump())
        return view(await run_in_threadpool(desk.submit, question, author=author_of(request)))

    @router.get("/v1/pool-audits", responses=openapi.reading("not_found", "store"))
    def list_pool_audits(
        before: Annotated[str | None, Query(pattern=ID, description="Audits older than that of this id.")] = None,
        limit: Limit = 100,
    ) -> list[PoolAuditView]:
        """Pool audits, newest first."""
        return [view(each) for each in desk.list(before=before, limit=limit)]

    @router.get("/v1/pool-audits/{id}", responses=openapi.reading("not_found", "store"))
    def show_pool_audit(id: QuestionId) -> PoolAuditView:
        """How far an audit is, and what it came to."""
        return view(desk.get(id))

    @router.delete("/v1/pool-audits/{id}", responses=openapi.reading("not_found", "conflict", "store"))
    def cancel_pool_audit(id: QuestionId, request: Request) -> PoolAuditView:
        """Stop an audit. Needs the role `operate`."""
        return view(desk.cancel(id, author=author_of(request)))

    return router
