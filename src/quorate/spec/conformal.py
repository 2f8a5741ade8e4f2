"""``conformal`` of a strategy: its calibration, and what is done with it where a request does not say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

_REF = r"^[a-z0-9][a-z0-9._-]{0,127}(:[1-9][0-9]{0,8}|@[a-z0-9][a-z0-9._-]{0,127})?$"


class ConformalSpec(BaseModel):
    """Sets and intervals that hold the truth as often as is asked."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, defer_build=True)

    state: Annotated[str, Field(pattern=_REF, description="A fitted state of the registry: Fit('conformal').")]
    coverage: Annotated[
        float | None,
        Field(ge=0.5, le=0.999, description="How often the truth is in it; by default only where a request asks."),
    ] = None
    adaptive: Annotated[bool, Field(description="Follow the outcomes, so that the coverage holds under shifts.")] = (
        False
    )
    abstain: Annotated[
        Literal["never", "ambiguous"],
        Field(description="Abstain where a set does not have exactly one label, or never."),
    ] = "never"


def _form(value: Any) -> str | None:
    return {str: "name", type(None): "none"}.get(type(value), "section")


if TYPE_CHECKING:
    AnyConformal = str | ConformalSpec | None
else:
    AnyConformal = Annotated[
        Annotated[str, Field(pattern=_REF), Tag("name")]
        | Annotated[ConformalSpec, Tag("section")]
        | Annotated[None, Tag("none")],
        Discriminator(_form),
    ]


def conformal_of(given: AnyConformal) -> ConformalSpec | None:
    """The section, also where only the state is named."""
    return ConformalSpec(state=given) if isinstance(given, str) else given
