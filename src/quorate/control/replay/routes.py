"""The routes of replays on the control port: thin handlers over the desk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi import Path as PathParameter
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from quorate.control import openapi
from quorate.control.replay.asked import Question
from quorate.control.replay.desk import ReplayDesk
from quorate.control.view import View
from quorate.errors import InvalidInput, MalformedRequest, UnsupportedMediaType
from quorate.spec.model import NAME
from quorate.store.replays import StoredReplay
from quorate.web.limits import ClientDisconnected, read_body

State = Literal["queued", "running", "done", "failed", "cancelled"]
ReplayId = Annotated[str, PathParameter(pattern="^[0-9a-f]{32}$")]
Moment = Annotated[float, Field(ge=0, le=1e11)]
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


class ReplayErrorView(View):
    """Why a replay could not answer."""

    code: str
    message: str
    path: str | None


class ReplayView(View):
    """A replay. Times are Unix seconds."""

    id: str
    endpoint: str
    question: ReplayRequest
    author: str
    state: State
    created: float
    started: float | None
    finished: float | None
    answer: AnswerView | None
    error: ReplayErrorView | None


_SUBMIT: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": ReplayRequest.model_json_schema()}},
    },
}


def replays_router(desk: ReplayDesk) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["replays"])

    @router.post(
        "/v1/replays",
        status_code=202,
        responses=openapi.reading(
            "not_found", "conflict", "store", "too_large", "unsupported_media_type", "overloaded", "registry"
        ),
        openapi_extra=_SUBMIT,
    )
    async def submit_replay(request: Request) -> ReplayView:
        """Ask what would have been with another strategy or policy. Needs the role `operate`."""
        asked = await _asked(request)
        question = Question(**asked.model_dump())
        return _view(await run_in_threadpool(desk.submit, question, author=_author(request)))

    @router.get("/v1/replays", responses=openapi.reading("not_found", "store"))
    def list_replays(
        before: Annotated[
            str | None, Query(pattern="^[0-9a-f]{32}$", description="Replays older than that of this id.")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=1000, description="How many at most.")] = 100,
    ) -> list[ReplayView]:
        """Replays, newest first."""
        return [_view(each) for each in desk.list(before=before, limit=limit)]

    @router.get("/v1/replays/{id}", responses=openapi.reading("not_found", "store"))
    def show_replay(id: ReplayId) -> ReplayView:
        """How far a replay is, and what it came to."""
        return _view(desk.get(id))

    @router.delete("/v1/replays/{id}", responses=openapi.reading("not_found", "conflict", "store"))
    def cancel_replay(id: ReplayId, request: Request) -> ReplayView:
        """Stop a replay. Needs the role `operate`."""
        return _view(desk.cancel(id, author=_author(request)))

    return router


def _author(request: Request) -> str:
    return f"key {request.state.key_id}" if request.state.key_id else "control port"


def _view(found: StoredReplay) -> ReplayView:
    def part(model: type[BaseModel], value: Mapping[str, Any] | None) -> Any:
        return None if value is None else model.model_validate(value)

    return ReplayView(
        id=found.id,
        endpoint=found.endpoint,
        question=part(ReplayRequest, found.question),
        author=found.author,
        state=found.state,  # type: ignore[arg-type]
        created=found.created,
        started=found.started,
        finished=found.finished,
        answer=part(AnswerView, found.answer),
        error=part(ReplayErrorView, found.error),
    )


async def _asked(request: Request) -> ReplayRequest:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise UnsupportedMediaType(
            f"'{media_type[:64]}' is not read here; expected application/json.", path="Content-Type"
        )
    headers = dict(request.scope["headers"])
    try:
        body = await read_body(
            request.receive,
            limit=MOST_JSON,
            content_length=headers.get(b"content-length"),
            encoding=headers.get(b"content-encoding"),
        )
    except ClientDisconnected:
        raise MalformedRequest("The body is not complete: the client went away.", path="body") from None
    try:
        return ReplayRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(map(str, first["loc"])) or "body"
        if first["type"] == "json_invalid":
            raise MalformedRequest(f"The body is not JSON: {first['msg']}.", path="body") from None
        raise InvalidInput(f"{path} is wrong: {first['msg']}.", path=path) from None
