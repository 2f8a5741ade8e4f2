"""``fronts.NAME``: a name that sends each request on to an endpoint, by rules."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

_NAME = r"^[a-z0-9][a-z0-9._-]{0,127}$"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, defer_build=True)


class FrontRuleSpec(_Section):
    """Where requests go for which a condition is true."""

    when: Annotated[str, Field(min_length=1, max_length=2000, description="A condition; see docs/rules.md.")]
    to: Annotated[str, Field(pattern=_NAME, description="An endpoint, or another front.")]


class FrontSpec(_Section):
    """A name that sends each request on to an endpoint: the first rule whose condition is true decides."""

    rules: Annotated[
        tuple[FrontRuleSpec, ...], Field(min_length=1, max_length=64, description="Rules, tried in order.")
    ]
    otherwise: Annotated[str, Field(pattern=_NAME, description="Where requests go for which no rule fires.")]
    timezone: Annotated[
        str, Field(min_length=1, max_length=64, description="The time zone of time.*, by its IANA name.")
    ] = "UTC"
