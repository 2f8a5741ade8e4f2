"""How the rules of a policy are written: the settings of ``policy: {kind: rules}``."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

_Weights = Annotated[dict[str, float], Field(min_length=1)]


def _form(value: Any) -> str | None:
    return "one" if isinstance(value, str) else "by weights" if isinstance(value, dict) else None


Use = Annotated[
    Annotated[str, Tag("one")] | Annotated[_Weights, Tag("by weights")],
    Discriminator(
        _form,
        custom_error_type="use_form",
        custom_error_message="Input should be the name of a strategy, or weights by strategy",
    ),
]


class RuleSpec(BaseModel):
    """Which strategy answers where a condition is true."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, defer_build=True)

    when: Annotated[str, Field(min_length=1, max_length=2000, description="A condition; see docs/rules.md.")]
    use: Annotated[Use, Field(description="A strategy, or weights by strategy.")]


RULES: dict[str, Any] = {
    "rules": (list[RuleSpec], Field(min_length=1, max_length=64, description="Rules, tried in order.")),
    "otherwise": (Use, Field(description="What is used where no rule fires: a strategy, or weights by strategy.")),
    "timezone": (
        str,
        Field(default="UTC", min_length=1, max_length=64, description="The time zone of time.*, by its IANA name."),
    ),
}
