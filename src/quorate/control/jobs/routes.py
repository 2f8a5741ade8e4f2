"""The routes of jobs on the control port: thin handlers over the desk."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as PathParameter
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import ClientDisconnect
from starlette.responses import FileResponse

from quorate.codecs.batch import FORMATS
from quorate.control import openapi
from quorate.control.authors import author_of
from quorate.control.bodies import body_of, media_type_of, parsed
from quorate.control.jobs.asking import OPTIONS
from quorate.control.jobs.desk import JobDesk, check_format
from quorate.control.jobs.inputs import format_of
from quorate.control.view import View
from quorate.core.conformal.quantile import HIGHEST, LOWEST
from quorate.errors import InvalidInput, MalformedRequest, Overloaded, TooLarge, UnsupportedMediaType
from quorate.spec.model import NAME
from quorate.store.jobs import Job

State = Literal["queued", "running", "done", "failed", "cancelled"]
Format = Literal["ndjson", "arrow", "parquet"]
JobId = Annotated[str, PathParameter(pattern="^[0-9a-f]{32}$")]
MOST_JSON = 64 * 1024
_MEDIA = {media_type: name for name, media_type in FORMATS.items()}
_MEDIA |= {"application/ndjson": "ndjson", "application/jsonl": "ndjson", "application/x-parquet": "parquet"}
_OPTIONS = ("endpoint", *OPTIONS, "output_format")
Confidence = Annotated[float | None, Field(ge=0, le=1)]
Coverage = Annotated[float | None, Field(ge=LOWEST, le=HIGHEST)]


class JobView(View):
    """A job. Times are Unix seconds; ``progress`` is 0 to 1, and null where the input does not tell."""

    id: str
    kind: Literal["batch"]
    endpoint: str
    strategy: str | None
    max_ms: float | None
    min_confidence: float | None
    coverage: float | None
    context: dict[str, Any]
    input: str | None = Field(description="A path in the folder of jobs; null: it was uploaded.")
    input_format: Format
    input_bytes: int
    output_format: Format
    author: str
    state: State
    created: float
    started: float | None
    finished: float | None
    error: str | None
    rows_done: int = Field(description="Rows that are in the result, with the failed ones.")
    rows_failed: int
    rows_total: int | None
    progress: float | None
    rows_per_second: float | None


class JobRequest(BaseModel):
    """What a job on a file of the project is asked for with."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Literal["batch"] = "batch"
    endpoint: Annotated[str, Field(pattern=NAME)]
    input: Annotated[str, Field(min_length=1, max_length=1000, description="A path below jobs.inputs.")]
    input_format: Annotated[Format | None, Field(description="By the file's name where it is not given.")] = None
    output_format: Format = "ndjson"
    strategy: Annotated[str | None, Field(max_length=200)] = None
    max_ms: Annotated[float | None, Field(gt=0, le=3_600_000)] = None
    min_confidence: Confidence = None
    coverage: Coverage = None
    context: Annotated[dict[str, str | int | float | bool | None], Field(max_length=64)] = {}


_CONFLICT = ("not_found", "conflict", "store")
_SUBMIT: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": (
            "Rows, as `/v1/endpoints/{endpoint}/batch` on the inference port takes them, with the options in the "
            "query; or a `JobRequest` on a file of the project."
        ),
        "content": {
            "application/json": {"schema": JobRequest.model_json_schema()},
            **{media_type: {"schema": {"type": "string", "format": "binary"}} for media_type in FORMATS.values()},
        },
    },
}
_RESULT: dict[int | str, dict[str, Any]] = {
    **openapi.reading(*_CONFLICT),
    200: {
        "description": "The file. `Range` is obeyed.",
        "content": {media_type: {"schema": {"type": "string", "format": "binary"}} for media_type in FORMATS.values()},
    },
}


class Result(Response):
    """A result's media type is its format's."""

    media_type = FORMATS["ndjson"]


def jobs_router(desk: JobDesk, body_limit: Any) -> APIRouter:
    """The routes; ``body_limit()`` is the most bytes of an upload."""
    router = APIRouter(tags=["jobs"])

    @router.post(
        "/v1/jobs",
        status_code=202,
        responses=openapi.reading(*_CONFLICT, "too_large", "unsupported_media_type", "overloaded"),
        openapi_extra=_SUBMIT,
    )
    async def submit_job(
        request: Request,
        endpoint: Annotated[str | None, Query(pattern=NAME, description="With an upload: who answers.")] = None,
        strategy: Annotated[str | None, Query(max_length=200)] = None,
        max_ms: Annotated[float | None, Query(gt=0, le=3_600_000)] = None,
        min_confidence: Annotated[float | None, Query(ge=0, le=1, description="Rows less sure are withheld.")] = None,
        coverage: Annotated[
            float | None, Query(ge=LOWEST, le=HIGHEST, description="How often the truth is to be in a row's set.")
        ] = None,
        output_format: Annotated[Format, Query(description="Of the result of an upload.")] = "ndjson",
    ) -> JobView:
        """Score a file in the background. Needs the role `operate`."""
        author = author_of(request)
        media_type = media_type_of(request)
        job_id = desk.new_id()
        given: str | None = None
        if media_type == "application/json":
            asked = parsed(await body_of(request, MOST_JSON), JobRequest)
            given, endpoint, output_format = asked.input, asked.endpoint, asked.output_format
            form = asked.input_format or format_of(given)
            options: dict[str, Any] = {name: getattr(asked, name) for name in OPTIONS}
            options["context"] = asked.context or None
        elif media_type in _MEDIA:
            if endpoint is None:
                raise InvalidInput("With an upload the endpoint is in the query; send endpoint=NAME.", path="endpoint")
            form = _MEDIA[media_type]
            options = dict(zip(OPTIONS, (strategy, max_ms, min_confidence, coverage), strict=True))
            options["context"] = _context(request) or None
        else:
            raise UnsupportedMediaType(
                f"'{media_type[:64]}' is not read here; expected application/json or {', '.join(FORMATS.values())}.",
                path="Content-Type",
            )
        check_format("input_format", form)
        check_format("output_format", output_format)
        await run_in_threadpool(desk.check, endpoint, options)
        try:
            if given is None:
                await _upload(request, desk.uploaded(job_id), body_limit())
            job = await run_in_threadpool(
                lambda: desk.submit(
                    job_id,
                    endpoint=endpoint,
                    asked=options,
                    given=given,
                    input_format=form,
                    output_format=output_format,
                    author=author,
                )
            )
        except BaseException:
            shutil.rmtree(desk.folder(job_id), ignore_errors=True)
            raise
        return view(job, desk.now())

    @router.get("/v1/jobs", responses=openapi.reading("not_found", "store"))
    def list_jobs(
        before: Annotated[
            str | None, Query(pattern="^[0-9a-f]{32}$", description="Jobs older than that of this id.")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=1000, description="How many at most.")] = 100,
    ) -> list[JobView]:
        """Jobs, newest first."""
        return [view(job, desk.now()) for job in desk.list(before=before, limit=limit)]

    @router.get("/v1/jobs/{id}", responses=openapi.reading("not_found", "store"))
    def show_job(id: JobId) -> JobView:
        """How far a job is."""
        return view(desk.get(id), desk.now())

    @router.get("/v1/jobs/{id}/result", response_class=Result, responses=_RESULT)
    def job_result(id: JobId) -> Response:
        """The result of a job that is done: what the inference port's batch answers, as one file."""
        job, file = desk.result(id)
        return FileResponse(file, media_type=FORMATS[job.output_format], filename=f"{job.id}.{job.output_format}")

    @router.delete("/v1/jobs/{id}", responses=openapi.reading(*_CONFLICT))
    def cancel_job(id: JobId, request: Request) -> JobView:
        """Stop a job; what it has written is removed. Needs the role `operate`."""
        author = author_of(request)
        return view(desk.cancel(id, author=author), desk.now())

    return router


def view(job: Job, now: float) -> JobView:
    """A job as it is shown at a time (Unix seconds)."""
    progress = None
    if job.state == "done":
        progress = 1.0
    elif job.total is not None:
        progress = job.done / job.total if job.total else 1.0
    elif job.input_format == "ndjson":
        progress = job.position / job.input_bytes if job.input_bytes else 1.0
    took = None if job.started is None else (job.finished or now) - job.started
    return JobView(
        id=job.id,
        kind="batch",
        endpoint=job.endpoint,
        strategy=job.asked.get("strategy"),
        max_ms=job.asked.get("max_ms"),
        min_confidence=job.asked.get("min_confidence"),
        coverage=job.asked.get("coverage"),
        context=job.asked.get("context", {}),
        input=job.input,
        input_format=job.input_format,  # type: ignore[arg-type]
        input_bytes=job.input_bytes,
        output_format=job.output_format,  # type: ignore[arg-type]
        author=job.author,
        state=job.state,  # type: ignore[arg-type]
        created=job.created,
        started=job.started,
        finished=job.finished,
        error=job.error,
        rows_done=job.done,
        rows_failed=job.failed,
        rows_total=job.done if job.state == "done" else job.total,
        progress=progress,
        rows_per_second=job.done / took if took and took > 0 else None,
    )


def _context(request: Request) -> dict[str, str]:
    """``context.KEY`` of the query; what is no option is an error."""
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name.startswith("context."):
            found[name.removeprefix("context.")] = value
        elif name not in _OPTIONS:
            raise InvalidInput(
                f"There is no option '{name[:64]}'; expected {', '.join(_OPTIONS)} or context.KEY.",
                path=f"query.{name[:64]}",
            )
    return found


async def _upload(request: Request, file: Path, limit: int) -> None:
    """Write the body to a file, as it comes, on the disk before it is queued."""
    if request.headers.get("content-encoding", "identity").lower() not in ("identity", ""):
        raise UnsupportedMediaType("A job's input is sent as it is, not packed.", path="Content-Encoding")
    size = 0
    try:
        file.parent.mkdir(parents=True)
        with file.open("wb") as target:
            async for piece in request.stream():
                size += len(piece)
                if size > limit:
                    raise TooLarge(
                        f"The input has more than {limit} bytes (limits.batch_bytes); send it in parts.", path="body"
                    )
                await run_in_threadpool(target.write, piece)
            target.flush()
            await run_in_threadpool(os.fsync, target.fileno())
    except ClientDisconnect:
        raise MalformedRequest("The body is not complete: the client went away.", path="body") from None
    except OSError as error:
        raise Overloaded(f"The input cannot be kept: {error.strerror}; retry later.") from None
