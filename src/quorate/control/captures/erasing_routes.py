"""The control port's routes about what is kept of inputs: what there is, and erasing one subject."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi import Path as PathParameter
from pydantic import BaseModel, ConfigDict, Field

from quorate.clock import Clock
from quorate.control import openapi
from quorate.control.authors import author_of
from quorate.control.captures.erasing import MOST_DECISIONS, ask, get
from quorate.control.captures.keeping import held
from quorate.control.view import View
from quorate.home import Home
from quorate.spec.model import CONTEXT_KEY, NAME
from quorate.store.database import Database
from quorate.store.erasures import Erasure, erasures

ErasureId = Annotated[str, PathParameter(pattern="^[0-9a-f]{32}$")]
Text = Annotated[str, Field(min_length=1, max_length=1024)]


class HeldView(View):
    """What is kept of an endpoint's inputs. Times are Unix seconds; ``declared``: it captures now."""

    endpoint: str
    files: int
    size: int
    oldest: float | None
    newest: float | None
    declared: bool
    keep_days: float | None
    keep_bytes: int | None


class ErasureRequest(BaseModel):
    """Whose records are to be erased: one of ``context`` (one key with its value), ``unit`` and ``decisions``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    endpoint: Annotated[str, Field(pattern=NAME)]
    context: Annotated[
        dict[Annotated[str, Field(pattern=CONTEXT_KEY)], Text | int | float | bool] | None,
        Field(min_length=1, max_length=1),
    ] = None
    unit: Text | None = None
    decisions: Annotated[list[str] | None, Field(min_length=1, max_length=MOST_DECISIONS)] = None
    dry_run: bool = False


class ErasureView(View):
    """An erasure. ``by`` says how the subject was named, never whom; counts are complete once it is done.

    ``lessons`` are rows in the record of what combiners were taught.
    ``damaged_bytes`` and ``unreadable_records`` could not be searched; ``shipped`` are copies elsewhere, ``exports``
    data sets written before, ``waiting`` files that are still written to. ``error`` is why it does not go on now.
    """

    id: str
    endpoint: str
    by: str
    dry_run: bool
    author: str
    state: Literal["queued", "waiting", "running", "done"]
    created: float
    finished: float | None
    error: str | None
    decisions: int
    captures: int
    files: int
    answers: int
    jobs: int
    lessons: int
    damaged_bytes: int
    unreadable_records: int
    shipped: list[str]
    exports: list[str]
    waiting: list[str]


def erasing_router(home: Home, database: Database, clock: Clock) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["captures"])

    @router.get("/v1/captures", responses=openapi.reading())
    def captures() -> list[HeldView]:
        """What is kept of inputs, by endpoint."""
        return [HeldView(**{name: getattr(one, name) for name in HeldView.model_fields}) for one in held(home)]

    @router.post("/v1/erasures", status_code=202, responses=openapi.reading("not_found", "store"))
    def erase(request: Request, asked: ErasureRequest) -> ErasureView:
        """Erase one subject, or with `dry_run` say what would go. Needs the role `admin`."""
        author = author_of(request)
        made = ask(
            home,
            database,
            clock,
            asked.endpoint,
            context=asked.context,
            unit=asked.unit,
            decisions=asked.decisions or (),
            dry_run=asked.dry_run,
            author=author,
        )
        return view(made)

    @router.get("/v1/erasures", responses=openapi.reading("store"))
    def list_erasures() -> list[ErasureView]:
        """The newest hundred erasures, newest first."""
        with database.read() as connection:
            return [view(one) for one in erasures(connection)]

    @router.get("/v1/erasures/{id}", responses=openapi.reading("not_found", "store"))
    def show_erasure(id: ErasureId) -> ErasureView:
        """How far an erasure is, and what it has taken out."""
        return view(get(database, id))

    return router


def view(erasure: Erasure) -> ErasureView:
    """An erasure as it is shown."""
    report: dict[str, Any] = dict(erasure.report)
    counts = {name: report.get(name, 0) for name in ("decisions", "captures", "files", "answers", "jobs", "lessons")}
    return ErasureView(
        id=erasure.id,
        endpoint=erasure.endpoint,
        by=erasure.by,
        dry_run=erasure.dry_run,
        author=erasure.author,
        state=erasure.state,  # type: ignore[arg-type]
        created=erasure.created,
        finished=erasure.finished,
        error=erasure.error,
        damaged_bytes=report.get("damaged", 0),
        unreadable_records=report.get("unreadable", 0),
        **counts,
        **{name: report.get(name, []) for name in ("shipped", "exports", "waiting")},
    )
