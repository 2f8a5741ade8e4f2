"""The routes of replays on the control port: thin handlers over the desk."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field

from quorate.control import bodies, openapi
from quorate.control.authors import author_of
from quorate.control.questions.views import (
    ID,
    Limit,
    Moment,
    QuestionErrorView,
    QuestionId,
    QuestionView,
    shown,
)
from quorate.control.replay.asked import Question
from quorate.control.replay.desk import ReplayDesk
from quorate.control.view import View
from quorate.spec.model import NAME

MOST_JSON = 64 * 1024


class ReplayRequest(BaseModel):
    """What is asked; one of `strategy` and `policy`. Times are Unix seconds."""

    model_config = ConfigDict(extra="forbid", strict=True)

    endpoint: Annotated[str, Field(pattern=NAME)]
    strategy: Annotated[
        str | dict[str, Any] | None,
        Field(description="The name of a strategy or member, or a strategy as in quorate.yaml."),
    ] = None
    policy: Annotated[dict[str, Any] | None, Field(description="A policy as in quorate.yaml.")] = None
    since: Moment | None = None
    until: Moment | None = None
    revision: Annotated[int | None, Field(ge=1, lt=10**9, description="Only decisions of this revision.")] = None
    metric: Annotated[
        str | None,
        Field(min_length=1, max_length=64, description="accuracy, error, or the name of a reward."),
    ] = None
    method: Literal["auto", "exact", "off-policy"] = "auto"


class EstimateView(View):
    """An estimate and its 95 % limits; null where there is too little to say."""

    value: float | None
    low: float | None
    high: float | None
    standard_error: float | None


class OffPolicyView(View):
    """What one method estimates: the reward, and how much more than was earned."""

    method: Literal["ips", "snips", "dr"]
    value: EstimateView
    difference: EstimateView


class OverlapView(View):
    """How well the decisions cover what is asked about; `effective` is the effective sample size."""

    decisions: int
    effective: float
    mean_weight: float | None
    mean_weight_error: float | None
    largest_weight: float
    largest_share: float | None
    smallest_propensity: float | None
    unsupported: int


class CountsView(View):
    """Decisions of the endpoint in that time, and why some were not used."""

    decisions: int
    with_outcome: int
    used: int
    rows: int
    degraded: int
    fell_back: int
    left_out: dict[str, int]


class FilesView(View):
    """The files that were read, and what could not be."""

    compacted: int
    segments: int
    gone: int
    damaged: int
    unread_decisions: int
    damaged_bytes: int
    unreadable_records: int


class AnswerView(View):
    """What a replay came to; `difference` is `candidate` less `live`, on the same decisions."""

    endpoint: str
    strategy: str | dict[str, Any] | None
    policy: dict[str, Any] | None
    since: float | None
    until: float | None
    revision: int | None
    metric: str
    higher_is_better: bool
    method: Literal["exact", "off-policy"]
    interval: str
    candidate: EstimateView
    live: EstimateView
    difference: EstimateView
    verdict: Literal["better", "worse", "not shown"]
    counts: CountsView
    files: FilesView
    estimates: list[OffPolicyView]
    overlap: OverlapView | None
    reproduced: int
    differing: int
    assumptions: list[str]
    warnings: list[str]
    seconds: float


class ReplayErrorView(QuestionErrorView):
    """Why a replay could not answer."""


class ReplayView(QuestionView):
    """A replay. Times are Unix seconds."""

    endpoint: str
    question: ReplayRequest
    answer: AnswerView | None
    error: ReplayErrorView | None


def replays_router(desk: ReplayDesk) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["replays"])

    @router.post(
        "/v1/replays",
        status_code=202,
        responses=openapi.reading(
            "not_found", "conflict", "store", "too_large", "unsupported_media_type", "overloaded", "registry"
        ),
        openapi_extra=bodies.described(ReplayRequest),
    )
    async def submit_replay(request: Request) -> ReplayView:
        """Ask what would have been with another strategy or policy. Needs the role `operate`."""
        asked = await bodies.asked(request, ReplayRequest, MOST_JSON)
        question = Question(**asked.model_dump())
        return shown(ReplayView, await run_in_threadpool(desk.submit, question, author=author_of(request)))

    @router.get("/v1/replays", responses=openapi.reading("not_found", "store"))
    def list_replays(
        before: Annotated[str | None, Query(pattern=ID, description="Replays older than that of this id.")] = None,
        limit: Limit = 100,
    ) -> list[ReplayView]:
        """Replays, newest first."""
        return [shown(ReplayView, each) for each in desk.list(before=before, limit=limit)]

    @router.get("/v1/replays/{id}", responses=openapi.reading("not_found", "store"))
    def show_replay(id: QuestionId) -> ReplayView:
        """How far a replay is, and what it came to."""
        return shown(ReplayView, desk.get(id))

    @router.delete("/v1/replays/{id}", responses=openapi.reading("not_found", "conflict", "store"))
    def cancel_replay(id: QuestionId, request: Request) -> ReplayView:
        """Stop a replay. Needs the role `operate`."""
        return shown(ReplayView, desk.cancel(id, author=author_of(request)))

    return router
