"""What the control port shows of questions of any kind, and how they are named in its paths and queries."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from fastapi import Path, Query
from pydantic import Field

from quorate.control.view import View
from quorate.store.questions import StoredQuestion

State = Literal["queued", "running", "done", "failed", "cancelled"]
Moment = Annotated[float, Field(ge=0, le=1e11)]
ID = "^[0-9a-f]{32}$"
QuestionId = Annotated[str, Path(pattern=ID)]
Limit = Annotated[int, Query(ge=1, le=1000, description="How many at most.")]


class QuestionErrorView(View):
    """Why a question could not be answered."""

    code: str
    message: str
    path: str | None


class QuestionView(View):
    """A question; each kind adds what it is about, what was asked, and the answer. Times are Unix seconds."""

    id: str
    author: str
    state: State
    created: float
    started: float | None
    finished: float | None


Shown = TypeVar("Shown", bound=QuestionView)


def shown(model: type[Shown], found: StoredQuestion, **more: object) -> Shown:
    """A stored question as its kind shows it; ``more`` are fields that the store calls otherwise."""
    stored = {name: getattr(found, name) for name in StoredQuestion.__slots__ if name in model.model_fields}
    return model.model_validate({**stored, **more})
