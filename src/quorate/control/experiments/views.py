"""An experiment as the control port shows it; what is hidden until the verdict is left out."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from quorate.control.experiments.desk import hidden
from quorate.control.view import View
from quorate.store.experiments import Experiment, Look

State = Literal["registered", "running", "decided", "ended"]


class ExperimentView(View):
    """An experiment. Times are Unix seconds; ``version`` is also the ETag, for ``If-Match``."""

    id: str
    name: str
    endpoint: str
    state: State
    version: int
    author: str
    created: float
    started: float | None
    ended: float | None = Field(description="When the verdict was reached; nothing later is part of it.")
    base_revision: int | None = Field(description="What the endpoint served before.")
    revision: int | None = Field(description="The endpoint's revision that splits its traffic.")
    registration: dict[str, Any]
    verdict: dict[str, Any] | None
    conclusion: dict[str, Any] | None = Field(description="What was done about the verdict, by whom and when.")
    latest: LookView | None = Field(description="The newest look.", default=None)


class LookView(View):
    """A look that was taken at a time (Unix seconds); without ``arms`` and what is theirs where that is hidden."""

    number: int
    at: float
    hidden: bool
    body: dict[str, Any]


def experiment_view(found: Experiment, last: Look | None = None) -> ExperimentView:
    """An experiment and its newest look, as they are shown."""
    fields = {name: getattr(found, name) for name in Experiment.__slots__}
    fields |= {"registration": dict(found.registration)}
    fields |= {name: None if fields[name] is None else dict(fields[name]) for name in ("verdict", "conclusion")}
    return ExperimentView(**fields, latest=None if last is None else look_view(found, last))


def look_view(found: Experiment, look: Look) -> LookView:
    """A look, or what of it may be shown: how many units there are, and that no alarm was raised."""
    if not hidden(found, found.registration):
        return LookView(number=look.number, at=look.at, hidden=False, body=dict(look.body))
    body = look.body
    shown: dict[str, Any] = {name: sum(body.get(name, {}).values()) for name in ("units", "known", "requests")}
    shown |= {"excluded": body.get("excluded", {}), "final": body.get("final"), "verdict": None}
    return LookView(number=look.number, at=look.at, hidden=True, body=shown)
