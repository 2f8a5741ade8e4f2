"""The base of what the control port answers."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class View(BaseModel):
    """A response; what is not declared here is not shown."""

    model_config = ConfigDict(frozen=True, extra="forbid")
